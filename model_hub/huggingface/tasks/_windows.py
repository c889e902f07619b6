"""Question-answering features: rows become overlapping windows of tokens, with labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._answer_tokens import Windows, label_windows, stripped
from model_hub.huggingface.tasks._squad_rows import trained_answer


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
        stripped(trained_answer(value, row_id))
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
