"""Features of text-classification rows: the tokens of one or two texts, and the label's number."""

from collections.abc import Mapping, Sequence
from typing import Any

import transformers


def prepare_features(
    rows: Mapping[str, list[Any]],
    tokenizer: transformers.PreTrainedTokenizerBase,
    text_columns: Sequence[str],
    label_numbers: Sequence[tuple[Any, int]],
    max_seq_length: int,
    pad_to_max_length: bool = False,
) -> dict[str, list[Any]]:
    """Tokenizes rows.

    Args:
        rows: columns of a batch of rows, ``label`` among them.
        tokenizer: the tokenizer.
        text_columns: one or two columns that hold the text.
        label_numbers: pairs of a label's value and its number; none where the label is a number to
            be predicted.
        max_seq_length: longest sequence in tokens; of what is longer, the end is cut, of two texts
            the longer one's first.
        pad_to_max_length: pad every sequence to that length.

    Returns:
        What the tokenizer gives (``input_ids``, ``attention_mask``, ...), and ``labels``: int, or
        float where there are no label numbers.
    """
    encoded = tokenizer(
        *(rows[name] for name in text_columns),
        truncation=True,
        max_length=max_seq_length,
        padding="max_length" if pad_to_max_length else False,
    )
    numbers = dict(label_numbers)
    labels = [numbers[value] if numbers else float(value) for value in rows["label"]]
    return {**encoded, "labels": labels}
