"""The plain transformers model inside of wrappers and adapters."""

import copy
from typing import Any

import torch
import transformers


def has_adapter(model: torch.nn.Module) -> bool:
    """Whether the model carries an adapter of the library peft."""
    return hasattr(unwrap(model), "peft_config")


def strip_adapter(model: torch.nn.Module) -> torch.nn.Module:
    """The model that an adapter was put on; the model itself where there is none."""
    inner: Any = model
    return inner.get_base_model() if hasattr(inner, "get_base_model") else model


def unwrap(model: torch.nn.Module) -> torch.nn.Module:
    """The model without the wrappers that distributed training and compilation put around it."""
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        return unwrap(model.module)
    compiled = getattr(model, "_orig_mod", None)
    return unwrap(compiled) if isinstance(compiled, torch.nn.Module) else model


def merge_adapter(model: Any) -> Any:
    """A copy of the model with its adapter's weights added to its own.

    An adapter that cannot be added, such as a trained prompt, leaves the model as it is; so do
    weights that were loaded in 4 or 8 bits, in which the sum would be rounded.
    """
    if not hasattr(model, "merge_and_unload") or not hasattr(model.base_model, "merge_adapter"):
        return model
    if getattr(strip_adapter(model), "is_quantized", False):
        return model
    try:
        return copy.deepcopy(model).merge_and_unload()
    except NotImplementedError:  # peft has methods for which it cannot.
        return model


def exportable_model(trial: Any) -> Any:
    """The trial's model without wrappers, if transformers or peft can save it; else None."""
    model: Any = getattr(trial, "model", None)
    model = unwrap(model) if isinstance(model, torch.nn.Module) else None
    if isinstance(model, transformers.PreTrainedModel) or (model and has_adapter(model)):
        return model
    return None
