"""Which weights of a model no file of pretrained weights holds: they were drawn when it was built.

A checkpoint of an adapter leaves the base model's weights out, as they are where they came from.
These came from nowhere, and drawn again they would be others.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch

_MARK = "_model_hub_new"
# On a model whose weights were loaded: the names of those that were not there.
_NOT_LOADED = "_model_hub_not_loaded"


def record_missing_keys(model: torch.nn.Module, loading_info: Mapping[str, Any]) -> None:
    """Mark the weights that ``from_pretrained`` did not find in the file.

    Args:
        model: the loaded model.
        loading_info: what ``from_pretrained(..., output_loading_info=True)`` returns beside it.
    """
    # Weights of another shape come with their shapes.
    mismatched = {each[0] for each in loading_info.get("mismatched_keys", ())}
    missing = {*loading_info.get("missing_keys", ()), *mismatched}
    setattr(model, _NOT_LOADED, sorted(missing))
    mark_untrained(model, missing)


def mark_untrained(model: torch.nn.Module, names: Collection[str] | None = None) -> None:
    """Marks weights as new.

    Args:
        model: its parameters are marked; the mark stays when an adapter gives them other names.
        names: of which parameters; None is all.
    """
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if names is None or name in names:
            setattr(parameter, _MARK, True)


def untrained_names(model: torch.nn.Module) -> set[str]:
    """Names of the marked weights that the model computes with.

    Args:
        model: with or without an adapter.
    """
    return {
        name
        for name, parameter in model.named_parameters(remove_duplicate=False)
        # Of a module that is trained as a whole, peft keeps the original and does not use it.
        if getattr(parameter, _MARK, False) and ".original_module." not in name
    }


def missing_keys(model: torch.nn.Module) -> list[str] | None:
    """Names of the weights that the file with pretrained weights did not have.

    Args:
        model: without an adapter.

    Returns:
        None for a model that was built without such a file.
    """
    names: list[str] | None = getattr(model, _NOT_LOADED, None)
    return names
