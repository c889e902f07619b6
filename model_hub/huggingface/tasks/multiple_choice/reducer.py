"""The reducer of the metrics of multiple choice."""

from collections.abc import Mapping

import numpy as np
import torch

from model_hub.huggingface.tasks._common.reducers import SumReducer, loss_counts, mean_loss, ratio
from model_hub.huggingface.tasks.multiple_choice.loss import mask_choices


class MultipleChoiceReducer(SumReducer):
    """``accuracy`` and ``validation_loss`` over all rows, from counts.

    ``accuracy`` is the share of rows whose right ending has the highest logit; ``validation_loss``
    is the mean of ``choice_loss``.
    """

    def update(self, logits: torch.Tensor, labels: torch.Tensor, choice_mask: torch.Tensor) -> None:
        """Add a batch, without synchronizing with the device; takes those of ``choice_loss``."""
        masked = mask_choices(logits, choice_mask)
        right = (masked.argmax(dim=-1) == labels).sum()
        self.add(rows=torch.tensor(len(labels)), right=right, **loss_counts(masked, labels))

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the accuracy, between 0 and 1, and the loss; NaN if there is no row."""
        return {
            "accuracy": ratio(int(sums.get("right", 0)), int(sums.get("rows", 0))),
            "validation_loss": mean_loss(sums),
        }
