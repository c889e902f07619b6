"""What the switches do to a model before it is wrapped: adapters, frozen weights, memory, speed."""

import contextlib
import fnmatch
import functools
import logging
from collections.abc import Iterator
from typing import Any

import torch
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.config import hparams, parsing
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.model import adapter, precision, unwrap

logger = logging.getLogger("model_hub")

# Types of models that leave some of their weights out of the loss of one task or another: what only
# pretraining uses (XLNet), global attention, the pooler.
_WITH_UNUSED_WEIGHTS = frozenset(
    {"big_bird", "fnet", "funnel", "layoutlm", "led", "longformer", "squeezebert", "xlnet"}
)


# Types of models whose own code mixes types, so that they need autocast if their weights are half.
_PARTLY_FLOAT32 = frozenset({"xlnet"})


def _model_type(model: torch.nn.Module) -> str | None:
    config: Any = getattr(model, "config", None)
    return getattr(config, "model_type", None)


def check_options(context: pytorch.PyTorchTrialContext) -> None:
    """Looks at the switches that depend on this machine, before anything is loaded.

    Args:
        context: the trial's context.

    Raises:
        UserError: when the device, or torch, cannot do what is asked for.
    """
    # A context may have no configuration, if the trial has its own.
    (options,) = parsing.parse_dict_to_dataclasses((OptionKwargs,), context._hparams or {})
    precision.autocast_dtype(options, context.device)
    if options.compiles:
        _check_compilation(options)
    if options.gradient_accumulation_steps is not None:
        hparams.accumulate_gradients(context, options, context._exp_conf or {})


def _check_compilation(options: OptionKwargs) -> None:
    # Put off, as are torch's own: most runs compile nothing.
    import torch._dynamo
    import torch._inductor

    if options.torch_compile_backend is not None:
        try:
            torch._dynamo.lookup_backend(options.torch_compile_backend)
        except torch._dynamo.exc.InvalidBackend as error:
            raise UserError(
                "hyperparameters.torch_compile_backend is "
                f"{options.torch_compile_backend!r}, but torch has "
                f"{', '.join(torch._dynamo.list_backends())}."
            ) from error
    if options.torch_compile_mode is not None:
        modes = torch._inductor.list_mode_options()
        if options.torch_compile_mode not in modes:
            raise UserError(
                f"hyperparameters.torch_compile_mode is {options.torch_compile_mode!r}, but should "
                f"be one of {', '.join(modes)}."
            )


