"""Padding: rows of tokens of different lengths become tensors; the token that it needs."""

import copy
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transformers

from model_hub.errors import UserError

logger = logging.getLogger("model_hub")

#: The label of tokens without a label, which torch's losses ignore.
NO_LABEL = -100

#: The message about a tokenizer without a padding token.
NO_PADDING_TOKEN = (
    "the tokenizer has no padding token, so that texts of different lengths cannot be in one "
    "batch. Write hyperparameters.tokenizer_name with the folder of a tokenizer that has one."
)


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


def check_padding_token(
    tokenizer: transformers.PreTrainedTokenizerBase, pad_to_max_length: bool
) -> None:
    """Check that a tokenizer has the padding token that ``data.pad_to_max_length`` needs.

    Raises:
        UserError: when it has none.
    """
    if pad_to_max_length and tokenizer.pad_token_id is None:
        raise UserError(
            "data.pad_to_max_length is true, but the tokenizer has no padding token. Write "
            "data.pad_to_max_length: false; batches are then padded to their longest sequence."
        )


def ensure_padding_token(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    """Set the padding token of a tokenizer that has none (GPT-2, Llama), in place.

    It becomes the end-of-sequence token, as usual: the attention mask hides padding, whichever
    token it is. The tokenizer is exported with it.

    Raises:
        UserError: when the tokenizer has no end-of-sequence token either.
    """
    if tokenizer.pad_token_id is not None:
        return
    if tokenizer.eos_token_id is None:
        raise UserError(NO_PADDING_TOKEN)
    tokenizer.pad_token = tokenizer.eos_token
    logger.info(
        "the tokenizer has no padding token; batches are padded with the end-of-sequence token %r",
        str(tokenizer.eos_token),
    )


@dataclasses.dataclass
class DictCollator:
    """A collator that returns the batches of another one as plain dicts.

    Determined moves the tensors of dicts to the device, but not those of transformers' classes.

    Attributes:
        collator: makes a mapping of names to tensors from a list of rows.
    """

    collator: Callable[[list[Any]], Mapping[str, torch.Tensor]]

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return the batch of these rows."""
        return dict(self.collator(list(rows)))


def with_batch_padding_side(
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> transformers.PreTrainedTokenizerBase:
    """Return the tokenizer, or a copy of it that pads on the side of :func:`side_to_pad`."""
    side = side_to_pad(tokenizer)
    if tokenizer.padding_side == side:
        return tokenizer
    tokenizer = copy.copy(tokenizer)
    tokenizer.padding_side = side
    return tokenizer


def padding_collator(tokenizer: transformers.PreTrainedTokenizerBase) -> DictCollator:
    """Return a collator that pads the tokenizer's columns and keeps numbers such as ``label``.

    Args:
        tokenizer: has the padding values; for the side see ``side_to_pad``.

    Raises:
        UserError: when the tokenizer has no padding token.
    """
    if tokenizer.pad_token_id is None:
        raise UserError(NO_PADDING_TOKEN)
    return DictCollator(transformers.DataCollatorWithPadding(with_batch_padding_side(tokenizer)))
