"""The plain transformers model inside of wrappers and adapters."""

import copy
from typing import Any

import torch
import transformers


def has_adapter(model: torch.nn.Module) -> bool:
    """Return whether the model has an adapter of the library peft."""
    return hasattr(unwrap(model), "peft_config")


def strip_adapter(model: torch.nn.Module) -> torch.nn.Module:
    """Return the base model of an adapter, or the model itself if it has no adapter."""
    inner: Any = model
    return inner.get_base_model() if hasattr(inner, "get_base_model") else model


def unwrap(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model without the wrappers of DistributedDataParallel and ``torch.compile``."""
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        return unwrap(model.module)
    compiled = getattr(model, "_orig_mod", None)
    return unwrap(compiled) if isinstance(compiled, torch.nn.Module) else model


def can_merge(model: Any) -> bool:
    """Return whether the adapter's weights can be added to those of the base model.

    They cannot if the adapter is a prompt, or if the base model's weights were loaded in 4 or 8
    bits, in which the sum would be rounded.
    """
    has_method = hasattr(model, "merge_and_unload") and hasattr(model.base_model, "merge_adapter")
    return has_method and not getattr(strip_adapter(model), "is_quantized", False)


def merge_adapter(model: Any) -> Any:
    """Return a copy of the model with the adapter merged, or the model if that is not possible."""
    if not can_merge(model):
        return model
    try:
        merged = copy.deepcopy(model).merge_and_unload()
    except NotImplementedError:  # Some of peft's methods cannot.
        return model
    # After LN_TUNING, peft leaves the wrappers of modules_to_save, whose names no model class has.
    for name, module in list(merged.named_modules()):
        if hasattr(module, "modules_to_save") and hasattr(module, "original_module"):
            merged.set_submodule(name, module.modules_to_save[model.active_adapter])
    return merged


def exportable_model(trial: Any) -> Any:
    """Return the trial's unwrapped model if transformers or peft can save it, else None."""
    model: Any = getattr(trial, "model", None)
    model = unwrap(model) if isinstance(model, torch.nn.Module) else None
    if isinstance(model, transformers.PreTrainedModel) or (model and has_adapter(model)):
        return model
    return None
