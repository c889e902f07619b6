"""Metrics that are computed from sums: the base class of reducers that keep only counts."""

import abc
import logging
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from determined import pytorch

from model_hub.huggingface.tasks._common.padding import NO_LABEL

logger = logging.getLogger("model_hub")

#: Names of the counts of :func:`loss_counts`.
LOSS_COUNTS = ("loss", "targets", "not_finite")

# Sums of real numbers are kept in units of 2 ** -24: integers have the same sum in any order, which
# floating-point numbers do not have; and 2 ** 39 still fits.
_UNITS = 2**24

# A loss above this is as good as infinite (so is its exponential); sums of smaller ones fit int64.
_LARGEST_LOSS = 2.0**20


class SumReducer(pytorch.MetricReducer, abc.ABC):
    """Adds up integers over batches and slots and computes the metrics from the sums.

    A subclass has an ``update`` that calls :meth:`add`, and :meth:`compute`. Its memory does not
    grow with the validation data. Sums of integers have no order, so the metrics are the same to
    the last bit however the rows are divided into batches and slots.
    """

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}

    def reset(self) -> None:
        """Forget all batches."""
        self._sums = {}

    def add(self, **counts: torch.Tensor) -> None:
        """Add a batch's counts, without synchronizing with the device.

        Args:
            counts: integers of any shape, the same shape at each call; they stay on their device.
        """
        for name, count in counts.items():
            if count.is_floating_point():
                raise TypeError(
                    f"{name} is of {count.dtype}: use to_fixed_point for sums of numbers"
                )
            count = count.detach().to(torch.int64)
            self._sums[name] = self._sums[name] + count if name in self._sums else count

    def per_slot_reduce(self) -> dict[str, np.ndarray]:
        """Return this slot's sums, int64; none if the slot had no batch."""
        return {name: total.cpu().numpy() for name, total in self._sums.items()}

    def cross_slot_reduce(
        self, per_slot_metrics: Sequence[Mapping[str, np.ndarray]]
    ) -> dict[str, float]:
        """Return the metrics of the sums over all slots."""
        names = {name for sums in per_slot_metrics for name in sums}
        return self.compute(
            {
                name: np.sum([sums[name] for sums in per_slot_metrics if name in sums], axis=0)
                for name in sorted(names)
            }
        )

    @abc.abstractmethod
    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the metrics.

        Args:
            sums: int64, by the names passed to :meth:`add`; empty if there was no batch at all, for
                which the metrics are NaN.
        """


def to_fixed_point(values: torch.Tensor) -> torch.Tensor:
    """Return real numbers as integers, whose sum does not depend on their order.

    Args:
        values: any float type, any shape, below 2 ** 39 (also their sum).

    Returns:
        int64, the same shape: the values in units of 2 ** -24.
    """
    return (values.detach().double() * _UNITS).round().to(torch.int64)


def from_fixed_point(total: np.ndarray | int) -> float:
    """Return the real number that a sum of :func:`to_fixed_point` stands for."""
    return float(int(total) / _UNITS)


def loss_counts(logits: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what :func:`mean_loss` needs of a batch, without synchronizing with the device.

    Args:
        logits: any float type, ``[targets, classes]``.
        targets: int ``[targets]``; -100 is not counted.

    Returns:
        Of the cross entropies the sum, as of :func:`to_fixed_point`; their number; and how many are
        not finite. Int64 scalars.
    """
    losses = torch.nn.functional.cross_entropy(
        logits.detach().float(), targets, ignore_index=NO_LABEL, reduction="none"
    )
    counted = targets != NO_LABEL
    finite = counted & (losses < _LARGEST_LOSS)
    return {
        # Rounded one by one, so that padding does not matter either.
        "loss": to_fixed_point(torch.where(finite, losses, 0.0)).sum(),
        "targets": counted.sum(),
        "not_finite": (counted & ~finite).sum(),
    }


def mean_loss(sums: Mapping[str, np.ndarray]) -> float:
    """Return the mean of the losses of :func:`loss_counts`; NaN if one is not finite, or of none.

    Args:
        sums: int64, by name.
    """
    if sums.get("not_finite", 0):
        return math.nan
    return ratio(from_fixed_point(sums.get("loss", 0)), int(sums.get("targets", 0)))


def ratio(numerator: float, denominator: float) -> float:
    """Return the quotient, NaN if the denominator is 0."""
    return float(numerator / denominator) if denominator else float("nan")


def log_baseline_metrics(description: str, metrics: Mapping[str, float]) -> None:
    """Log the metrics of a baseline that learns nothing from the inputs.

    Args:
        description: how the baseline predicts, such as "always the most frequent label, 'O'".
        metrics: its metrics on the validation data.
    """
    numbers = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    logger.info("baseline (%s): %s", description, numbers)
