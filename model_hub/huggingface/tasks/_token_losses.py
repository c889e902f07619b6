"""Logits and targets of language models, and metrics over tokens."""

import math
from collections.abc import Mapping

import numpy as np
import torch

from model_hub.huggingface import _data
from model_hub.huggingface.tasks._counts import CountReducer, from_units, in_units, ratio
from model_hub.huggingface.tasks._padding import NO_LABEL

# A loss above this is as good as infinite (so is its exponential), and sums of units stay in int64.
_LARGEST_LOSS = 2.0**20


def logits_and_targets(
    model: torch.nn.Module, batch: Mapping[str, torch.Tensor], *, next_token: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Runs a language model on a batch.

    Args:
        model: wrapped or not.
        batch: arguments of the model, and ``labels``, int ``[batch, length]``.
        next_token: the logits at a token predict the token after it; else they predict the token
            itself (masked and permutation language modeling).

    Returns:
        The logits, ``[batch, length, vocabulary]``, and what each of them should predict, int
        ``[batch, length]``; -100 where that is nothing.
    """
    arguments: dict[str, object] = {k: v for k, v in batch.items() if k != "labels"}
    if next_token and "use_cache" in _data._forward_parameters(model):
        # Keys and values are kept for generation alone; and with them, packed samples would not be
        # kept apart.
        arguments["use_cache"] = False
    logits: torch.Tensor = model(**arguments).logits
    labels = batch["labels"]
    # A prompt that is trained (peft) stands before the tokens, and has logits as well.
    logits = logits[:, -labels.shape[1] :]
    if next_token:
        labels = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=NO_LABEL)
    return logits, labels


class TokenReducer(CountReducer):
    """Perplexity, loss and accuracy over all target tokens; memory for a few numbers.

    Each token counts the same, whichever batch and row it is in. The metrics are
    ``perplexity``, the exponential of ``validation_loss``; ``validation_loss``, the mean of
    -log p(target) in nats; and ``token_accuracy``, the share of targets that have the highest
    logit. They are NaN where there is no target, or a loss is not finite.
    """

    def update(self, logits: torch.Tensor, targets: torch.Tensor) -> None:
        """Counts a batch; without waiting for the device.

        Args:
            logits: any float type, ``[batch, length, vocabulary]``.
            targets: int ``[batch, length]``; -100 is not counted.
        """
        # Row by row: float32 log-probabilities of a whole batch would need its memory once more.
        for row_logits, row_targets in zip(logits.detach(), targets, strict=True):
            losses = torch.nn.functional.cross_entropy(
                row_logits.float(), row_targets, ignore_index=NO_LABEL, reduction="none"
            )
            counted = row_targets != NO_LABEL
            finite = counted & (losses < _LARGEST_LOSS)
            self.add(
                # Each token is rounded by itself, so that padding does not matter either.
                loss=in_units(torch.where(finite, losses, 0.0)).sum(),
                correct=((row_logits.argmax(dim=-1) == row_targets) & counted).sum(),
                tokens=counted.sum(),
                not_finite=(counted & ~finite).sum(),
            )

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The metrics of the sums."""
        tokens = int(sums.get("tokens", 0))
        loss = ratio(from_units(sums.get("loss", 0)), tokens)
        if sums.get("not_finite", 0):
            loss = math.nan
        return {
            "perplexity": perplexity(loss),
            "validation_loss": loss,
            "token_accuracy": ratio(int(sums.get("correct", 0)), tokens),
        }


def perplexity(loss: float) -> float:
    """The exponential of a mean loss in nats; infinite where that is too large for a float."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf
