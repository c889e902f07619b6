"""The options of the YAML, applied to a model when it is wrapped: adapters, precision, memory."""

import contextlib
import dataclasses
import fnmatch
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.model import adapter, precision, unwrap

# Model types with weights that do not contribute to the loss of every task: weights for pretraining
# (XLNet), global attention, the pooler.
_WITH_UNUSED_WEIGHTS = frozenset(
    {"big_bird", "fnet", "funnel", "layoutlm", "led", "longformer", "squeezebert", "xlnet"}
)

# Model types whose code mixes dtypes, so that half-precision weights need autocast.
_PARTLY_FLOAT32 = frozenset({"xlnet"})


def _model_type(model: torch.nn.Module) -> str | None:
    config: Any = getattr(model, "config", None)
    return getattr(config, "model_type", None)


def check_options(options: OptionKwargs, device: torch.device) -> None:
    """Check the options that depend on this machine, before anything is loaded.

    Raises:
        UserError: when the device or the installed torch does not support an option.
    """
    precision.autocast_dtype(options, device)
    if not options.compiles:
        return
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


def wrap_model(
    context: pytorch.PyTorchTrialContext,
    model: torch.nn.Module,
    options: OptionKwargs,
    wrap_prepared: Callable[[torch.nn.Module], torch.nn.Module],
) -> torch.nn.Module:
    """Apply the options to a model, then wrap it.

    A trial may build its model in any way, but has to wrap it before it builds an optimizer of its
    weights. ``wrap_prepared`` is ``context.wrap_model`` as it was before it was replaced.
    """
    if not context.models:
        precision.log_apex(options, context.device)
    dtype = precision.autocast_dtype(options, context.device)
    if dtype is torch.float16:
        precision.scale_losses(context)
    model = apply_options(model, options)
    half = precision.has_half_weights(model)
    if half and dtype is None and _model_type(model) in _PARTLY_FLOAT32:
        raise UserError(
            f"hyperparameters.dtype: a model of type {_model_type(model)} computes partly in "
            "float32 and does not work with weights in half precision alone. Write "
            "bf16: true beside it, or remove the key."
        )
    if dtype is torch.float16:
        precision.check_trained_weights(model)
    if dtype is not None or half:
        precision.autocast_forward(model, dtype, context.device)
    if options.compiles:
        compile_model(model, options)
    with (
        _find_unused_parameters(context, model, options.ddp_find_unused_parameters),
        precision.without_determineds_autocast(context),
    ):
        return wrap_prepared(model)


def configure_apex_amp(
    context: pytorch.PyTorchTrialContext,
    options: OptionKwargs,
    models: Any,
    optimizers: Any,
    enabled: bool = True,
    opt_level: str = "O1",
    *_: Any,
    **__: Any,
) -> tuple[Any, Any]:
    """Turn on float16 autocast for models that are wrapped already, where there is a GPU.

    It stands for the method of the context by which old trials turned on apex; its other arguments
    are settings of apex. Nothing happens if the options have turned on autocast already.
    """
    half = enabled and opt_level != "O0"  # That level of apex is single precision.
    if half and not (options.use_apex_amp or options.fp16 or options.bf16):
        with_apex = dataclasses.replace(options, use_apex_amp=True)
        dtype = precision.autocast_dtype(with_apex, context.device)
        if dtype is not None:
            precision.scale_losses(context)
            for model in models if isinstance(models, list) else [models]:
                precision.check_trained_weights(model)
                precision.autocast_forward(model, dtype, context.device)
    return models, optimizers


@contextlib.contextmanager
def _find_unused_parameters(
    context: pytorch.PyTorchTrialContext, model: torch.nn.Module, wanted: bool | None
) -> Iterator[None]:
    """Wrap a model within this block for several slots although some weights get no gradient.

    DistributedDataParallel waits for a gradient of every weight, unless ``find_unused_parameters``
    is set. ``wanted`` is the option; None decides by the model's type.
    """
    if wanted is None:
        wanted = _model_type(model) in _WITH_UNUSED_WEIGHTS
    if not wanted:
        yield
        return
    wrapper = context._PyTorchDistributedDataParallel
    context._PyTorchDistributedDataParallel = functools.partial(  # type: ignore[assignment]
        wrapper, find_unused_parameters=True
    )
    try:
        yield
    finally:
        context._PyTorchDistributedDataParallel = wrapper


def apply_options(model: torch.nn.Module, options: OptionKwargs) -> torch.nn.Module:
    """Return the model with the adapter, frozen weights and gradient checkpointing of the options.

    It is changed in place, and wrapped if there is an adapter.
    """
    if options.peft:
        model = adapter.add_adapter(model, options.peft)
    if options.frozen:
        freeze(model, options.frozen)
    if options.gradient_checkpointing:
        enable_gradient_checkpointing(model, options.gradient_checkpointing_kwargs)
    return model


def freeze(model: torch.nn.Module, patterns: list[str]) -> None:
    """Freeze the weights whose names match a pattern.

    Patterns are shell-style wildcards, case-sensitive: ``bert.embeddings.*``.

    Raises:
        UserError: when a pattern matches no weight, or nothing is left to train.
    """
    # A weight that the model uses twice has two names; both can be matched.
    named = list(model.named_parameters(remove_duplicate=False))
    names = [name for name, _ in named]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise UserError(
                f"hyperparameters.freeze: no weight of the model matches {pattern!r}. Its weights "
                f"have names such as {', '.join(names[:3])}."
            )
    for name, parameter in named:
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            parameter.requires_grad = False
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError("hyperparameters.freeze: all weights are frozen; nothing is left to train.")


def enable_gradient_checkpointing(model: torch.nn.Module, kwargs: dict[str, Any] | None) -> None:
    """Turn gradient checkpointing on.

    Raises:
        UserError: when the model's class does not support it.
    """
    base: Any = unwrap.strip_adapter(model)
    if not getattr(base, "supports_gradient_checkpointing", False):
        raise UserError(
            f"hyperparameters.gradient_checkpointing is true, but {type(base).__name__} does not "
            "support it. Remove the key."
        )
    # The non-reentrant variant works with frozen inputs and in DistributedDataParallel.
    arguments = {"use_reentrant": False, **(kwargs or {})}
    enable: Any = getattr(base, "activation_checkpointing_enable", None)
    if enable is not None:
        enable(activation_checkpointing_kwargs=arguments)
    else:  # transformers before 5.2x
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs=arguments)
    config: Any = getattr(base, "config", None)
    if getattr(config, "use_cache", False):
        # A key-value cache contradicts it; `generate` turns the cache on by itself.
        config.use_cache = False


def compile_model(model: torch.nn.Module, options: OptionKwargs) -> None:
    """Compile the model's forward; the names of its weights do not change."""
    arguments = {
        "backend": options.torch_compile_backend,
        "mode": options.torch_compile_mode,
    }
    model.compile(**{name: value for name, value in arguments.items() if value is not None})
