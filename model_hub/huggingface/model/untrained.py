"""Weights that were initialized at random, because no file of pretrained weights has them.

The checkpoint of a model with an adapter leaves the frozen weights out: loading the pretrained
model again gives the same ones. If one of them is in no file, the checkpoint keeps all weights.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from model_hub.huggingface.model.unwrap import strip_adapter

# On a parameter: no file has it. The mark stays when an adapter renames the parameter.
_UNTRAINED = "_model_hub_untrained"
# On a model that `from_pretrained` returned.
_MISSING_KEYS = "_model_hub_missing_keys"
# On a model with an adapter.
_LEFT_OUT = "_model_hub_left_out"


def record_missing_keys(model: torch.nn.Module, loading_info: Mapping[str, Any]) -> None:
    """Record which weights ``from_pretrained`` did not find in the file.

    ``loading_info`` is the second value of ``from_pretrained(..., output_loading_info=True)``.
    """
    mismatched = {name for name, *_ in loading_info.get("mismatched_keys", ())}
    missing = sorted({*loading_info.get("missing_keys", ()), *mismatched})
    setattr(model, _MISSING_KEYS, missing)
    named = model.named_parameters(remove_duplicate=False)
    mark_untrained(parameter for name, parameter in named if name in missing)


def missing_keys(model: torch.nn.Module) -> list[str] | None:
    """Return the names of the weights that the file with pretrained weights did not have.

    Returns:
        None for a model that was not loaded with ``from_pretrained``.
    """
    names: list[str] | None = getattr(model, _MISSING_KEYS, None)
    return names


def mark_untrained(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Mark parameters as being in no file of pretrained weights."""
    for parameter in parameters:
        setattr(parameter, _UNTRAINED, True)


def frozen_parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that are not trained, a shared one under each of its names."""
    named = model.named_parameters(remove_duplicate=False)
    return {name: parameter for name, parameter in named if not parameter.requires_grad}


def frozen_untrained(model: torch.nn.Module) -> list[str]:
    """Return the names of the marked weights that the model uses but does not train."""
    return sorted(
        name
        for name, parameter in frozen_parameters(model).items()
        # peft keeps the original of a module that is trained as a whole, and does not use it.
        if getattr(parameter, _UNTRAINED, False) and ".original_module." not in name
    )


def choose_left_out(model: torch.nn.Module, base_parameters: Iterable[torch.nn.Parameter]) -> None:
    """Choose which weights checkpoints leave out: all frozen ones of the base model, or none.

    The names are kept on the model, which has an adapter and is not wrapped; ``base_parameters``
    are its parameters before it got the adapter.
    """
    base = {id(parameter) for parameter in base_parameters}
    names = {name for name, weight in frozen_parameters(model).items() if id(weight) in base}
    untrained = frozen_untrained(model)
    if untrained:
        # Quantized weights cannot be loaded from a checkpoint.
        is_quantized = getattr(strip_adapter(model), "is_quantized", False)
        names = names - set(untrained) if is_quantized else set()
    setattr(model, _LEFT_OUT, names)


def left_out(model: torch.nn.Module) -> set[str]:
    """Return the names of the weights that the checkpoints of a model with an adapter leave out."""
    frozen = frozen_parameters(model).keys()
    # The default is for an adapter that the trial's own code has added.
    names: set[str] = getattr(model, _LEFT_OUT, frozen - set(frozen_untrained(model)))
    return names & frozen
