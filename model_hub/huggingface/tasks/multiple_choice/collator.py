"""Batches of multiple choice."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers

from model_hub.huggingface.tasks._common.padding import pad_rows, side_to_pad


@dataclasses.dataclass
class MultipleChoiceCollator:
    """Makes batches of features, padded to the longest sequence.

    The first ending of a row replaces missing ones, so that the model computes something; they are
    false in ``choice_mask``.

    Attributes:
        tokenizer: has the padding values and, by ``side_to_pad``, their side.
    """

    tokenizer: transformers.PreTrainedTokenizerBase

    def __post_init__(self) -> None:
        self._side = side_to_pad(self.tokenizer)

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return the batch of these features.

        Returns:
            The tokenizer's columns, int64 ``[batch, choices, length]``; ``labels``, int64
            ``[batch]``; ``choice_mask``, bool ``[batch, choices]``, true for the row's endings.
            ``choices`` is the number of the row with most endings.
        """
        names = [name for name in features[0] if name != "labels"]
        present = [
            [number for number, sequence in enumerate(feature[names[0]]) if len(sequence)]
            for feature in features
        ]
        choices = max(numbers[-1] for numbers in present) + 1
        mask = torch.zeros(len(features), choices, dtype=torch.bool)
        rows = []
        for row, (feature, numbers) in enumerate(zip(features, present, strict=True)):
            mask[row, numbers] = True
            chosen = [number if number in numbers else numbers[0] for number in range(choices)]
            rows += [{name: feature[name][number] for name in names} for number in chosen]
        padded = pad_rows(rows, self.tokenizer, padding_side=self._side)
        batch = {name: flat.view(len(features), choices, -1) for name, flat in padded.items()}
        labels = torch.tensor([int(feature["labels"]) for feature in features])
        return {**batch, "labels": labels, "choice_mask": mask}
