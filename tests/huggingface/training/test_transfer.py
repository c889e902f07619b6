"""Copies to a GPU that nobody waits for; tests/trials/test_gpu.py has those that need one."""

from typing import Any, NamedTuple

import pytest
import torch
import transformers
from determined import pytorch

from model_hub.huggingface.training import device
from model_hub.huggingface.training.device import copy_to_device, enable_non_blocking_copies

# Tensors move there, on any machine, and have no content.
META = torch.device("meta")


class Pair(NamedTuple):
    """One of the kinds of batches that collators make."""

    ids: torch.Tensor
    text: str


class Batch(dict[str, Any]):
    """Another one."""


@pytest.fixture
def all_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda self: True)


class Context:
    """The part of Determined's context that copies data."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    def to_device(self, data: Any) -> Any:
        return "moved", data


def test_a_cpu_copies_as_before() -> None:
    context: Any = Context("cpu")
    enable_non_blocking_copies(context)
    assert "to_device" not in vars(context)


def test_determineds_gets_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(
        device, "copy_to_device", lambda data, device: begun.append(device) or [data]
    )
    context: Any = Context("cuda:1")
    enable_non_blocking_copies(context)
    # A trial may check its hyperparameters twice.
    enable_non_blocking_copies(context)
    assert context.to_device("batch") == ("moved", ["batch"])
    assert begun == [torch.device("cuda:1")]


@pytest.mark.usefixtures("all_pinned")
def test_what_is_pinned_is_copied_and_keeps_the_kind_that_determined_gives() -> None:
    one = torch.ones(2)
    nested = {"a": [one, (one, "text")], "b": Batch(c=one), "d": Pair(one, "e"), "f": None}
    for data in (one, [one], (one, 1), nested, transformers.BatchEncoding({"ids": one})):
        # Determined's own moves an encoding in place.
        again = transformers.BatchEncoding(dict(data)) if hasattr(data, "encodings") else data
        found = copy_to_device(data, META)
        expected = pytorch.to_device(again, META, {str, int, type(None)})
        assert kinds(found) == kinds(expected)
        assert "cpu" not in str(kinds(found)) and "meta" in str(kinds(found))


def kinds(data: Any) -> Any:
    """The types of a batch, and where its tensors are."""
    if isinstance(data, torch.Tensor):
        return str(data.device)
    if isinstance(data, (dict, transformers.BatchEncoding)):
        return type(data), {name: kinds(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data), [kinds(value) for value in data]
    return data


def test_what_is_not_pinned_is_left_to_determined() -> None:
    one = torch.ones(2)
    found = copy_to_device({"a": one, "b": [one, "text"]}, META)
    assert found["a"] is one and found["b"][0] is one and found["b"][1] == "text"
