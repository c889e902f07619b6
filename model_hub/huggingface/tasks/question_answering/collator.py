"""Question-answering batches: padding, and the columns that only the reducer reads."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transformers

from model_hub.huggingface.tasks._common.padding import pad_rows

#: Columns of a validation batch that the reducer reads and the model is not given.
FEATURE_COLUMNS = (
    "feature_id",
    "context_begin",
    "context_end",
    "cls_index",
    "left_padding",
    "answer_begin",
    "answer_end",
)

# Columns that hold positions of tokens, which padding on the left moves.
_POSITIONS = (
    "start_positions",
    "end_positions",
    "context_begin",
    "context_end",
    "cls_index",
    "answer_begin",
    "answer_end",
)


@dataclasses.dataclass
class QuestionAnsweringCollator:
    """Makes batches of features, padded to the longest of them.

    Padding is on the tokenizer's side; positions of tokens are moved accordingly. Text columns and
    ``offset_mapping`` are left out, all others become int64 tensors, ``[batch, length]`` or
    ``[batch]``. Validation batches also get ``left_padding`` ``[batch]``: how many tokens padding
    put in front of the stored feature.

    Attributes:
        tokenizer: has padding side and padding values.
        pad_to_multiple_of: round the length up to a multiple of this (8 suits tensor cores).
        min_length: pad to at least this many tokens.
    """

    tokenizer: transformers.PreTrainedTokenizerBase
    pad_to_multiple_of: int | None = None
    min_length: int = 1

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return the batch of these features; all of them have the columns of the first."""
        lengths = np.array([len(feature["input_ids"]) for feature in features])
        longest = max(self.min_length, int(lengths.max()))
        if self.pad_to_multiple_of:
            longest += -longest % self.pad_to_multiple_of
        side = self.tokenizer.padding_side
        left_padding = longest - lengths if side == "left" else np.zeros_like(lengths)
        names = [
            name
            for name, value in features[0].items()
            if name != "offset_mapping" and not isinstance(value, str)
        ]
        lists = [name for name in names if np.ndim(features[0][name])]
        rows = [{name: feature[name] for name in lists} for feature in features]
        batch = pad_rows(rows, self.tokenizer, padding_side=side, length=longest)
        for name in names:
            if name not in lists:
                values = np.asarray([feature[name] for feature in features], dtype=np.int64)
                # Negative numbers are no positions.
                moved = values + left_padding * (values >= 0) if name in _POSITIONS else values
                batch[name] = torch.from_numpy(moved)
        if "context_begin" in batch:
            batch["left_padding"] = torch.from_numpy(left_padding)
        return batch


def pop_feature_columns(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Remove the columns for the reducer from a batch and return them."""
    return {name: batch.pop(name) for name in FEATURE_COLUMNS if name in batch}
