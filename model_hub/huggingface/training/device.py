"""Metrics that stay on a GPU until they are read, and copies to a GPU that nothing waits for."""

import numbers
from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np
import torch
import transformers
from determined import pytorch

from model_hub.huggingface.config.hparams import options_of


class LazyMetric:
    """A metric of one batch that is copied from its device when it is read.

    Determined copies every metric of every batch at once. For that a GPU has to finish all queued
    work, and it is then idle until the next step's work arrives. This class takes the place of the
    number in the lists that Determined averages, sends between slots and reports.

    Args:
        value: a tensor with one element; it must not be changed afterwards.
    """

    def __init__(self, value: torch.Tensor) -> None:
        self._value: torch.Tensor | np.ndarray = value.detach()

    def fetch(self) -> np.ndarray:
        """Return the number as Determined would: an array of the tensor's shape."""
        if isinstance(self._value, torch.Tensor):
            self._value = self._value.cpu().numpy()
        return self._value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.fetch(), dtype=dtype)

    def __float__(self) -> float:
        return float(self.fetch())

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process gets the number.
        return np.asarray, (self.fetch(),)


# Determined writes instances of this class into its reports as numbers.
numbers.Number.register(LazyMetric)


def stays_on_device(value: Any) -> bool:
    """Return whether a metric is a single number on a device other than the CPU."""
    return isinstance(value, torch.Tensor) and value.device.type != "cpu" and value.numel() == 1


def keep_on_device(metrics: Any) -> Any:
    """Return the metrics of a training batch, with :class:`LazyMetric` for numbers on a device.

    ``metrics`` is the result of ``train_batch``: a tensor, or a mapping of tensors and numbers.
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
    """Replace each :class:`LazyMetric` by its array, in place; callbacks expect arrays."""
    for metrics in batch_metrics:
        for name, value in metrics.items():
            if isinstance(value, LazyMetric):
                metrics[name] = value.fetch()


def enable_non_blocking_copies(context: pytorch.PyTorchTrialContext) -> None:
    """Let a context copy pinned tensors to its GPU in the background.

    Determined's ``to_device`` returns when a tensor has arrived, which is after all work that was
    queued before. The GPU is then idle until the next step's work arrives. With ``non_blocking``
    the GPU itself keeps the order, and torch does not reuse pinned memory before it is copied. Code
    that writes into a pinned tensor again has to wait for the copy, though.

    ``context.to_device`` is replaced, unless the device is a CPU; without the option
    ``dataloader_pin_memory`` the new method does what the old one did.
    """
    if context.device.type != "cuda":
        return
    blocking_to_device = context.to_device

    def to_device(data: Any) -> Any:
        if options_of(context).dataloader_pin_memory:
            data = copy_to_device(data, context.device)
        return blocking_to_device(data)

    context.to_device = to_device  # type: ignore[method-assign]


def copy_to_device(data: Any, device: torch.device) -> Any:
    """Return the data with copies of its pinned tensors on their way to a device.

    Args:
        data: a tensor, a ``BatchEncoding``, or a dict, list or tuple of such data; subclasses of
            these become plain ones, as in Determined. Other objects are returned unchanged.
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
