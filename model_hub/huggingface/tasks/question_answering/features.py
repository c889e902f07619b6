"""Question-answering features: rows become overlapping windows of tokens, with labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks.question_answering.labels import (
    NO_POSITION,
    Windows,
    label_windows,
    strip_answer,
)
from model_hub.huggingface.tasks.question_answering.rows import answers_of, trained_answer


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
        exclusive); ``cls_index``, the token that stands for "no answer". If the rows have
        ``answers``, also ``answer_begin`` and ``answer_end``, the labels that training has, for
        the loss; -100 for answers without a position.
    """
    windows = _make_windows(examples, tokenizer, max_seq_length, doc_stride, pad_to_max_length)
    ids = [str(row_id) for row_id in examples["id"]]
    positions = {}
    if "answers" in examples:
        known = [
            answers_of(value, row_id)
            for value, row_id in zip(examples["answers"], examples["id"], strict=True)
        ]
        # Answers of other metrics than this loss need no position.
        placed = [(texts[0], starts[0]) if texts and starts else None for texts, starts in known]
        labels = label_windows(
            windows,
            [strip_answer(answer) for answer in placed],
            doc_stride,
            tokenizer.truncation_side == "left",
        )
        unknown = [bool(texts) and starts is None for texts, starts in known]
        for name, tokens in zip(("answer_begin", "answer_end"), labels, strict=True):
            positions[name] = [
                NO_POSITION if unknown[row] else token
                for row, token in zip(windows.rows, tokens, strict=True)
            ]
    return {
        **windows.columns,
        "example_id": [ids[row] for row in windows.rows],
        "offset_mapping": [encoding.offsets for encoding in windows.encodings],
        **windows.places(),
        **positions,
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
