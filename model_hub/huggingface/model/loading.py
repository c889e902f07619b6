"""How a model's weights are loaded or made: their type, quantization, and which attention."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.model import untrained

logger = logging.getLogger("model_hub")


def resize_embeddings(
    model: torch.nn.Module, tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    """Adds embeddings, in place, where the tokenizer has more tokens than the model.

    A tokenizer of another model, or one with tokens of one's own, would otherwise end in an index
    out of range. A model with more embeddings than the tokenizer has tokens stays as it is: many
    are padded to a multiple of 64 or 128, and their weights are not to be cut.

    Args:
        model: not wrapped yet, and not known to an optimizer.
        tokenizer: the tokenizer that it is used with.
    """
    if not isinstance(model, transformers.PreTrainedModel):
        return
    try:
        embeddings = model.get_input_embeddings()
    except NotImplementedError:  # A model of something else than tokens.
        return
    if not isinstance(embeddings, torch.nn.Embedding):
        return
    before, needed = embeddings.num_embeddings, len(tokenizer)
    if needed > before:
        model.resize_token_embeddings(needed)
        for grown in (model.get_input_embeddings(), model.get_output_embeddings()):
            if grown is not None:
                untrained.mark_untrained(grown.parameters())
        logger.info(
            "The tokenizer has %d tokens, the model had embeddings for %d: %d new ones are added, "
            "which nothing was learned about yet.",
            needed,
            before,
            needed - before,
        )


_BITS = ("load_in_4bit", "load_in_8bit")


def from_pretrained_kwargs(
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


def from_config_kwargs(
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
def report_yaml_key(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Names the key of the YAML by which a model cannot be built.

    Args:
        arguments: what the model is built with.
    """
    try:
        yield
    except (ImportError, TypeError, ValueError) as error:
        # What `_from_pretrained` says has the reason behind it.
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
    # Whichever of them the YAML has, its name is in the message.
    short = [f"hyperparameters.{name}" for name in _BITS if quantization.get(name)]
    return " or ".join(["quantization_config", *short])
