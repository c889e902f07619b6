"""Non-blocking copies to a GPU; the tests that need a GPU are in tests/trials/test_gpu.py."""

from typing import Any, NamedTuple

import pytest
import torch
import transformers
from determined import pytorch

from model_hub.huggingface.training import device
from model_hub.huggingface.training.device import copy_to_device, enable_non_blocking_copies

# Tensors can be moved there on any machine; they have no content.
META = torch.device("meta")


class Pair(NamedTuple):
    """A named tuple, as some collators return it."""

    ids: torch.Tensor
    text: str


class Batch(dict[str, Any]):
    """A subclass of dict, as others return it."""


@pytest.fixture
def all_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda self: True)


class Context:
    """The part of Determined's context that copies data."""

    def __init__(self, device: str, *, pin_memory: bool = True) -> None:
        self.device = torch.device(device)
        self.hparams = {"dataloader_pin_memory": pin_memory}

    def get_hparams(self) -> dict[str, Any]:
        return self.hparams

    def to_device(self, data: Any) -> Any:
        return "moved", data


def test_nothing_changes_on_a_cpu() -> None:
    context: Any = Context("cpu")
    enable_non_blocking_copies(context)
    assert "to_device" not in vars(context)


def test_determineds_method_gets_the_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(
        device, "copy_to_device", lambda data, device: begun.append(device) or [data]
    )
    context: Any = Context("cuda:1")
    enable_non_blocking_copies(context)
    assert context.to_device("batch") == ("moved", ["batch"])
    assert begun == [torch.device("cuda:1")]
    context = Context("cuda:1", pin_memory=False)
    enable_non_blocking_copies(context)
    assert context.to_device("batch") == ("moved", "batch")
    assert begun == [torch.device("cuda:1")]


def test_a_method_that_replaced_determineds_is_called() -> None:
    context: Any = Context("cuda:1")
    context.to_device = lambda data: ("the trial's", data)
    enable_non_blocking_copies(context)
    assert context.to_device("batch") == ("the trial's", "batch")


@pytest.mark.usefixtures("all_pinned")
def test_pinned_tensors_are_copied_into_the_types_that_determined_returns() -> None:
    one = torch.ones(2)
    nested = {"a": [one, (one, "text")], "b": Batch(c=one), "d": Pair(one, "e"), "f": None}
    for data in (one, [one], (one, 1), nested, transformers.BatchEncoding({"ids": one})):
        # Determined moves an encoding in place.
        again = transformers.BatchEncoding(dict(data)) if hasattr(data, "encodings") else data
        found = copy_to_device(data, META)
        expected = pytorch.to_device(again, META, {str, int, type(None)})
        assert kinds(found) == kinds(expected)
        assert "cpu" not in str(kinds(found)) and "meta" in str(kinds(found))


def kinds(data: Any) -> Any:
    """Return the types of a batch and the devices of its tensors."""
    if isinstance(data, torch.Tensor):
        return str(data.device)
    if isinstance(data, (dict, transformers.BatchEncoding)):
        return type(data), {name: kinds(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data), [kinds(value) for value in data]
    return data


def test_other_tensors_are_left_to_determined() -> None:
    one = torch.ones(2)
    found = copy_to_device({"a": one, "b": [one, "text"]}, META)
    assert found["a"] is one and found["b"][0] is one and found["b"][1] == "text"
