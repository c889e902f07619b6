"""Mixed precision: autocast around a model's forward, and loss scaling for float16."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.config.validate import NO_HALF_GRADIENTS

logger = logging.getLogger("model_hub")


def autocast_dtype(options: OptionKwargs, device: torch.device) -> torch.dtype | None:
    """Return the dtype for autocast; None for the dtype of the weights.

    Raises:
        UserError: when the device does not support the dtype.
    """
    if options.bf16:
        if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise UserError(
                "hyperparameters.bf16 is true, but this GPU does not support bfloat16 (NVIDIA's "
                "Ampere and later do). Write fp16: true instead."
            )
        return torch.bfloat16
    if options.fp16:
        if device.type != "cuda":
            raise UserError(
                f"hyperparameters.fp16 is true, but the device is {device.type!r}; float16 needs "
                "a GPU. Write bf16: true, or remove the key."
            )
        return torch.float16
    return torch.float16 if options.use_apex_amp and device.type == "cuda" else None


def log_apex(options: OptionKwargs, device: torch.device) -> None:
    """Log what ``use_apex_amp``, an option of the old library, stands for on a device."""
    if not options.use_apex_amp or options.bf16 or options.fp16:
        return
    if device.type == "cuda":
        logger.info("hyperparameters.use_apex_amp: apex is gone; training with fp16: true.")
    else:
        logger.warning(
            "hyperparameters.use_apex_amp is true, but there is no GPU: training in single "
            "precision."
        )


def scale_losses(context: pytorch.PyTorchTrialContext) -> None:
    """Let Determined scale losses, unscale gradients before clipping, and save the scale."""
    if context.experimental._auto_amp:
        return  # Done for another model of the trial.
    models, context.models = context.models, []
    try:
        # It demands to be called before any model is wrapped, which makes no difference to it.
        context.wrap_scaler(torch.amp.GradScaler("cuda"))
    finally:
        context.models = models
    # With this flag Determined's backward and step_optimizer use the scaler by themselves.
    context.experimental._auto_amp = True


@contextlib.contextmanager
def without_determineds_autocast(context: pytorch.PyTorchTrialContext) -> Iterator[None]:
    """Wrap a model within this block without Determined's autocast, which ``_auto_amp`` turns on.

    It replaces the model by an object that only forwards its attributes. Neither transformers nor
    evaluation outside of ``forward`` works with that, and it supports float16 only.
    """
    auto_amp = context.experimental._auto_amp
    context.experimental._auto_amp = False
    try:
        yield
    finally:
        context.experimental._auto_amp = auto_amp


def has_half_weights(model: torch.nn.Module) -> bool:
    """Return whether any weight of a model is in half precision (``dtype``)."""
    return any(weight.dtype in (torch.float16, torch.bfloat16) for weight in model.parameters())


def check_trained_weights(model: torch.nn.Module) -> None:
    """Check that no trained weight is float16, whose gradients cannot be scaled.

    Raises:
        UserError: naming such a weight, as in a module that an adapter trains as a whole.
    """
    for name, weight in model.named_parameters():
        if weight.requires_grad and weight.dtype is torch.float16:
            raise UserError(f"hyperparameters.dtype: {name} is float16, but {NO_HALF_GRADIENTS}")


def autocast_forward(
    model: torch.nn.Module, dtype: torch.dtype | None, device: torch.device
) -> None:
    """Run a model's ``forward`` and ``generate`` under autocast; their outputs become float32.

    ``generate`` needs it as well, because it also calls parts of the model directly: the encoder,
    or the model within an adapter. Losses and metrics are computed from the float32 outputs.
    Without a dtype, the model computes in the dtype of its weights.
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
        # Without a dtype, an autocast of the trial around its call stays in effect.
        with torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext():
            outputs = method(*args, **kwargs)
        return to_float32(outputs)

    return autocast


def to_float32(outputs: Any) -> Any:
    """Return outputs with their half-precision tensors converted to float32.

    Tensors in tuples, lists, mappings (such as transformers' outputs) and dataclasses are
    converted; other objects, such as a key-value cache, are returned unchanged.
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
