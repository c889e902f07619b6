"""Question-answering batches: padding, and the columns that are for the reducer."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transformers

# Columns of a validation batch that the reducer reads and the model does not take.
FEATURE_COLUMNS = ("feature_id", "context_begin", "context_end", "cls_index", "left_padding")

# Columns that hold a position in the tokens, which padding on the left moves.
_POSITIONS = ("start_positions", "end_positions", "context_begin", "context_end", "cls_index")


@dataclasses.dataclass
class QuestionAnsweringCollator:
    """Makes a batch of a list of features, padded to the longest of them.

    Padding stands on the tokenizer's side; positions of tokens move along. Text columns and
    ``offset_mapping`` are left out, all others become int64 tensors, ``[batch, length]`` or
    ``[batch]``. Validation batches also get ``left_padding`` ``[batch]``: the tokens that padding
    here put in front of a stored feature.

    Attributes:
        tokenizer: tells padding side and padding values.
        pad_to_multiple_of: round the length up to a multiple of this (8 suits tensor cores).
        min_length: pad to at least this many tokens.
    """

    tokenizer: transformers.PreTrainedTokenizerBase
    pad_to_multiple_of: int | None = None
    min_length: int = 1

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of these features; all of them have the columns of the first."""
        lengths = [len(feature["input_ids"]) for feature in features]
        longest = max(self.min_length, *lengths)
        if self.pad_to_multiple_of:
            longest += -longest % self.pad_to_multiple_of
        on_the_left = self.tokenizer.padding_side == "left"
        missing = np.array([longest - length if on_the_left else 0 for length in lengths])
        batch: dict[str, torch.Tensor] = {}
        for name, first in features[0].items():
            if name == "offset_mapping" or isinstance(first, str):
                continue
            rows = [feature[name] for feature in features]
            if np.ndim(first) == 0:
                values = np.asarray(rows, dtype=np.int64)
                if name in _POSITIONS:
                    values = values + missing
            else:
                values = np.full((len(rows), longest), self._padding(name), dtype=np.int64)
                for target, row, left in zip(values, rows, missing.tolist(), strict=True):
                    target[left : left + len(row)] = row
            batch[name] = torch.from_numpy(values)
        if "context_begin" in batch:
            batch["left_padding"] = torch.from_numpy(missing.astype(np.int64))
        return batch

    def _padding(self, name: str) -> int:
        if name == "input_ids":
            # Without a padding token any will do: the attention mask hides it.
            return int(self.tokenizer.pad_token_id or 0)
        if name == "token_type_ids":
            return int(self.tokenizer.pad_token_type_id)
        return 1 if name == "special_tokens_mask" else 0


def pop_feature_columns(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Takes those columns out of a batch that are for the reducer; the rest is for the model."""
    return {name: batch.pop(name) for name in FEATURE_COLUMNS if name in batch}
