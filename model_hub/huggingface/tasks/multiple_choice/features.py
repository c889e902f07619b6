"""Features of multiple choice: a sequence of tokens for each ending."""

from collections.abc import Mapping, Sequence
from typing import Any

import transformers

from model_hub.huggingface.tasks._common.padding import side_to_pad
from model_hub.huggingface.tasks.multiple_choice.rows import label_number


def prepare_features(
    examples: Mapping[str, Sequence[Any]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    endings: Sequence[str],
    max_seq_length: int,
    pad_to_max_length: bool = False,
) -> dict[str, list[Any]]:
    """Make features of rows; a function for ``Dataset.map(batched=True)``.

    The sequence of an ending is ``sent1``, and ``sent2`` followed by the ending.

    Args:
        examples: columns ``sent1``, the endings, ``label``, and optionally ``sent2``.
        tokenizer: the tokenizer.
        endings: the columns with endings, in their order.
        max_seq_length: tokens of the longest sequence, including special tokens; the longer of the
            two texts is cut first.
        pad_to_max_length: store every sequence padded; the collator pads to the longest of a batch.

    Returns:
        Lists with one entry per row, ``input_ids``, ``attention_mask`` and ``token_type_ids`` if
        the tokenizer makes them (a list of int for each ending, empty for a missing one), and
        ``labels`` (int).
    """
    beginnings = examples["sent1"]
    openings = examples.get("sent2", [None] * len(beginnings))
    first, second = [], []
    filled: list[list[bool]] = []
    for row, (beginning, opening) in enumerate(zip(beginnings, openings, strict=True)):
        texts = [examples[name][row] or "" for name in endings]
        filled.append([bool(text.strip()) for text in texts])
        for text, is_filled in zip(texts, filled[-1], strict=True):
            if is_filled:
                first.append(beginning)
                second.append(f"{opening} {text}" if opening else text)
    encoded = tokenizer(
        first,
        second,
        truncation=True,
        max_length=max_seq_length,
        padding="max_length" if pad_to_max_length else False,
        padding_side=side_to_pad(tokenizer) if pad_to_max_length else None,
        return_attention_mask=True,
    )
    features: dict[str, list[Any]] = {}
    for name, sequences in encoded.items():
        remaining = iter(sequences)
        features[name] = [[next(remaining) if f else [] for f in row] for row in filled]
    features["labels"] = [label_number(label) for label in examples["label"]]
    return features
