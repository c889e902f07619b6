"""Losses and metrics that are means over tokens."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from determined import pytorch

from model_hub.huggingface.config.hparams import options_of
from model_hub.huggingface.data import columns
from model_hub.huggingface.tasks._common.padding import NO_LABEL
from model_hub.huggingface.tasks._common.reducers import (
    SumReducer,
    loss_counts,
    mean_loss,
    ratio,
)


def logits_and_targets(
    model: torch.nn.Module, batch: Mapping[str, torch.Tensor], *, next_token: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a language model on a batch.

    Args:
        model: wrapped or not.
        batch: arguments of the model, and ``labels``, int ``[batch, length]``.
        next_token: whether the logits at a token predict the token after it (causal language
            modeling) or the token itself (masked and permutation language modeling).

    Returns:
        The logits, ``[batch, length, vocabulary]``, and their targets, int ``[batch, length]``,
        -100 for no target.
    """
    arguments: dict[str, object] = {k: v for k, v in batch.items() if k != "labels"}
    if next_token and "use_cache" in columns._forward_parameters(model):
        # Only generation needs keys and values; and with a cache, transformers would not keep
        # packed samples apart.
        arguments["use_cache"] = False
    logits: torch.Tensor = model(**arguments).logits
    labels = batch["labels"]
    # The virtual tokens of prompt tuning (peft) come before the others and have logits as well.
    logits = logits[:, -labels.shape[1] :]
    if next_token:
        labels = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=NO_LABEL)
    return logits, labels


class TokenReducer(SumReducer):
    """Perplexity, loss and accuracy over all target tokens, from sums.

    Each token has the same weight, whichever batch and row it is in. The metrics are
    ``perplexity``, the exponential of ``validation_loss``; ``validation_loss``, the mean of
    -log p(target) in nats; and ``token_accuracy``, the share of targets that have the highest
    logit. They are NaN if there is no target, or a loss is not finite.
    """

    def update(self, logits: torch.Tensor, targets: torch.Tensor) -> None:
        """Add a batch, without synchronizing with the device.

        Args:
            logits: any float type, ``[batch, length, vocabulary]``.
            targets: int ``[batch, length]``; -100 is not counted.
        """
        # Row by row: float32 log-probabilities of a whole batch would need its memory once more.
        for row_logits, row_targets in zip(logits.detach(), targets, strict=True):
            right = (row_logits.argmax(dim=-1) == row_targets) & (row_targets != NO_LABEL)
            self.add(correct=right.sum(), **loss_counts(row_logits, row_targets))

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the metrics of the sums."""
        loss = mean_loss(sums)
        return {
            "perplexity": perplexity(loss),
            "validation_loss": loss,
            "token_accuracy": ratio(int(sums.get("correct", 0)), int(sums.get("targets", 0))),
        }


def perplexity(loss: float) -> float:
    """Return the exponential of a mean loss in nats, infinity if a float cannot hold it."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


class TokenMeanStep:
    """Training steps whose loss is the mean over all target tokens, not a mean of means.

    Rows have different numbers of target tokens. If each slot, and each batch of an update
    (``optimizations.aggregation_frequency``), took the mean over its own tokens, tokens of short
    rows would have more weight, and an update would depend on the number of slots and batches. Here
    the gradient of an update is that of

        (sum of the losses of all target tokens) / (number of all target tokens)

    over all slots and all batches of the update, as of one large batch.

    When the gradients of an update's first batch are computed, the numbers of tokens of its later
    batches are not known. So the summed losses are divided by the same number throughout the
    update, the tokens of its first batch (which keeps gradients in their usual range, as float16
    needs). DistributedDataParallel divides gradients by the number of slots, so each loss is
    multiplied by it; Determined divides them by the number of batches
    (``average_aggregated_gradients``). Right before clipping, where Determined calls
    ``clip_grads``, they are multiplied by what makes the denominator the number of all tokens.

    Args:
        context: the trial's context; its hyperparameter ``label_smoothing_factor`` is used.
        optimizer: the wrapped optimizer.
        clip_gradients: clips gradients in place; None for no clipping.
    """

    def __init__(
        self,
        context: pytorch.PyTorchTrialContext,
        optimizer: torch.optim.Optimizer,
        clip_gradients: Callable[[Iterable[torch.Tensor]], Any] | None = None,
    ) -> None:
        self._context = context
        self._optimizer = optimizer
        self._clip_gradients = clip_gradients
        self._label_smoothing_factor: float = options_of(context).label_smoothing_factor
        # Of the current update: the number that losses are divided by, and the target tokens so
        # far.
        self._divisor: torch.Tensor | None = None
        self._tokens: torch.Tensor | None = None

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Run the backward pass, and update the weights if an update is due.

        Args:
            logits: any float type, ``[batch, length, vocabulary]``, with their graph.
            targets: int ``[batch, length]``; -100 for no target. There may be none.

        Returns:
            The mean loss over the target tokens of this batch on all slots, a scalar; 0 if there
            is none.
        """
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, -2),
            targets.flatten(),
            ignore_index=NO_LABEL,
            reduction="sum",
            label_smoothing=self._label_smoothing_factor,
        )
        return self._step(loss, (targets != NO_LABEL).sum(), 1)

    def of_mean(self, loss: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Do the same with a loss that the model has computed.

        Args:
            loss: the mean over the target tokens of this batch on this slot, a scalar with its
                graph.
            labels: the targets; at least one must not be -100.

        Returns:
            As :meth:`__call__`.
        """
        count = (labels != NO_LABEL).sum()
        return self._step(loss, count, count)

    def _step(
        self, loss: torch.Tensor, count: torch.Tensor, weight: torch.Tensor | int
    ) -> torch.Tensor:
        """Take the step for ``count`` tokens whose losses sum up to ``weight * loss``."""
        totals = torch.stack([loss.detach().double() * weight, count.double()])
        slots = self._context.distributed.size
        if slots > 1:
            torch.distributed.all_reduce(totals)
        total_loss, tokens = totals[0], totals[1]
        if self._divisor is None or self._tokens is None:
            self._divisor = tokens.clamp(min=1)
            self._tokens = torch.zeros_like(tokens)
        self._tokens = self._tokens + tokens
        # One factor, so that the mean over a whole update stays as it is to the bit.
        self._context.backward(loss * (slots * weight / self._divisor).float())
        self._context.step_optimizer(self._optimizer, self._weigh_and_clip)
        return (total_loss / tokens.clamp(min=1)).float()

    def _weigh_and_clip(self, parameters: Iterable[torch.Tensor]) -> None:
        """Scale and clip the complete gradients of an update; Determined calls this."""
        assert self._divisor is not None and self._tokens is not None
        weight = self._divisor / self._tokens.clamp(min=1)
        if self._context._optimizer_configs[self._optimizer]["average_aggregated_gradients"]:
            weight = weight * self._context._aggregation_frequency
        parameters = list(parameters)
        # With one batch an update the weight is 1.
        if self._context._aggregation_frequency > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(weight.to(parameter.grad.dtype))
        self._divisor = self._tokens = None
        if self._clip_gradients is not None:
            self._clip_gradients(parameters)
