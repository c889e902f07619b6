"""Reducers of the metrics of text classification."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from determined import pytorch

from model_hub.huggingface.tasks._common.padding import NO_LABEL
from model_hub.huggingface.tasks._common.reducers import (
    LOSS_COUNTS,
    SumReducer,
    loss_counts,
    mean_loss,
    ratio,
)
from model_hub.huggingface.tasks.text_classification.metrics import (
    classification_metrics,
    regression_metrics,
)


class ClassificationReducer(SumReducer):
    """Keeps a confusion matrix for each validation split: 8 bytes for each pair of labels.

    Args:
        num_labels: number of labels.
        metrics: as for :func:`classification_metrics`.
        positive: the label for F1; None takes macro F1.
        suffixes: for each validation split the suffix of its metrics' names.
    """

    def __init__(
        self,
        num_labels: int,
        metrics: Sequence[str],
        positive: int | None = None,
        suffixes: Sequence[str] = ("",),
    ) -> None:
        super().__init__()
        self._num_labels = num_labels
        self._metrics = tuple(metrics)
        self._positive = positive
        self._suffixes = tuple(suffixes)

    def update(
        self, logits: torch.Tensor, labels: torch.Tensor, split: torch.Tensor | None = None
    ) -> None:
        """Add a batch, without synchronizing with the device.

        Args:
            logits: any float type, ``[batch, labels]``.
            labels: int ``[batch]``; -100 is not counted.
            split: number of each row's validation split, int ``[batch]``; None is 0 for all.
        """
        self.count(logits.argmax(dim=-1), labels, split)
        labels = labels.flatten()
        at = torch.zeros_like(labels) if split is None else split.flatten()
        counts = [
            loss_counts(logits, labels.where(at == number, NO_LABEL))
            for number in range(len(self._suffixes))
        ]
        self.add(**{name: torch.stack([c[name] for c in counts]) for name in counts[0]})

    def count(
        self, predictions: torch.Tensor, labels: torch.Tensor, split: torch.Tensor | None = None
    ) -> None:
        """Do the same, without a loss, with the predicted labels, int ``[batch]``."""
        labels = labels.flatten()
        counted = labels != NO_LABEL
        # Rows without a label add 0 to label 0: selecting the others would synchronize.
        labels = torch.where(counted, labels, 0)
        place = labels if split is None else split.flatten() * self._num_labels + labels
        place = place * self._num_labels + predictions.flatten()
        shape = (len(self._suffixes), self._num_labels, self._num_labels)
        zeros = torch.zeros(int(np.prod(shape)), dtype=torch.int64, device=labels.device)
        self.add(confusion=zeros.index_add_(0, place, counted.to(torch.int64)).view(shape))

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the metrics of each split, from its confusion matrix, and its mean loss."""
        empty = np.zeros((len(self._suffixes), self._num_labels, self._num_labels), np.int64)
        metrics: dict[str, float] = {}
        confusions = sums.get("confusion", empty)
        for number, (suffix, confusion) in enumerate(zip(self._suffixes, confusions, strict=True)):
            found = classification_metrics(confusion, self._metrics, self._positive)
            if not sums or "loss" in sums:
                found["validation_loss"] = mean_loss(
                    {name: sums[name][number] for name in LOSS_COUNTS if name in sums}
                )
            metrics |= {f"{name}{suffix}": value for name, value in found.items()}
        return metrics


class RegressionReducer(pytorch.MetricReducer):
    """Keeps prediction and label of each row as float32, since ranks need all rows: 8 bytes a row.

    The metrics are the same to the last bit however the rows are divided into batches and slots.

    Args:
        metrics: as for :func:`regression_metrics`.
    """

    def __init__(self, metrics: Sequence[str]) -> None:
        self._metrics = tuple(metrics)
        self.reset()

    def reset(self) -> None:
        """Forget all rows."""
        self._pairs: list[torch.Tensor] = []

    def update(
        self, logits: torch.Tensor, labels: torch.Tensor, split: torch.Tensor | None = None
    ) -> None:
        """Add a batch, without synchronizing with the device.

        Args:
            logits: predicted numbers, any float type, ``[batch, 1]`` or ``[batch]``.
            labels: float ``[batch]``.
            split: not used; there is one validation split.
        """
        pairs = (logits.detach().flatten(), labels.flatten())
        self._pairs.append(torch.stack([values.to(torch.float32) for values in pairs], dim=1))

    def per_slot_reduce(self) -> np.ndarray:
        """Return prediction and label of this slot's rows, float32 ``[rows, 2]``."""
        if not self._pairs:
            return np.empty((0, 2), np.float32)
        joined: np.ndarray = torch.cat(self._pairs).cpu().numpy()
        return joined

    def cross_slot_reduce(self, per_slot_metrics: Sequence[np.ndarray]) -> dict[str, float]:
        """Return the metrics over the rows of all slots, and the mean squared error as loss.

        All are NaN if there is no row.
        """
        pairs = np.concatenate(per_slot_metrics)
        squares = np.square(pairs[:, 0].astype(np.float64) - pairs[:, 1])
        return {
            **regression_metrics(pairs[:, 0], pairs[:, 1], self._metrics),
            # fsum does not depend on the order.
            "validation_loss": ratio(math.fsum(squares.tolist()), len(squares)),
        }
