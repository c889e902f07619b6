"""Checks, on a few tokens, that a model behaves as its training requires."""

from typing import Any

import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.data import columns
from model_hub.huggingface.model import unwrap

# Tokens of the test sequence.
_LENGTH = 8
# Differences below this share of the largest logit are rounding errors.
_TOLERANCE = 1e-5


def check_next_token_model(model: torch.nn.Module, config: transformers.PretrainedConfig) -> None:
    """Check that the model predicts each token only from those before it.

    A model that attends to later tokens (BERT without ``is_decoder``, XLNet) learns to copy them:
    its perplexity falls towards 1 and means nothing.

    Args:
        model: wrapped or not.
        config: its configuration, for the message.

    Raises:
        UserError: when the logits at a token depend on later tokens.
    """
    tokens = _test_tokens(config)
    changed = tokens.clone()
    changed[:, -1] = _other_tokens(config, tokens[:, -1])
    if not _all_close(*(_logits(model, ids)[:, :-1] for ids in (tokens, changed))):
        raise UserError(
            f"hyperparameters.pretrained_model_name_or_path: the model (type "
            f"{config.model_type!r}) sees the tokens after the one that it is to predict. Write a "
            "decoder such as openai-community/gpt2, or take the trial for masked or permutation "
            "language modeling."
        )


def check_packing(model: torch.nn.Module, config: transformers.PretrainedConfig) -> None:
    """Check that samples packed into one sequence do not attend to each other.

    Args:
        model: wrapped or not.
        config: its configuration, for the message.

    Raises:
        UserError: when the model takes no ``position_ids``, or the logits of a sample depend on the
            sample before it.
    """
    message = (
        f"data.packing is true, but the model (type {config.model_type!r}) {{}}. Write "
        "data.packing: false."
    )
    parameters = columns._forward_parameters(model)
    if "position_ids" not in parameters:
        raise UserError(message.format("takes no position_ids"))
    half = _LENGTH // 2
    arguments: dict[str, Any] = {"position_ids": torch.arange(half).repeat(2)[None]}
    if "use_cache" in parameters:
        arguments["use_cache"] = False
    tokens = _test_tokens(config)
    changed = tokens.clone()
    changed[:, :half] = _other_tokens(config, tokens[:, :half])
    if not _all_close(*(_logits(model, ids, **arguments)[:, half:] for ids in (tokens, changed))):
        raise UserError(message.format("does not keep samples in one sequence apart"))


def _test_tokens(config: transformers.PretrainedConfig) -> torch.Tensor:
    return (torch.arange(_LENGTH) * 7 % int(config.get_text_config().vocab_size))[None]


def _other_tokens(config: transformers.PretrainedConfig, tokens: torch.Tensor) -> torch.Tensor:
    return (tokens + 1) % int(config.get_text_config().vocab_size)


@torch.no_grad()
def _logits(model: torch.nn.Module, ids: torch.Tensor, **arguments: Any) -> torch.Tensor:
    inner = unwrap.unwrap(model)
    device = next(inner.parameters()).device
    on_device = {k: v.to(device) if torch.is_tensor(v) else v for k, v in arguments.items()}
    training = inner.training
    inner.eval()
    try:
        # Not model(...): torch.compile would compile it for these shapes.
        logits: torch.Tensor = inner.forward(input_ids=ids.to(device), **on_device).logits
    finally:
        inner.train(training)
    return logits.float()


def _all_close(one: torch.Tensor, other: torch.Tensor) -> bool:
    scale = max(float(one.abs().max()), 1e-9)
    return bool((one - other).abs().max() <= _TOLERANCE * scale)
