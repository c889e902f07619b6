"""Metrics that follow from sums: the base of the reducers that keep nothing but counts."""

import abc
import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from determined import pytorch

# Sums of real numbers are kept in units of 2 ** -24. Integers add up to the same sum in any order,
# which floating-point numbers do not; and 2 ** 39 still fits.
_UNITS = 2**24


class SumReducer(pytorch.MetricReducer, abc.ABC):
    """Adds up integers over batches and slots; the metrics are computed from the sums at the end.

    A subclass has an ``update`` that calls :meth:`add`, and :meth:`compute`. Its memory does not
    grow with the validation data, and its metrics do not depend on how the rows are dealt into
    batches and slots: to the last bit, since sums of integers have no order.
    """

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}

    def reset(self) -> None:
        """Forgets all batches seen."""
        self._sums = {}

    def add(self, **counts: torch.Tensor) -> None:
        """Adds a batch's counts; without waiting for the device.

        Args:
            counts: integers of any shape, the same shape at each call; where they are on an
                accelerator they stay there.
        """
        for name, count in counts.items():
            if count.is_floating_point():
                raise TypeError(
                    f"{name} is of {count.dtype}: use to_fixed_point for sums of numbers"
                )
            count = count.detach().to(torch.int64)
            self._sums[name] = self._sums[name] + count if name in self._sums else count

    def per_slot_reduce(self) -> dict[str, np.ndarray]:
        """This slot's sums, int64; none of them if the slot had no batch."""
        return {name: total.cpu().numpy() for name, total in self._sums.items()}

    def cross_slot_reduce(
        self, per_slot_metrics: Sequence[Mapping[str, np.ndarray]]
    ) -> dict[str, float]:
        """The metrics of the sums over all slots."""
        names = {name for sums in per_slot_metrics for name in sums}
        return self.compute(
            {
                name: np.sum([sums[name] for sums in per_slot_metrics if name in sums], axis=0)
                for name in sorted(names)
            }
        )

    @abc.abstractmethod
    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The metrics.

        Args:
            sums: int64, under the names that :meth:`add` got; empty if there was no batch at all,
                for which the metrics are NaN.
        """


def to_fixed_point(values: torch.Tensor) -> torch.Tensor:
    """Real numbers as integers whose sums do not depend on their order.

    Args:
        values: any float type, any shape, below 2 ** 39 (also their sum).

    Returns:
        int64, the same shape: the values in units of 2 ** -24.
    """
    return (values.detach().double() * _UNITS).round().to(torch.int64)


def from_fixed_point(total: np.ndarray | int) -> float:
    """The real number that a sum of :func:`to_fixed_point` stands for."""
    return float(int(total) / _UNITS)


def ratio(numerator: float, denominator: float) -> float:
    """Their quotient, NaN where there is nothing to divide by."""
    return float(numerator / denominator) if denominator else float("nan")


logger = logging.getLogger("model_hub")


def log_baseline_metrics(description: str, metrics: Mapping[str, float]) -> None:
    """Says, once, what one would score without having learned anything.

    Args:
        description: how the baseline answers, such as "always the most frequent label, 'O'".
        metrics: its metrics on the validation data.
    """
    numbers = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    logger.info("baseline (%s): %s", description, numbers)
