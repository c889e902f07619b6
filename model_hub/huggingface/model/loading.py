"""Arguments for loading or initializing a model: dtype, quantization, attention."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.model import untrained

logger = logging.getLogger("model_hub")

_BITS = ("load_in_4bit", "load_in_8bit")


def resize_embeddings(
    model: torch.nn.Module, tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    """Add embeddings, in place, if the tokenizer has more tokens than the model.

    Otherwise a tokenizer of another model, or one with added tokens, would end in an index out of
    range. Embeddings are never removed: many models are padded to a multiple of 64 or 128. The
    model must not be wrapped yet, nor have an optimizer.
    """
    if not isinstance(model, transformers.PreTrainedModel):
        return
    try:
        embeddings = model.get_input_embeddings()
    except NotImplementedError:  # The input is not tokens.
        return
    if not isinstance(embeddings, torch.nn.Embedding):
        return
    # The numbers of tokens may have gaps.
    before, after = embeddings.num_embeddings, max(tokenizer.get_vocab().values(), default=-1) + 1
    if after > before:
        model.resize_token_embeddings(after)
        for resized in (model.get_input_embeddings(), model.get_output_embeddings()):
            if resized is not None:
                untrained.mark_untrained(resized.parameters())
        logger.info(
            "The tokenizer needs embeddings for %d tokens, the model had embeddings for %d: %d "
            "new, untrained ones are added.",
            after,
            before,
            after - before,
        )


def from_pretrained_kwargs(
    kwargs: Mapping[str, Any], config: transformers.PretrainedConfig
) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` for those of the YAML.

    transformers 5 loads weights in the dtype of the file. Here, as in transformers 4, half
    precision becomes float32 unless ``dtype`` is given: updates of weights in half precision are
    lost in rounding, and the loss scaling of ``fp16`` does not work with them.
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


def from_config_kwargs(
    kwargs: Mapping[str, Any], config: transformers.PretrainedConfig
) -> dict[str, Any]:
    """Return the arguments of ``from_config`` for those of the YAML.

    Raises:
        UserError: when the YAML asks for quantization, which needs pretrained weights.
    """
    quantization = [name for name in (*_BITS, "quantization_config") if kwargs.get(name)]
    if quantization:
        raise UserError(
            f"hyperparameters.{quantization[0]} is for pretrained weights, but "
            "hyperparameters.use_pretrained_weights is false. Remove one of them."
        )
    call = {"attn_implementation": kwargs.get("attn_implementation")}
    dtype = kwargs.get("dtype", "float32" if _is_half(config) else None)
    call["dtype"] = None if dtype in (None, "auto") else getattr(torch, dtype)
    return {name: value for name, value in call.items() if value is not None}


def _is_half(config: transformers.PretrainedConfig) -> bool:
    return getattr(config, "dtype", None) in (torch.float16, torch.bfloat16)


@contextlib.contextmanager
def report_yaml_key(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Name the key of the YAML at fault if the model cannot be built in the ``with`` block.

    Raises:
        UserError: in place of an error that one of the arguments has caused.
    """
    try:
        yield
    except (ImportError, TypeError, ValueError) as error:
        # The errors of `build._from_pretrained` have the original error as their cause.
        cause = error.__cause__ if isinstance(error, UserError) else error
        key = _yaml_key_of_error(arguments, str(cause))
        if key is None or isinstance(cause, OSError):
            raise
        reason = str(cause).strip().splitlines()[0].rstrip(".")
        raise UserError(
            f"hyperparameters.{key} does not work here: {reason}. Write another value, or remove "
            "the key."
        ) from error


def _yaml_key_of_error(arguments: Mapping[str, Any], reason: str) -> str | None:
    if "attn_implementation" in arguments and ("ttention" in reason or "attn_" in reason):
        return "attn_implementation"
    quantization = arguments.get("quantization_config")
    if not quantization or "Unrecognized configuration class" in reason or "shapes" in reason:
        return None
    # Name all keys that the YAML may have.
    shortcuts = [f"hyperparameters.{name}" for name in _BITS if quantization.get(name)]
    return " or ".join(["quantization_config", *shortcuts])
