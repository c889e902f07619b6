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

    columns: dict[str, list[Any]]  # What the model takes.
    encodings: list[Any]  # tokenizers.Encoding
    rows: list[int]  # The row a window comes from; windows of a row are neighbours.
    context_begin: list[int]
    context_end: list[int]
    cls_index: list[int]
    context_part: int  # Which of the tokenizer's two texts the context is.

    def places(self) -> dict[str, list[int]]:
        """The columns that tell where context and CLS token are."""
        return {name: getattr(self, name) for name in ("context_begin", "context_end", "cls_index")}


def strip_answer(answer: tuple[str, int] | None) -> tuple[int, int] | None:
    """Characters (end exclusive) of the answer without blanks around it; None if there are none.

    Tokens do not cover blanks, so with them the answer would begin or end in no token.
    """
    if answer is None:
        return None
    text, start = answer
    bare = text.strip()
    start += text.index(bare)
    return (start, start + len(bare)) if bare and start >= 0 else None


def label_windows(
    windows: Windows,
    answers: Sequence[tuple[int, int] | None],
    doc_stride: int,
    from_right_to_left: bool,
) -> tuple[list[int], list[int]]:
    """Finds the first and last token of the answer in every window.

    Where the tokenizer cannot tell, the windows of a row are put together to the row's whole
    context again, for all such rows at once, so that it is exact which of them hold all tokens of
    the answer.

    Args:
        windows: the windows.
        answers: per row the answer's characters (end exclusive), or None.
        doc_stride: tokens that neighbouring windows share.
        from_right_to_left: whether a row's windows begin with the end of its context.

    Returns:
        Start and end positions per window, inclusive; the CLS token where the answer is not whole.
    """
    starts, ends = list(windows.cls_index), list(windows.cls_index)
    numbers: list[int] = []  # Of the windows of which the tokenizer cannot tell.
    for row, group in itertools.groupby(range(len(windows.rows)), windows.rows.__getitem__):
        of_row, answer = list(group), answers[row]
        if answer is None:
            continue
        found = _tokenize_pairs(windows, of_row, answer)
        if found is None:
            numbers += of_row
            continue
        for number, span in found.items():
            starts[number], ends[number] = span
    if not numbers:
        return starts, ends
    if from_right_to_left:
        numbers.reverse()
    # All contexts one after another make one axis of tokens.
    offsets: list[list[tuple[int, int]]] = []  # New tokens of each window.
    context_of: list[int] = []  # For each window, and so for its new tokens.
    first_token: list[int] = []  # Of each window, on the axis.
    spans: list[tuple[int, int] | None] = []  # Of each context.
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
    for number, context, axis_begin in zip(numbers, context_of, first_token, strict=True):
        begin, end = windows.context_begin[number], windows.context_end[number]
        start_position = begin + first[context] - axis_begin
        end_position = begin + last[context] - axis_begin
        if begin <= start_position <= end_position < end:
            starts[number], ends[number] = start_position, end_position
    return starts, ends


def _tokenize_pairs(
    windows: Windows, of_row: Sequence[int], answer: tuple[int, int]
) -> dict[int, tuple[int, int]] | None:
    """First and last token of the answer in those windows of a row that hold all of it.

    The tokenizer looks a character up much faster than it lists the characters of all tokens.

    Returns:
        By number of the window; or None where it is not so simple: a first or last character
        without a token, or one that may have other tokens besides, also in the next window.
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
    """First and last token that have characters of a span; last < first if there are none.

    Args:
        offsets: pieces of contexts, in order: first and last character (exclusive) of every token.
        context_of: which context a piece belongs to, rising.
        spans: first and last character (exclusive) of one span per context, ``[contexts, 2]``.

    Returns:
        Numbers of tokens, counted through all pieces, one per context.
    """
    flatten = itertools.chain.from_iterable
    flat = np.fromiter(flatten(flatten(offsets)), dtype=np.int64).reshape(-1, 2)
    # Every context has a stretch of its own on one sorted axis of characters, longer than any text.
    stretch = max(int(flat.max(initial=0)), int(spans.max())) + 1
    shift = np.repeat(context_of, [len(piece) for piece in offsets]) * stretch
    ends = np.maximum.accumulate(flat[:, 1] + shift)
    # A token without characters stands where the one before it ends.
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
    """Makes training features of flat SQuAD rows; a function for ``Dataset.map(batched=True)``.

    A context that does not fit becomes several windows, each with the whole question. A window is
    labelled with the smallest span of tokens that covers the answer (its first, without blanks
    around it), or with the CLS token twice if it does not hold the whole answer or there is none.

    Args:
        examples: columns id, context, question and answers.
        tokenizer: a fast tokenizer. With padding on the left the context comes before the question,
            as its models expect.
        max_seq_length: tokens of a window, question and special tokens included.
        doc_stride: tokens of the context that two neighbouring windows share.
        pad_to_max_length: store every window padded; the collator pads to the longest of a batch.
        with_places: also tell where context and CLS token are, as for validation.

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
    """Makes validation features; arguments and errors as :func:`prepare_train_features`.

    Returns:
        Lists with one entry per window. The tokenizer's columns as for training; ``example_id``
        (str), the row it comes from; ``offset_mapping``, the pair of first character and
        character after the last of every token; ``context_begin`` and ``context_end``, the tokens
        that belong to the context (end exclusive); ``cls_index``, the token that stands for "no
        answer".
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
    """Adds the int column ``feature_id``: the row number, by which the reducer finds a feature."""
    return dataset.add_column("feature_id", np.arange(len(dataset)))


def _make_windows(
    examples: Mapping[str, Sequence[Any]],
    tokenizer: transformers.PreTrainedTokenizerBase,
    max_seq_length: int,
    doc_stride: int,
    pad_to_max_length: bool,
) -> Windows:
    # Blanks before a question would use up the window: some rows have hundreds of them.
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
        # The context is in one piece: its end is found sooner from behind.
        ends.append(len(parts) - parts[::-1].index(context_part) if context_part in parts else 0)
        cls_indices.append(_cls_index(ids, parts, mask, tokenizer.cls_token_id))
    return Windows(dict(encoded), encodings, rows, begins, ends, cls_indices, context_part)


def _cls_index(
    ids: list[int], parts: list[int | None], mask: list[int], cls_token_id: int | None
) -> int:
    """Position of the CLS token, or of the first token that is no padding if there is none."""
    if cls_token_id is not None:
        position = -1
        while cls_token_id in ids[position + 1 :]:
            position = ids.index(cls_token_id, position + 1)
            # The same token inside question or context was written there by somebody.
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
    """Complains of questions beside which the windows would not get ahead in the context.

    The tokenizers library panics there, without saying which row it was.
    """
    room = max_seq_length - tokenizer.num_special_tokens_to_add(pair=True)
    longest = room - doc_stride - 1
    # No tokenizer makes two tokens of each ASCII character: most questions need not be counted.
    suspects = [
        index
        for index, question in enumerate(questions)
        if not question.isascii() or 2 * len(question) + 2 > longest
    ]
    lengths = _count_tokens(tokenizer, [questions[index] for index in suspects])
    for index, length in zip(suspects, lengths, strict=True):
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
    # verbose: no warning that the text is longer than the model takes; that is what is asked here.
    encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)
    return [len(ids) for ids in encoded["input_ids"]]
