"""Which weights a checkpoint holds, and under which names they are saved and loaded."""

import collections
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from model_hub.huggingface.model import untrained
from model_hub.huggingface.model.unwrap import has_adapter, unwrap


def strip_module_prefix(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the weights without ``module.`` before their names, if all names have it.

    The prefix comes from DistributedDataParallel.
    """
    if not state or not all(name.startswith("module.") for name in state):
        return state
    return _rename(state, lambda name: name.removeprefix("module."))


def match_prefix(state: Mapping[str, Any], expected: Collection[str]) -> Mapping[str, Any]:
    """Return the weights with or without ``module.`` before their names, as the model expects.

    Returns:
        ``state`` itself if neither way gives the expected names.
    """
    if set(state) == set(expected):
        return state
    with_prefix = {f"module.{name}" for name in state}
    if with_prefix == set(expected):
        return _rename(state, lambda name: f"module.{name}" if name else "module")
    stripped = strip_module_prefix(state)
    return stripped if set(stripped) == set(expected) else state


def _rename(state: Mapping[str, Any], rename: Callable[[str], str]) -> Mapping[str, Any]:
    renamed = collections.OrderedDict((rename(name), value) for name, value in state.items())
    # `load_state_dict` reads the versions of modules, by name, from this attribute.
    metadata = getattr(state, "_metadata", None)
    if metadata is not None:
        renamed._metadata = collections.OrderedDict(  # type: ignore[attr-defined]
            (rename(name), value) for name, value in metadata.items()
        )
    return renamed


def trainable_state_dict(model: torch.nn.Module, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the weights without the frozen ones of an adapter's base model.

    A file of pretrained weights has these, and they are many times as large. If a frozen weight is
    in no file, all weights are returned. The names are without ``module.``, also if the model is
    wrapped.
    """
    if not has_adapter(model):
        return state
    inner = unwrap(model)
    left_out = untrained.left_out(inner)
    names = parameters_and_buffers(inner).keys()
    # Quantization keeps further values beside a weight.
    modules = tuple({f"{name.rpartition('.')[0]}." for name in left_out})
    return {
        name: value
        for name, value in state.items()
        if name not in left_out and (name in names or not name.startswith(modules))
    }


def add_frozen_weights(model: torch.nn.Module, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the weights together with the frozen ones of the model that they lack.

    The model, wrapped or not, has the base model's weights. The names may begin with ``module.``.
    """
    if not has_adapter(model):
        return state
    inner = unwrap(model)
    weights = parameters_and_buffers(inner)
    frozen = {n: weights[n] for n in untrained.frozen_parameters(inner) if n in weights}
    return {**frozen, **strip_module_prefix(state)}


def parameters_and_buffers(model: torch.nn.Module) -> dict[str, Any]:
    """Return parameters and buffers of an unwrapped model by their names in ``state_dict``.

    What quantization adds to the state is left out.
    """
    parameters = (name for name, _ in model.named_parameters(remove_duplicate=False))
    buffers = (name for name, _ in model.named_buffers(remove_duplicate=False))
    names = {*parameters, *buffers}
    return {name: value for name, value in model.state_dict().items() if name in names}


def accept_module_prefix(model: torch.nn.Module) -> None:
    """Let a model load checkpoints of any number of slots, and those that lack frozen weights.

    Determined renames weights when it continues a run, but not in
    ``load_trial_from_checkpoint_path``.
    """

    def match(module: torch.nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        if prefix == "":
            matched = dict(match_prefix(add_frozen_weights(module, state), module.state_dict()))
            state.clear()
            state.update(matched)

    model.register_load_state_dict_pre_hook(match)  # type: ignore[no-untyped-call]
