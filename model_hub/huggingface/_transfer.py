"""Batches on their way to a GPU: the copy is begun, and nobody waits for its end."""

from typing import Any

import torch
from determined import pytorch


def copy_without_waiting(context: pytorch.PyTorchTrialContext) -> None:
    """Lets a context copy pinned tensors to its GPU in the background.

    Determined's ``to_device`` returns when a tensor has arrived, which is after all that the GPU
    was asked for before: it has then nothing to do until the next step's work arrives. The GPU
    itself keeps the order, and torch keeps pinned memory until it has been copied. What is not
    pinned is copied as before, and so is everything for a CPU.

    Args:
        context: its ``to_device`` is replaced, once.
    """
    if context.device.type != "cuda" or hasattr(context.to_device, "copies_without_waiting"):
        return
    determineds = context.to_device

    def to_device(data: Any) -> Any:
        return determineds(begin_copies(data, context.device))

    to_device.copies_without_waiting = True  # type: ignore[attr-defined]
    context.to_device = to_device  # type: ignore[method-assign]


def begin_copies(data: Any, device: torch.device) -> Any:
    """The same data with its pinned tensors on their way to a device.

    Args:
        data: a tensor; or a dict, list or tuple of such data. Anything else is returned as it is.
        device: a GPU.
    """
    if isinstance(data, torch.Tensor):
        return data.to(device, non_blocking=True) if data.is_pinned() else data
    if type(data) is dict:
        return {name: begin_copies(value, device) for name, value in data.items()}
    if type(data) in (list, tuple):
        return type(data)(begin_copies(value, device) for value in data)
    return data
