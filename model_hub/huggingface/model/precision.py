"""Mixed precision: autocast around a model's forward, and loss scaling for float16."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.config.validate import NO_HALF_GRADIENTS

logger = logging.getLogger("model_hub")


def autocast_dtype(
    options: OptionKwargs, device: torch.device, *, use_apex_amp: bool = False
) -> torch.dtype | None:
    """The type to compute in where that is safe; None for float32 throughout.

    Args:
        options: the switches.
        device: where the model is.
        use_apex_amp: the old library's switch: float16 where there is a GPU.

    Raises:
        UserError: when the device cannot compute in that type.
    """
    if options.bf16:
        if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise UserError(
                "hyperparameters.bf16 is true, but this GPU has no bfloat16 (it begins with "
                "NVIDIA's Ampere). Write fp16: true instead."
            )
        return torch.bfloat16
    if options.fp16:
        if device.type != "cuda":
            raise UserError(
                f"hyperparameters.fp16 is true, but the device is {device.type!r}; float16 needs "
                "a GPU. Write bf16: true, or remove the key."
            )
        return torch.float16
    if use_apex_amp:
        if device.type == "cuda":
            logger.info("hyperparameters.use_apex_amp: apex is gone; training with fp16: true.")
            return torch.float16
        logger.warning(
            "hyperparameters.use_apex_amp is true, but there is no GPU: training in single "
            "precision."
        )
    return None


def scale_losses(context: pytorch.PyTorchTrialContext) -> None:
    """Lets Determined scale losses, unscale gradients before they are clipped, and save the scale.

    Call it before a model is wrapped.
    """
    context.wrap_scaler(torch.amp.GradScaler("cuda"))
    # With this switch its backward and step_optimizer use the scaler by themselves. It would also
    # put its own wrapper around the model, for which see `wrap_without_autocast`.
    context.experimental._auto_amp = True


def wrap_without_autocast(
    context: pytorch.PyTorchTrialContext, wrap: Any, model: torch.nn.Module
) -> torch.nn.Module:
    """Wraps a model as Determined does, without its own autocast.

    That one replaces the model by a stranger that passes its attributes on, under which neither
    transformers nor evaluation outside of ``forward`` works, and it knows float16 only.
    """
    automatic = context.experimental._auto_amp
    context.experimental._auto_amp = False
    try:
        wrapped: torch.nn.Module = wrap(model)
    finally:
        context.experimental._auto_amp = automatic
    return wrapped


def has_half_weights(model: torch.nn.Module) -> bool:
    """Whether some of a model's weights are in half precision (``dtype``)."""
    return any(each.dtype in (torch.float16, torch.bfloat16) for each in model.parameters())


def check_trained_weights(model: torch.nn.Module) -> None:
    """Looks whether losses of a model can be scaled.

    Raises:
        UserError: when weights in float16 are trained: modules that an adapter trains as a whole.
    """
    trained = (name for name, each in model.named_parameters()
               if each.requires_grad and each.dtype is torch.float16)  # fmt: skip
    name = next(trained, None)
    if name is not None:
        raise UserError(f"hyperparameters.dtype: {name} is float16, but {NO_HALF_GRADIENTS}")


def autocast_forward(
    model: torch.nn.Module, dtype: torch.dtype | None, device: torch.device
) -> None:
    """Lets a model, in place, compute in ``dtype`` where torch holds that safe.

    So do its ``forward`` and, where it has that, its ``generate``, which calls parts of the model
    and not ``forward`` alone: the encoder, or the model within an adapter. What they return is
    float32 again, so that losses and metrics are computed in that.

    Args:
        model: changed in place.
        dtype: None computes in the type of the weights.
        device: where it is.
    """
    for name in ("forward", "generate"):
        method = getattr(model, name, None)
        if method is not None:
            setattr(model, name, _autocast(method, dtype, device))


def _autocast(
    method: Callable[..., Any], dtype: torch.dtype | None, device: torch.device
) -> Callable[..., Any]:
    @functools.wraps(method)
    def autocast(*args: Any, **kwargs: Any) -> Any:
        # Without a type, an autocast that the trial has around its call holds on.
        with torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext():
            outputs = method(*args, **kwargs)
        return to_float32(outputs)

    return autocast


def to_float32(outputs: Any) -> Any:
    """The same outputs with their half-precision tensors in float32.

    Tensors in tuples, lists, mappings (transformers' outputs are some) and dataclasses are
    converted; other objects, such as a cache of keys and values, stay as they are.
    """
    if isinstance(outputs, torch.Tensor):
        return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
    if isinstance(outputs, Mapping):
        converted = {name: to_float32(value) for name, value in outputs.items()}
        return type(outputs)(**converted) if dataclasses.is_dataclass(outputs) else converted
    if isinstance(outputs, tuple) and hasattr(outputs, "_fields"):
        return type(outputs)(*map(to_float32, outputs))
    if isinstance(outputs, (list, tuple)):
        return type(outputs)(map(to_float32, outputs))
    return outputs
