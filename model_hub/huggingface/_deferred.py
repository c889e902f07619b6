"""Training metrics that stay on the device until somebody reads them."""

import numbers
from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np
import torch


class DeferredMetric:
    """A metric of one batch that is fetched from its device when it is read.

    Determined fetches every metric of every batch at once, for which a GPU has to finish all that
    was asked of it; the next step then begins with nothing to do for it. This one takes the place
    of the number in the lists that are averaged, sent between slots, and reported.

    Args:
        value: a tensor of one number; it must not be changed afterwards.
    """

    def __init__(self, value: torch.Tensor) -> None:
        self._value: torch.Tensor | np.ndarray = value.detach()

    def fetch(self) -> np.ndarray:
        """The number as Determined's own fetching gives it: an array of the tensor's shape."""
        if isinstance(self._value, torch.Tensor):
            self._value = self._value.cpu().numpy()
        return self._value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.fetch(), dtype=dtype)

    def __float__(self) -> float:
        return float(self.fetch())

    def __reduce__(self) -> tuple[Any, ...]:
        # To another process goes the number.
        return np.asarray, (self.fetch(),)


# What Determined writes as a number into its reports.
numbers.Number.register(DeferredMetric)


def stays_on_device(value: Any) -> bool:
    """Whether fetching a metric would wait for a device, and the metric is one number."""
    return isinstance(value, torch.Tensor) and value.device.type != "cpu" and value.numel() == 1


def defer(metrics: Any) -> Any:
    """The metrics of a training batch; numbers on a device are deferred.

    Args:
        metrics: what ``train_batch`` has returned: a tensor, or a mapping of them and of numbers.
    """
    if stays_on_device(metrics):
        return {"loss": DeferredMetric(metrics)}
    if not isinstance(metrics, Mapping):
        return metrics
    return {
        name: DeferredMetric(value) if stays_on_device(value) else value
        for name, value in metrics.items()
    }


def fetch_all(batch_metrics: list[MutableMapping[str, Any]]) -> None:
    """Puts, in place, arrays where metrics were deferred; for callbacks, which know arrays."""
    for metrics in batch_metrics:
        for name, value in metrics.items():
            if isinstance(value, DeferredMetric):
                metrics[name] = value.fetch()
