"""How a model's weights are loaded or made: their type, quantization, and which attention."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import transformers

from model_hub.errors import UserError

logger = logging.getLogger("model_hub")

_BITS = ("load_in_4bit", "load_in_8bit")


def loading_arguments(
    kwargs: Mapping[str, Any], config: transformers.PretrainedConfig
) -> dict[str, Any]:
    """What ``from_pretrained`` is called with.

    transformers 5 would load weights in the type in which they are saved. Here those in half
    precision become float32 unless something else is asked for, as in transformers 4: updates of
    weights in half precision are lost in rounding, and the loss scaling of ``fp16`` does not work
    with them.

    Args:
        kwargs: arguments that the YAML has, ``load_in_4bit`` and ``load_in_8bit`` among them.
        config: the model's configuration.
    """
    call = dict(kwargs)
    quantization = dict(call.pop("quantization_config", None) or {})
    quantization = {**{n: True for n in _BITS if call.pop(n, False)}, **quantization}
    if quantization:
        call["quantization_config"] = quantization
    elif (
        "dtype" not in call
        and getattr(config, "quantization_config", None) is None
        and getattr(config, "dtype", None) is not torch.float64
    ):
        if _is_half(config):
            logger.info(
                "The weights are saved in %s; they are loaded in float32 (hyperparameters.dtype: "
                "auto would leave them as they are).",
                str(config.dtype).removeprefix("torch."),
            )
        call["dtype"] = "float32"
    return call


def making_arguments(
    kwargs: Mapping[str, Any], config: transformers.PretrainedConfig
) -> dict[str, Any]:
    """What ``from_config`` is called with, where no weights are loaded; arguments as above.

    Raises:
        UserError: when weights that are not there are to be quantized.
    """
    given = [name for name in (*_BITS, "quantization_config") if kwargs.get(name)]
    if given:
        raise UserError(
            f"hyperparameters.{given[0]} is for pretrained weights, but "
            "hyperparameters.use_pretrained_weights is false. Remove one of them."
        )
    call = {"attn_implementation": kwargs.get("attn_implementation")}
    dtype = kwargs.get("dtype", "float32" if _is_half(config) else None)
    call["dtype"] = None if dtype in (None, "auto") else getattr(torch, dtype)
    return {name: value for name, value in call.items() if value is not None}


def _is_half(config: transformers.PretrainedConfig) -> bool:
    return getattr(config, "dtype", None) in (torch.float16, torch.bfloat16)


@contextlib.contextmanager
def blamed(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Names the key of the YAML by which a model cannot be built.

    Args:
        arguments: what the model is built with.
    """
    try:
        yield
    except (ImportError, TypeError, ValueError) as error:
        # What `_from_pretrained` says has the reason behind it.
        cause = error.__cause__ if isinstance(error, UserError) else error
        key = _key_to_blame(arguments, str(cause))
        if key is None or isinstance(cause, OSError):
            raise
        reason = str(cause).strip().splitlines()[0].rstrip(".")
        raise UserError(
            f"hyperparameters.{key} does not work here: {reason}. Write another value, or remove "
            "the key."
        ) from error


def _key_to_blame(arguments: Mapping[str, Any], reason: str) -> str | None:
    if "attn_implementation" in arguments and ("ttention" in reason or "attn_" in reason):
        return "attn_implementation"
    quantization = arguments.get("quantization_config")
    if not quantization or "Unrecognized configuration class" in reason or "shapes" in reason:
        return None
    # Whichever of them the YAML has, its name is in the message.
    short = [f"hyperparameters.{name}" for name in _BITS if quantization.get(name)]
    return " or ".join(["quantization_config", *short])
