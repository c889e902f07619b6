"""Training metrics that stay on the device until somebody reads them."""

import numbers
from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np
import torch
import transformers
from determined import pytorch


class LazyMetric:
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
numbers.Number.register(LazyMetric)


def stays_on_device(value: Any) -> bool:
    """Whether fetching a metric would wait for a device, and the metric is one number."""
    return isinstance(value, torch.Tensor) and value.device.type != "cpu" and value.numel() == 1


def keep_on_device(metrics: Any) -> Any:
    """The metrics of a training batch; numbers on a device are deferred.

    Args:
        metrics: what ``train_batch`` has returned: a tensor, or a mapping of them and of numbers.
    """
    if stays_on_device(metrics):
        return {"loss": LazyMetric(metrics)}
    if not isinstance(metrics, Mapping):
        return metrics
    return {
        name: LazyMetric(value) if stays_on_device(value) else value
        for name, value in metrics.items()
    }


def to_numpy(batch_metrics: list[MutableMapping[str, Any]]) -> None:
    """Puts, in place, arrays where metrics were deferred; for callbacks, which know arrays."""
    for metrics in batch_metrics:
        for name, value in metrics.items():
            if isinstance(value, LazyMetric):
                metrics[name] = value.fetch()


def enable_non_blocking_copies(context: pytorch.PyTorchTrialContext) -> None:
    """Lets a context copy pinned tensors to its GPU in the background.

    Determined's ``to_device`` returns when a tensor has arrived, which is after all that the GPU
    was asked for before: it has then nothing to do until the next step's work arrives. The GPU
    itself keeps the order. Torch does not use pinned memory anew before it has been copied; whoever
    writes into a pinned tensor after it was handed over has to wait for the copy, though.

    Args:
        context: its ``to_device`` is replaced. For a CPU it stays as it is.
    """
    if context.device.type != "cuda":
        return
    determineds = context.to_device

    def to_device(data: Any) -> Any:
        return determineds(copy_to_device(data, context.device))

    context.to_device = to_device  # type: ignore[method-assign]


def copy_to_device(data: Any, device: torch.device) -> Any:
    """The same data with its pinned tensors on their way to a device.

    Args:
        data: a tensor, a ``BatchEncoding``; or a dict, list or tuple of such data, of which plain
            ones are made, as Determined does. Anything else is returned as it is.
        device: a GPU.
    """
    if isinstance(data, torch.Tensor):
        return data.to(device, non_blocking=True) if data.is_pinned() else data
    if isinstance(data, transformers.BatchEncoding):
        return data.to(device, non_blocking=True)
    if isinstance(data, dict):
        return {name: copy_to_device(value, device) for name, value in data.items()}
    if isinstance(data, list):
        return [copy_to_device(value, device) for value in data]
    if isinstance(data, tuple):
        return tuple(copy_to_device(value, device) for value in data)
    return data
