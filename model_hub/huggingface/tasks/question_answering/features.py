"""Question-answering features: rows become overlapping windows of tokens, with labels."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import datasets
import numpy as np
import numpy.typing as npt
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks.question_answering.rows import trained_answer


class Windows(NamedTuple):
    """The windows of a batch of rows; every list has one entry per window."""

    columns: dict[str, list[Any]]  # Inputs of the model.
    encodings: list[Any]  # tokenizers.Encoding
    rows: list[int]  # The row of each window; windows of a row are neighbours.
    context_begin: list[int]
    context_end: list[int]
    cls_index: list[int]
    context_part: int  # Sequence id of the context: 0 or 1.

    def places(self) -> dict[str, list[int]]:
        """Return the columns with the positions of context and CLS token."""
        return {name: getattr(self, name) for name in ("context_begin", "context_end", "cls_index")}


def strip_answer(answer: tuple[str, int] | None) -> tuple[int, int] | None:
    """Return the characters (end exclusive) of the answer without surrounding blanks.

    Tokens do not cover blanks, so with them the answer would begin or end in no token.

    Returns:
        None if nothing is left.
    """
    if answer is None:
        return None
    text, start = answer
    stripped = text.strip()
    start += text.index(stripped)
    return (start, start + len(stripped)) if stripped and start >= 0 else None


def label_windows(
    windows: Windows,
    answers: Sequence[tuple[int, int] | None],
    doc_stride: int,
    from_right_to_left: bool,
) -> tuple[list[int], list[int]]:
    """Return the first and last token of the answer in every window.

    Where :func:`_look_up_answer` cannot decide, the windows of a row are joined to the row's whole
    context again, for all such rows at once, which gives exactly the windows with all tokens of the
    answer.

    Args:
        windows: the windows.
        answers: characters (end exclusive) of the answer of each row, or None.
        doc_stride: tokens that neighbouring windows share.
        from_right_to_left: whether a row's first window has the end of its context.

    Returns:
        Start and end positions per window, inclusive; the CLS token if the window does not have the
        whole answer.
    """
    starts, ends = list(windows.cls_index), list(windows.cls_index)
    numbers: list[int] = []  # The windows that the tokenizer cannot decide.
    for row, group in itertools.groupby(range(len(windows.rows)), windows.rows.__getitem__):
        of_row, answer = list(group), answers[row]
        if answer is None:
            continue
        found = _look_up_answer(windows, of_row, answer)
        if found is None:
            numbers += of_row
            continue
        for number, span in found.items():
            starts[number], ends[number] = span
    if not numbers:
        return starts, ends
    if from_right_to_left:
        numbers.reverse()
    # Concatenate the tokens of all contexts.
    offsets: list[list[tuple[int, int]]] = []  # Of the tokens that a window adds to its context.
    context_of: list[int] = []  # Number of the context of each window.
    first_token: list[int] = []  # Number of each window's first token among all tokens.
    spans: list[tuple[int, int] | None] = []  # The answer in each context.
    total, previous = 0, -1
    for number in numbers:
        row, begin, end = (
            windows.rows[number],
            windows.context_begin[number],
            windows.context_end[number],
        )
        shared = doc_stride if row == previous else 0
        if row != previous:
            spans.append(answers[row])
        previous = row
        offsets.append(windows.encodings[number].offsets[begin + shared : end])
        context_of.append(len(spans) - 1)
        first_token.append(total - shared)
        total += len(offsets[-1])
    first, last = _find_tokens(offsets, np.array(context_of), np.array(spans, dtype=np.int64))
    for number, context, window_begin in zip(numbers, context_of, first_token, strict=True):
        begin, end = windows.context_begin[number], windows.context_end[number]
        start_position = begin + first[context] - window_begin
        end_position = begin + last[context] - window_begin
        if begin <= start_position <= end_position < end:
            starts[number], ends[number] = start_position, end_position
    return starts, ends


def _look_up_answer(
    windows: Windows, of_row: Sequence[int], answer: tuple[int, int]
) -> dict[int, tuple[int, int]] | None:
    """Return the first and last token of the answer in those windows of a row that have all of it.

    Looking up characters in the tokenizer's encoding is much faster than listing all offsets.

    Returns:
        Positions by window; None if that is not enough: the first or last character has no token,
        or may have several tokens, also in the next window.
    """
    found: dict[int, tuple[int, int]] = {}
    for number in of_row:
        encoding = windows.encodings[number]
        first = encoding.char_to_token(answer[0], windows.context_part)
        last = encoding.char_to_token(answer[1] - 1, windows.context_part)
        if first is None or last is None:
            continue
        low, high = windows.context_begin[number], windows.context_end[number] - 1
        before = encoding.token_to_chars(first - 1) if first > low else None
        after = encoding.token_to_chars(last + 1) if last < high else None
        if len(of_row) > 1 and (before is None or after is None):
            return None
        if before is not None and not before[0] < before[1] <= answer[0]:
            return None
        if after is not None and not answer[1] <= after[0] < after[1]:
            return None
        found[number] = (first, last)
    return found or None


def _find_tokens(
    offsets: Sequence[Sequence[tuple[int, int]]],
    context_of: npt.NDArray[np.int64],
    spans: npt.NDArray[np.int64],
) -> tuple[list[int], list[int]]:
    """Return the first and last token with characters of a span; last < first if there is none.

    Args:
        offsets: parts of contexts, in order: first and last character (exclusive) of every token.
        context_of: number of the context of each part, rising.
        spans: first and last character (exclusive) of one span per context, ``[contexts, 2]``.

    Returns:
        Numbers of tokens among those of all parts, one per context.
    """
    flatten = itertools.chain.from_iterable
    flat = np.fromiter(flatten(flatten(offsets)), dtype=np.int64).reshape(-1, 2)
    # Shift the characters of each context by more than the longest text: one sorted array for all.
    stretch = max(int(flat.max(initial=0)), int(spans.max())) + 1
    shift = np.repeat(context_of, [len(part) for part in offsets]) * stretch
    ends = np.maximum.accumulate(flat[:, 1] + shift)
    # A token without characters begins where the one before it ends.
    begins = np.where(flat[:, 0] == flat[:, 1], ends, flat[:, 0] + shift)
    begins = np.maximum.accumulate(begins)
    base = np.arange(len(spans)) * stretch
    first = np.searchsorted(ends, base + spans[:, 0], side="right")
    last = np.searchsorted(begins, base + spans[:, 1], side="left") - 1
    return first.tolist(), last.tolist()


def prepare_train_features(
    examples: Mapping[str, Sequence[Any]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    max_seq_length: int,
    doc_stride: int,
    pad_to_max_length: bool = False,
    with_places: bool = False,
) -> dict[str, list[Any]]:
    """Make training features of flat SQuAD rows; a function for ``Dataset.map(batched=True)``.

    A context that does not fit becomes several windows, each with the whole question. The labels of
    a window are the smallest span of tokens that covers the (first) answer without surrounding
    blanks, or the CLS token twice if the window does not have the whole answer or there is none.

    Args:
        examples: columns id, context, question and answers.
        tokenizer: a fast tokenizer. With padding on the left the context comes before the question,
            as its models expect.
        max_seq_length: tokens of a window, including question and special tokens.
        doc_stride: tokens of the context that two neighbouring windows share.
        pad_to_max_length: store every window padded; the collator pads to the longest of a batch.
        with_places: also return the positions of context and CLS token, as for validation.

    Returns:
        Lists with one entry per window, ``input_ids``, ``attention_mask``, ``token_type_ids`` if
        the tokenizer makes them (all lists of int), ``start_positions``, ``end_positions`` (int,
        tokens, both inclusive); with places ``context_begin``, ``context_end``, ``cls_index``.

    Raises:
        UserError: when a question leaves no room for its context, or an answer has no position.
    """
    windows = _make_windows(examples, tokenizer, max_seq_length, doc_stride, pad_to_max_length)
    answers = [
        strip_answer(trained_answer(value, row_id))
        for value, row_id in zip(examples["answers"], examples["id"], strict=True)
    ]
    right_to_left = tokenizer.truncation_side == "left"
    starts, ends = label_windows(windows, answers, doc_stride, right_to_left)
    places = windows.places() if with_places else {}
    return {**windows.columns, "start_positions": starts, "end_positions": ends, **places}


def prepare_validation_features(
    examples: Mapping[str, Sequence[Any]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    max_seq_length: int,
    doc_stride: int,
    pad_to_max_length: bool = False,
) -> dict[str, list[Any]]:
    """Make validation features; arguments and errors as :func:`prepare_train_features`.

    Returns:
        Lists with one entry per window. The tokenizer's columns as for training; ``example_id``
        (str), the id of its row; ``offset_mapping``, first character and character after the last
        of every token; ``context_begin`` and ``context_end``, the tokens of the context (end
        exclusive); ``cls_index``, the token that stands for "no answer".
    """
    windows = _make_windows(examples, tokenizer, max_seq_length, doc_stride, pad_to_max_length)
    ids = [str(row_id) for row_id in examples["id"]]
    return {
        **windows.columns,
        "example_id": [ids[row] for row in windows.rows],
        "offset_mapping": [encoding.offsets for encoding in windows.encodings],
        **windows.places(),
    }


def number_features(dataset: datasets.Dataset) -> datasets.Dataset:
    """Add the int column ``feature_id``: the row number, by which the reducer finds a feature."""
    return dataset.add_column("feature_id", np.arange(len(dataset)))


def _make_windows(
    examples: Mapping[str, Sequence[Any]],
    tokenizer: transformers.PreTrainedTokenizerBase,
    max_seq_length: int,
    doc_stride: int,
    pad_to_max_length: bool,
) -> Windows:
    # Some questions begin with hundreds of blanks, which would fill the window.
    questions = [question.lstrip() for question in examples["question"]]
    contexts = list(examples["context"])
    _check_room(examples["id"], questions, contexts, tokenizer, max_seq_length, doc_stride)
    context_first = tokenizer.padding_side == "left"
    encoded = tokenizer(
        contexts if context_first else questions,
        questions if context_first else contexts,
        truncation="only_first" if context_first else "only_second",
        max_length=max_seq_length,
        stride=doc_stride,
        padding="max_length" if pad_to_max_length else False,
        return_overflowing_tokens=True,
        return_attention_mask=True,
    )
    encodings = list(encoded.encodings or ())
    rows = encoded.pop("overflow_to_sample_mapping")
    context_part = 0 if context_first else 1
    begins, ends, cls_indices = [], [], []
    for encoding, ids, mask in zip(
        encodings, encoded["input_ids"], encoded["attention_mask"], strict=True
    ):
        parts = encoding.sequence_ids
        begin = parts.index(context_part) if context_part in parts else 0
        begins.append(begin)
        # Contexts are contiguous; searching from the end is faster.
        ends.append(len(parts) - parts[::-1].index(context_part) if context_part in parts else 0)
        cls_indices.append(_cls_index(ids, parts, mask, tokenizer.cls_token_id))
    return Windows(dict(encoded), encodings, rows, begins, ends, cls_indices, context_part)


def _cls_index(
    ids: list[int], parts: list[int | None], mask: list[int], cls_token_id: int | None
) -> int:
    """Return the position of the CLS token, or else of the first token that is not padding."""
    if cls_token_id is not None:
        position = -1
        while cls_token_id in ids[position + 1 :]:
            position = ids.index(cls_token_id, position + 1)
            # Question and context may contain the text of that token.
            if parts[position] is None:
                return position
    return mask.index(1) if 1 in mask else 0


def _check_room(
    row_ids: Sequence[Any],
    questions: Sequence[str],
    contexts: Sequence[str],
    tokenizer: transformers.PreTrainedTokenizerBase,
    max_seq_length: int,
    doc_stride: int,
) -> None:
    """Raise an error for questions so long that the windows would not advance in the context.

    The tokenizers library panics there, without naming the row.
    """
    room = max_seq_length - tokenizer.num_special_tokens_to_add(pair=True)
    longest = room - doc_stride - 1
    # No tokenizer makes two tokens of each ASCII character, so only long questions are tokenized.
    candidates = [
        index
        for index, question in enumerate(questions)
        if not question.isascii() or 2 * len(question) + 2 > longest
    ]
    lengths = _count_tokens(tokenizer, [questions[index] for index in candidates])
    for index, length in zip(candidates, lengths, strict=True):
        if length <= longest:
            continue
        (context_length,) = _count_tokens(tokenizer, [contexts[index]])
        if length + context_length > room:
            raise UserError(
                f"the question of row {row_ids[index]!r} has {length} tokens; with "
                f"data.max_seq_length {max_seq_length} and data.doc_stride {doc_stride} at most "
                f"{max(longest, 0)} leave room to move on in its context. Raise "
                "data.max_seq_length, lower data.doc_stride, or shorten the question."
            )


def _count_tokens(
    tokenizer: transformers.PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[int]:
    if not texts:
        return []
    # No warning that a text is longer than the model takes: that is why it is counted.
    encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)
    return [len(ids) for ids in encoded["input_ids"]]
