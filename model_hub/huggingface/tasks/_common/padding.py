"""Padding: rows of tokens of different lengths become tensors."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import transformers

#: The label of tokens without a label, which torch's losses ignore.
NO_LABEL = -100


def side_to_pad(tokenizer: transformers.PreTrainedTokenizerBase) -> str:
    """Return the side on which batches are padded: ``right``, or ``left`` for XLNet's tokenizers.

    Most models count positions from the left, padding included: padded there, a row would get
    other positions, and other predictions, in another batch. Models whose tokenizer puts the CLS
    token last, as XLNet's does, use relative positions and read the last token.
    """
    last = tokenizer("a")["input_ids"][-1:]
    cls_is_last = tokenizer.cls_token_id is not None and last == [tokenizer.cls_token_id]
    return "left" if cls_is_last and tokenizer.padding_side == "left" else "right"


def pad_rows(
    rows: Sequence[Mapping[str, Sequence[int]]],
    tokenizer: transformers.PreTrainedTokenizerBase,
    *,
    padding_side: str,
    length: int | None = None,
) -> dict[str, torch.Tensor]:
    """Pad every column to the longest of the rows.

    Args:
        rows: lists of int, of the same length within a row; all rows have the columns of the first.
        tokenizer: has the padding values.
        padding_side: ``left`` or ``right``, see :func:`side_to_pad`.
        length: pad to this length instead, which must not be less than the longest row's.

    Returns:
        int64 tensors, ``[rows, longest]``. Padding is 0 in ``attention_mask``, -100 in ``labels``.
    """
    longest = length or max(len(next(iter(row.values()))) for row in rows)
    padded = {}
    for name in rows[0]:
        values = np.full((len(rows), longest), _padding_value(name, tokenizer), dtype=np.int64)
        for target, row in zip(values, rows, strict=True):
            begin = longest - len(row[name]) if padding_side == "left" else 0
            target[begin : begin + len(row[name])] = row[name]
        padded[name] = torch.from_numpy(values)
    return padded


def _padding_value(name: str, tokenizer: transformers.PreTrainedTokenizerBase) -> int:
    if name == "input_ids":
        # Without a padding token any will do: the attention mask hides it.
        return int(tokenizer.pad_token_id or 0)
    if name == "token_type_ids":
        return int(tokenizer.pad_token_type_id)
    return {"labels": NO_LABEL, "special_tokens_mask": 1}.get(name, 0)
