"""Batches on their way to a GPU: the copy is begun, and nobody waits for its end."""

from typing import Any

import torch
import transformers
from determined import pytorch


def copy_without_waiting(context: pytorch.PyTorchTrialContext) -> None:
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
        return determineds(begin_copies(data, context.device))

    context.to_device = to_device  # type: ignore[method-assign]


def begin_copies(data: Any, device: torch.device) -> Any:
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
        return {name: begin_copies(value, device) for name, value in data.items()}
    if isinstance(data, list):
        return [begin_copies(value, device) for value in data]
    if isinstance(data, tuple):
        return tuple(begin_copies(value, device) for value in data)
    return data
