"""Rows of tokens of different lengths become tensors."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import transformers

#: What marks a token without a label; torch's losses leave it out.
NO_LABEL = -100


def pad_rows(
    rows: Sequence[Mapping[str, Sequence[int]]],
    tokenizer: transformers.PreTrainedTokenizerBase,
    *,
    length: int | None = None,
    padding_side: str | None = None,
) -> dict[str, torch.Tensor]:
    """Pads every column to the longest of the rows, on the tokenizer's side.

    Args:
        rows: lists of int, of the same length within a row; all rows have the columns of the first.
        tokenizer: tells padding side and padding values.
        length: pad to this length instead; it is not less than the longest row's.
        padding_side: ``left`` or ``right``; None takes the tokenizer's.

    Returns:
        int64 tensors, ``[rows, longest]``. Padding is 0 in ``attention_mask``, -100 in ``labels``.
    """
    longest = length or max(len(next(iter(row.values()))) for row in rows)
    on_the_left = (padding_side or tokenizer.padding_side) == "left"
    padded = {}
    for name in rows[0]:
        values = np.full((len(rows), longest), _padding_value(name, tokenizer), dtype=np.int64)
        for target, row in zip(values, rows, strict=True):
            begin = longest - len(row[name]) if on_the_left else 0
            target[begin : begin + len(row[name])] = row[name]
        padded[name] = torch.from_numpy(values)
    return padded


def _padding_value(name: str, tokenizer: transformers.PreTrainedTokenizerBase) -> int:
    if name == "input_ids":
        # Without a padding token any will do: the attention mask hides it.
        return int(tokenizer.pad_token_id or 0)
    if name == "token_type_ids":
        return int(tokenizer.pad_token_type_id)
    return NO_LABEL if name == "labels" else 0
