"""Batches of token classification."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers

from model_hub.huggingface.tasks._common.padding import pad_rows, side_to_pad


@dataclasses.dataclass
class TokenClassificationCollator:
    """Makes batches of features, padded to the longest of them.

    Attributes:
        tokenizer: has the padding values and, by ``side_to_pad``, their side; it need not have a
            padding token.
    """

    tokenizer: transformers.PreTrainedTokenizerBase

    def __post_init__(self) -> None:
        self._side = side_to_pad(self.tokenizer)

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return the batch: int64 tensors, ``[batch, length]``; padding has the label -100."""
        return pad_rows(features, self.tokenizer, padding_side=self._side)
