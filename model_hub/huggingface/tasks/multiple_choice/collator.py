"""Batches of multiple choice."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers

from model_hub.huggingface.tasks._common.padding import pad_rows, side_to_pad


@dataclasses.dataclass
class MultipleChoiceCollator:
    """Makes a batch of a list of features, padded to the longest sequence in it.

    In the place of an ending that a row does not have stands its first one again, so that the
    model has something to compute; ``choice_mask`` tells them apart.

    Attributes:
        tokenizer: tells padding values and, by ``side_to_pad``, their side.
    """

    tokenizer: transformers.PreTrainedTokenizerBase

    def __post_init__(self) -> None:
        self._side = side_to_pad(self.tokenizer)

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of these features.

        Returns:
            The tokenizer's columns, int64 ``[batch, choices, length]``; ``labels``, int64
            ``[batch]``; ``choice_mask``, bool ``[batch, choices]``: the endings that are there.
            ``choices`` is as many as the row with most of them needs.
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
            taken = [number if number in numbers else numbers[0] for number in range(choices)]
            rows += [{name: feature[name][number] for name in names} for number in taken]
        padded = pad_rows(rows, self.tokenizer, padding_side=self._side)
        batch = {name: flat.view(len(features), choices, -1) for name, flat in padded.items()}
        labels = torch.tensor([int(feature["labels"]) for feature in features])
        return {**batch, "labels": labels, "choice_mask": mask}
