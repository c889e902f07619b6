"""Which weights of a model no file of pretrained weights holds: they were drawn when it was built.

A checkpoint of an adapter leaves the base model's weights out, as they are where they came from.
These came from nowhere, and drawn again they would be others.
"""

import functools
from collections.abc import Collection
from typing import Any

import torch
import transformers

_MARK = "_model_hub_new"
# On a model whose weights were loaded: the names of those that were not there.
_NOT_LOADED = "_model_hub_not_loaded"
# Marks a from_pretrained that is wrapped already.
_WATCHED = "_model_hub_notices_new_weights"


def notice() -> None:
    """Lets ``from_pretrained`` of every model class mark the weights that it does not find.

    There, because a trial may build its model as it likes. A second call changes nothing.
    """
    original = transformers.PreTrainedModel.from_pretrained.__func__  # type: ignore[attr-defined]
    if hasattr(original, _WATCHED):
        return

    @functools.wraps(original)
    def from_pretrained(cls: Any, *args: Any, output_loading_info: bool = False, **kw: Any) -> Any:
        model, info = original(cls, *args, output_loading_info=True, **kw)
        # Weights of another shape come with their shapes.
        mismatched = {each[0] for each in info.get("mismatched_keys", ())}
        missing = {*info.get("missing_keys", ()), *mismatched}
        setattr(model, _NOT_LOADED, sorted(missing))
        mark(model, missing)
        return (model, info) if output_loading_info else model

    setattr(from_pretrained, _WATCHED, True)
    transformers.PreTrainedModel.from_pretrained = classmethod(from_pretrained)  # type: ignore[method-assign, assignment, arg-type]


def mark(model: torch.nn.Module, names: Collection[str] | None = None) -> None:
    """Marks weights as new.

    Args:
        model: its parameters are marked; the mark stays when an adapter gives them other names.
        names: of which parameters; None is all.
    """
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if names is None or name in names:
            setattr(parameter, _MARK, True)


def marked(model: torch.nn.Module) -> set[str]:
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


def not_loaded(model: torch.nn.Module) -> list[str] | None:
    """Names of the weights that the file with pretrained weights did not have.

    Args:
        model: without an adapter.

    Returns:
        None for a model that was built without such a file.
    """
    names: list[str] | None = getattr(model, _NOT_LOADED, None)
    return names
