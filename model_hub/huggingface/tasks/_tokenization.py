"""Keys of section ``data`` that all tasks share: how texts become batches of tokens."""

import copy
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._padding import side_to_pad

logger = logging.getLogger("model_hub")


@dataclasses.dataclass
class TokenizationDataKwargs:
    """Keys of the YAML's section ``data`` about tokenizing.

    Attributes:
        max_seq_length: longest sequence in tokens; what is longer is cut. None takes what
            tokenizer and model take.
        pad_to_max_length: pad every sequence to ``max_seq_length``; else to the longest of its
            batch, which is faster.
        preprocessing_num_workers: processes that tokenize.
        overwrite_cache: tokenize again although the cache has it.
    """

    yaml_section: ClassVar[str] = "data"

    max_seq_length: int | None = None
    pad_to_max_length: bool = False
    preprocessing_num_workers: int | None = None
    overwrite_cache: bool = False

    def __post_init__(self) -> None:
        workers = self.preprocessing_num_workers
        if workers is not None and workers < 1:
            raise UserError(
                f"data.preprocessing_num_workers is {workers}, but should be at least 1."
            )


@dataclasses.dataclass
class PlainBatches:
    """Makes batches as another collator does, as a plain dict.

    Determined moves tensors in dicts to the device, but not those in transformers' own classes.

    Attributes:
        collator: makes a mapping of names to tensors of a list of rows.
    """

    collator: Callable[[list[Any]], Mapping[str, torch.Tensor]]

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of these rows."""
        return dict(self.collator(list(rows)))


def ensure_padding_token(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    """Gives a tokenizer without a padding token (GPT-2, Llama) one, in place.

    It is the end-of-sequence token, as is usual: the attention mask hides padding, whichever token
    it is. The tokenizer is exported with it.

    Args:
        tokenizer: the tokenizer.

    Raises:
        UserError: when it has no end-of-sequence token either.
    """
    if tokenizer.pad_token_id is not None:
        return
    if tokenizer.eos_token_id is None:
        raise UserError(_NO_PADDING)
    tokenizer.pad_token = tokenizer.eos_token
    logger.info(
        "the tokenizer has no padding token; batches are padded with %r, which ends a sequence",
        str(tokenizer.eos_token),
    )


_NO_PADDING = (
    "the tokenizer has no padding token, so that texts of different lengths cannot be in one "
    "batch. Write hyperparameters.tokenizer_name with the folder of a tokenizer that has one."
)


def padding_batches(
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer, or a copy of it that pads on the side that batches want."""
    side = side_to_pad(tokenizer)
    if tokenizer.padding_side == side:
        return tokenizer
    tokenizer = copy.copy(tokenizer)
    tokenizer.padding_side = side
    return tokenizer


def padding_collator(tokenizer: transformers.PreTrainedTokenizerBase) -> PlainBatches:
    """A collator that pads the tokenizer's columns and passes numbers such as ``label`` on.

    Args:
        tokenizer: tells padding values; for the side see ``side_to_pad``.

    Raises:
        UserError: when the tokenizer has no padding token.
    """
    if tokenizer.pad_token_id is None:
        raise UserError(_NO_PADDING)
    return PlainBatches(transformers.DataCollatorWithPadding(padding_batches(tokenizer)))
