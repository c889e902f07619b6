"""Loss and metric of multiple choice."""

from collections.abc import Mapping

import numpy as np
import torch

from model_hub.huggingface.tasks._common.reducers import SumReducer, ratio


def mask_choices(logits: torch.Tensor, choice_mask: torch.Tensor) -> torch.Tensor:
    """The logits with minus infinity for endings that are not there.

    Args:
        logits: any float type, ``[batch, choices]``.
        choice_mask: bool, ``[batch, choices]``.

    Returns:
        float32, ``[batch, choices]``.
    """
    return logits.float().masked_fill(~choice_mask, -torch.inf)


def choice_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    choice_mask: torch.Tensor,
    label_smoothing_factor: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy over the endings that are there, the mean of the rows.

    Where all rows have all endings, this is the loss that the models of transformers compute.

    Args:
        logits: any float type, ``[batch, choices]``.
        labels: number of the right ending, int64 ``[batch]``.
        choice_mask: bool, ``[batch, choices]``.
        label_smoothing_factor: share of the target that is spread over the endings of a row.
    """
    masked = mask_choices(logits, choice_mask)
    loss = torch.nn.functional.cross_entropy(masked, labels)
    if not label_smoothing_factor:
        return loss
    # torch's own smoothing would count the endings that are not there, with a loss of infinity.
    losses = -masked.log_softmax(dim=-1).masked_fill(~choice_mask, 0.0)
    uniform = (losses.sum(dim=-1) / choice_mask.sum(dim=-1)).mean()
    return (1 - label_smoothing_factor) * loss + label_smoothing_factor * uniform


class MultipleChoiceReducer(SumReducer):
    """``accuracy``: the share of rows whose right ending has the highest logit. It keeps counts."""

    def update(self, logits: torch.Tensor, labels: torch.Tensor, choice_mask: torch.Tensor) -> None:
        """Counts a batch; without waiting for the device. Arguments as of :func:`choice_loss`."""
        chosen = mask_choices(logits, choice_mask).argmax(dim=-1)
        self.add(rows=torch.tensor(len(labels)), right=(chosen == labels).sum())

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The accuracy, between 0 and 1; NaN if there was no row."""
        return {"accuracy": ratio(int(sums.get("right", 0)), int(sums.get("rows", 0)))}