def hook_wrap_model(
    context: pytorch.PyTorchTrialContext, options: OptionKwargs, *, use_apex_amp: bool = False
) -> None:
    """Lets ``context.wrap_model`` apply the switches to every model that a trial gives it.

    There, because a trial may build its model as it likes, but has to wrap it before it builds an
    optimizer of its weights.

    Args:
        context: the trial's context; no model is wrapped yet.
        options: the switches.
        use_apex_amp: the old library's switch.

    Raises:
        UserError: when the device cannot do what is asked for.
    """
    if getattr(context, "_model_hub_options_applied", False):
        return  # A trial may check its hyperparameters twice.
    context._model_hub_options_applied = True  # type: ignore[attr-defined]
    dtype = precision.autocast_dtype(options, context.device, use_apex_amp=use_apex_amp)
    if options.tf32 is not None:
        torch.set_float32_matmul_precision("high" if options.tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = options.tf32
    if dtype is torch.float16:
        precision.scale_losses(context)
    wrap_model = context.wrap_model

    def wrap_prepared(model: torch.nn.Module) -> torch.nn.Module:
        model = apply_options(model, options)
        half = precision.has_half_weights(model)
        if half and dtype is None and _model_type(model) in _PARTLY_FLOAT32:
            raise UserError(
                f"hyperparameters.dtype: a model of type {_model_type(model)} computes in part "
                "in float32, with which weights in half precision do not go together. Write "
                "bf16: true beside it, or remove the key."
            )
        if dtype is torch.float16:
            precision.check_trained_weights(model)
        if dtype is not None or half:
            precision.autocast_forward(model, dtype, context.device)
        if options.compiles:
            compile_model(model, options)
        with _find_unused_parameters(context, model, options.ddp_find_unused_parameters):
            return precision.wrap_without_autocast(context, wrap_model, model)

    context.wrap_model = wrap_prepared  # type: ignore[method-assign]


@contextlib.contextmanager
def _find_unused_parameters(
    context: pytorch.PyTorchTrialContext, model: torch.nn.Module, wanted: bool | None
) -> Iterator[None]:
    """Lets a model that is wrapped in here for several slots leave weights out of the loss.

    DistributedDataParallel waits for a gradient of every weight, unless it is told to look first.

    Args:
        context: the trial's context, which wraps models.
        model: the model.
        wanted: the switch; None decides by the model's type.
    """
    if wanted is None:
        wanted = _model_type(model) in _WITH_UNUSED_WEIGHTS
    if not wanted:
        yield
        return
    context._PyTorchDistributedDataParallel = functools.partial(  # type: ignore[assignment]
        type(context)._PyTorchDistributedDataParallel, find_unused_parameters=True
    )
    try:
        yield
    finally:
        # The class's own shows again.
        del context._PyTorchDistributedDataParallel


def apply_options(model: torch.nn.Module, options: OptionKwargs) -> torch.nn.Module:
    """The model with adapter, frozen weights and gradient checkpointing, as the switches say.

    Args:
        model: changed in place, and wrapped where there is an adapter.
        options: the switches.
    """
    if options.peft:
        model = adapter.add_adapter(model, options.peft)
    if options.frozen:
        freeze(model, options.frozen)
    if options.gradient_checkpointing:
        enable_gradient_checkpointing(model, options.gradient_checkpointing_kwargs)
    return model


def freeze(model: torch.nn.Module, patterns: list[str]) -> None:
    """Takes weights out of the training whose names fit a pattern.

    Args:
        model: its parameters are changed.
        patterns: as of files, case-sensitive: ``bert.embeddings.*``.

    Raises:
        UserError: when a pattern fits no weight, or nothing is left to train.
    """
    # A weight that the model uses twice has two names, and goes by both.
    named = list(model.named_parameters(remove_duplicate=False))
    names = [name for name, _ in named]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise UserError(
                f"hyperparameters.freeze: no weight of the model fits {pattern!r}. Its weights "
                f"have names such as {', '.join(names[:3])}."
            )
    for name, parameter in named:
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            parameter.requires_grad = False
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError("hyperparameters.freeze: all weights are frozen; nothing is left to train.")


def enable_gradient_checkpointing(model: torch.nn.Module, kwargs: dict[str, Any] | None) -> None:
    """Turns gradient checkpointing on.

    Raises:
        UserError: when the model's class does not have it.
    """
    base: Any = unwrap.strip_adapter(model)
    if not getattr(base, "supports_gradient_checkpointing", False):
        raise UserError(
            f"hyperparameters.gradient_checkpointing is true, but {type(base).__name__} does not "
            "have it. Remove the key."
        )
    # The variant without reentrance works with frozen inputs and in DistributedDataParallel.
    arguments = {"use_reentrant": False, **(kwargs or {})}
    enable: Any = getattr(base, "activation_checkpointing_enable", None)
    if enable is not None:
        enable(activation_checkpointing_kwargs=arguments)
    else:  # transformers before 5.2x
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs=arguments)
    config: Any = getattr(base, "config", None)
    if getattr(config, "use_cache", False):
        # Keys and values kept for generation contradict it; generate turns them on by itself.
        config.use_cache = False


def compile_model(model: torch.nn.Module, options: OptionKwargs) -> None:
    """Compiles the model's forward; names of weights stay as they are."""
    arguments = {
        "backend": options.torch_compile_backend,
        "mode": options.torch_compile_mode,
    }
    model.compile(**{name: value for name, value in arguments.items() if value is not None})
