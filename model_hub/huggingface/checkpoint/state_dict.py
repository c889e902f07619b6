"""What is saved, how it is loaded safely, and export to the Hugging Face layout."""

import collections
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from model_hub.huggingface.model import untrained
from model_hub.huggingface.model.unwrap import has_adapter, unwrap

logger = logging.getLogger("model_hub")


def strip_module_prefix(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights without ``module.`` before their names, if all of them have it.

    The wrapper for several slots puts it there.
    """
    if not state or not all(name.startswith("module.") for name in state):
        return state
    return _renamed(state, lambda name: name.removeprefix("module."))


def match_prefix(state: Mapping[str, Any], wanted: Collection[str]) -> Mapping[str, Any]:
    """The weights with or without ``module.`` before their names, whichever is wanted.

    Args:
        state: weights by name.
        wanted: names of the model that is to load them.
    """
    if set(state) == set(wanted):
        return state
    with_prefix = {f"module.{name}" for name in state}
    if with_prefix == set(wanted):
        return _renamed(state, lambda name: f"module.{name}" if name else "module")
    bare = strip_module_prefix(state)
    return bare if set(bare) == set(wanted) else state


def _renamed(state: Mapping[str, Any], rename: Callable[[str], str]) -> Mapping[str, Any]:
    renamed = collections.OrderedDict((rename(name), value) for name, value in state.items())
    # Versions of modules, by their names; torch reads them when it loads.
    metadata = getattr(state, "_metadata", None)
    if metadata is not None:
        renamed._metadata = collections.OrderedDict(  # type: ignore[attr-defined]
            (rename(name), value) for name, value in metadata.items()
        )
    return renamed


def trainable_state_dict(model: torch.nn.Module, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a model with an adapter only the weights that are trained, and buffers; else all.

    The base model's weights are where they came from, and many times as large; those of them that
    came from nowhere are kept.

    Args:
        model: the model, wrapped or not.
        state: its weights, named without ``module.``.
    """
    if not has_adapter(model):
        return state
    inner = unwrap(model)
    frozen = _frozen(inner) - untrained.untrained_names(inner)
    own = set(parameters_and_buffers(inner))
    # What belongs to a frozen weight beside itself: how it is quantized.
    modules = tuple({f"{name.rpartition('.')[0]}." for name in frozen})
    return {
        name: value
        for name, value in state.items()
        if name not in frozen and (name in own or not name.startswith(modules))
    }


def add_frozen_weights(model: torch.nn.Module, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the weights with those that :func:`trainable_state_dict` leaves out, from the model.

    Args:
        model: the model, wrapped or not, with the base model's weights.
        state: weights by name, with or without ``module.``.
    """
    if not has_adapter(model):
        return state
    bare = strip_module_prefix(state)
    inner = unwrap(model)
    own = parameters_and_buffers(inner)
    return {**{name: own[name] for name in _frozen(inner) if name in own}, **bare}


def _frozen(model: torch.nn.Module) -> set[str]:
    """Names of the weights that are not trained; one that has two names goes by both."""
    named = model.named_parameters(remove_duplicate=False)
    return {name for name, parameter in named if not parameter.requires_grad}


def parameters_and_buffers(model: torch.nn.Module) -> dict[str, Any]:
    """Parameters and buffers by the names of ``state_dict``, without what quantization adds there.

    Args:
        model: the model, without wrappers.
    """
    parameters = (name for name, _ in model.named_parameters(remove_duplicate=False))
    buffers = (name for name, _ in model.named_buffers(remove_duplicate=False))
    names = {*parameters, *buffers}
    return {name: value for name, value in model.state_dict().items() if name in names}


def accept_module_prefix(model: torch.nn.Module) -> None:
    """Lets a model load the checkpoint of a run on several slots.

    Determined does so when it continues a run, but not in ``load_trial_from_checkpoint_path``.
    """

    def fit(module: torch.nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
        if prefix == "":
            fitted = dict(match_prefix(add_frozen_weights(module, state), module.state_dict()))
            state.clear()
            state.update(fitted)

    model.register_load_state_dict_pre_hook(fit)  # type: ignore[no-untyped-call]
