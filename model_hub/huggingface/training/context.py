"""The options of the YAML, applied to a trial's context."""

from collections.abc import Mapping
from typing import Any

import torch
from determined import pytorch

from model_hub.huggingface.checkpoint import state_dict
from model_hub.huggingface.config.hparams import accumulate_gradients, keep_options, options_of
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.model import wrap
from model_hub.huggingface.training.device import enable_non_blocking_copies


def set_up_context(
    context: pytorch.PyTorchTrialContext,
    hparams: Mapping[str, Any],
    exp_config: Mapping[str, Any],
) -> OptionKwargs:
    """Apply the options of the YAML to a trial's context, in which no model is wrapped yet.

    A trial calls it before its ``__init__``, which may load data, and again when it checks its
    hyperparameters, which it may have changed by then: the options of the last call count.

    ``wrap_model`` and ``to_device`` are replaced on the context and not in Determined's class,
    because they depend on the trial's options, and a context has its class before there is a trial.
    They are replaced once, so that a trial may replace them too, before or after, and call ours.

    Raises:
        UserError: when an option has a wrong value, contradicts another key, or is not supported by
            the device or the installed torch.
    """
    options = keep_options(context, hparams)
    wrap.check_options(options, context.device)
    accumulate_gradients(context, options, exp_config)
    if options.tf32 is not None:
        torch.set_float32_matmul_precision("high" if options.tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = options.tf32
    if not hasattr(context, "_model_hub_is_set_up"):
        enable_non_blocking_copies(context)
        _replace_wrap_model(context)
        _replace_configure_apex_amp(context)
        context._model_hub_is_set_up = True  # type: ignore[attr-defined]
    return options


def _replace_wrap_model(context: pytorch.PyTorchTrialContext) -> None:
    # Determined's method, or one that the trial's class has put in its place.
    wrap_prepared = context.wrap_model

    def wrap_model(model: torch.nn.Module) -> torch.nn.Module:
        wrapped = wrap.wrap_model(context, model, options_of(context), wrap_prepared)
        state_dict.accept_module_prefix(wrapped)
        return wrapped

    context.wrap_model = wrap_model  # type: ignore[method-assign]


def _replace_configure_apex_amp(context: pytorch.PyTorchTrialContext) -> None:
    def configure_apex_amp(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        return wrap.configure_apex_amp(context, options_of(context), *args, **kwargs)

    context.configure_apex_amp = configure_apex_amp  # type: ignore[method-assign]
