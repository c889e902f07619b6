"""The reducer of the metric of multiple choice."""

from collections.abc import Mapping

import numpy as np
import torch

from model_hub.huggingface.tasks._common.reducers import SumReducer, ratio
from model_hub.huggingface.tasks.multiple_choice.loss import mask_choices


class MultipleChoiceReducer(SumReducer):
    """``accuracy``: the share of rows whose right ending has the highest logit, from counts."""

    def update(self, logits: torch.Tensor, labels: torch.Tensor, choice_mask: torch.Tensor) -> None:
        """Add a batch, without synchronizing with the device; takes those of ``choice_loss``."""
        chosen = mask_choices(logits, choice_mask).argmax(dim=-1)
        self.add(rows=torch.tensor(len(labels)), right=(chosen == labels).sum())

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the accuracy, between 0 and 1; NaN if there is no row."""
        return {"accuracy": ratio(int(sums.get("right", 0)), int(sums.get("rows", 0)))}
