"""Copies to a GPU that nobody waits for; tests/trials/test_gpu.py has those that need one."""

import types
from typing import Any

import torch

from model_hub.huggingface import _transfer


def context_on(device: str) -> Any:
    return types.SimpleNamespace(
        device=torch.device(device), to_device=lambda data: ("moved", data)
    )


def test_a_cpu_copies_as_before() -> None:
    context = context_on("cpu")
    before = context.to_device
    _transfer.copy_without_waiting(context)
    assert context.to_device is before


def test_determineds_copies_what_is_left() -> None:
    """It is asked once, also where both loaders want it."""
    context = context_on("cuda")
    _transfer.copy_without_waiting(context)
    once = context.to_device
    _transfer.copy_without_waiting(context)
    assert context.to_device is once
    batch = {"ids": torch.ones(2), "more": [torch.zeros(1), ("text", None)]}
    moved, data = context.to_device(batch)
    assert moved == "moved" and data == batch


def test_what_is_not_pinned_stays_what_it_is() -> None:
    class Batch(dict[str, Any]):
        """One that a collator of a user's makes."""

    tensor = torch.ones(2)
    for data in (
        tensor,
        [tensor],
        (tensor, 1),
        {"a": {"b": tensor}},
        Batch(a=tensor),
        "text",
        None,
    ):
        found = _transfer.begin_copies(data, torch.device("cuda"))
        assert type(found) is type(data) and [found] == [data]
