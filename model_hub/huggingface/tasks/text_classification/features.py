"""Features of text classification: the tokens of one or two texts, and the label's number."""

from collections.abc import Mapping, Sequence
from typing import Any

import transformers

from model_hub.huggingface.tasks._common.padding import side_to_pad


def prepare_features(
    rows: Mapping[str, list[Any]],
    tokenizer: transformers.PreTrainedTokenizerBase,
    text_columns: Sequence[str],
    label_numbers: Sequence[tuple[Any, int]],
    max_seq_length: int,
    pad_to_max_length: bool = False,
) -> dict[str, list[Any]]:
    """Tokenize rows; a function for ``Dataset.map(batched=True)``.

    Args:
        rows: columns of a batch of rows, ``label`` among them.
        tokenizer: the tokenizer.
        text_columns: one or two columns with the text.
        label_numbers: pairs of a label's value and its number; none for regression.
        max_seq_length: longest sequence in tokens. Longer ones are cut at their end; of two texts,
            the longer one is cut first.
        pad_to_max_length: pad every sequence to that length.

    Returns:
        The tokenizer's columns (``input_ids``, ``attention_mask``, ...), and ``labels``, int or,
        for regression, float. Every row has at least one token.
    """
    encoded = tokenizer(
        *(rows[name] for name in text_columns),
        truncation=True,
        max_length=max_seq_length,
        padding="max_length" if pad_to_max_length else False,
        padding_side=side_to_pad(tokenizer) if pad_to_max_length else None,
    )
    _fill_empty(encoded, tokenizer)
    numbers = dict(label_numbers)
    labels = [numbers[value] if numbers else float(value) for value in rows["label"]]
    return {**encoded, "labels": labels}


def _fill_empty(
    encoded: Mapping[str, list[list[int]]], tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    """Put one token into rows without any: empty texts, if there are no special tokens.

    It is that of a blank, or of a dot if a blank has none. It must not be the padding token, since
    some models classify by the last token that is not padding.
    """
    masks = encoded.get("attention_mask")
    # Padding, if any, is on the right: the mask of a row with text begins with a 1.
    empty = [
        row
        for row, ids in enumerate(encoded["input_ids"])
        if not (ids if masks is None else any(masks[row]))
    ]
    if not empty:
        return
    for text in (" ", "."):
        token = tokenizer(text, add_special_tokens=False)["input_ids"][:1]
        if token:
            break
    for row in empty:
        for name, values in encoded.items():
            values[row][:1] = token if name == "input_ids" else [int(name == "attention_mask")]
