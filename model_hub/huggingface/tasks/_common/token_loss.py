"""Logits and targets of language models, and metrics over tokens."""

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
    from_fixed_point,
    ratio,
    to_fixed_point,
)

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
    if next_token and "use_cache" in columns._forward_parameters(model):
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


class TokenReducer(SumReducer):
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
                loss=to_fixed_point(torch.where(finite, losses, 0.0)).sum(),
                correct=((row_logits.argmax(dim=-1) == row_targets) & counted).sum(),
                tokens=counted.sum(),
                not_finite=(counted & ~finite).sum(),
            )

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The metrics of the sums."""
        tokens = int(sums.get("tokens", 0))
        loss = ratio(from_fixed_point(sums.get("loss", 0)), tokens)
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


class TokenMeanStep:
    """Takes steps whose loss is a mean over tokens, not a mean of means.

    Rows have different numbers of target tokens. If each slot, and each batch whose gradients are
    summed up for one update (``optimizations.aggregation_frequency``), took the mean over its own
    tokens, tokens of short rows would count more, and the same update would be another one on
    another number of slots or batches. Here the gradient of an update is that of

        (sum of the losses of all target tokens) / (number of all target tokens)

    over all slots and all batches of the update, as of one large batch.

    How many tokens the later batches of an update have is not known when the first one's gradients
    are computed. So losses are summed up and divided by a number that is the same throughout the
    update, the tokens of its first batch (so that the gradients have their usual size, which
    matters for float16). DistributedDataParallel divides gradients by the number of slots, which
    each loss is multiplied with beforehand; Determined divides them by the number of batches
    (``average_aggregated_gradients``). Right before gradients are clipped, where Determined calls a
    function of ours, they are multiplied with what makes the denominator the number of all tokens.

    Args:
        context: the trial's context; of its hyperparameters, ``label_smoothing_factor`` counts.
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
        # Of the update that is in progress: the number that losses are divided by, and the target
        # tokens so far.
        self._divisor: torch.Tensor | None = None
        self._tokens: torch.Tensor | None = None

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Backward pass, and an update of the weights where one is due.

        Args:
            logits: any float type, ``[batch, length, vocabulary]``, with their graph.
            targets: int ``[batch, length]``; -100 marks what is no target. There may be none.

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
        """The same, of a loss that the model has computed itself.

        Args:
            loss: the mean over the target tokens of this batch on this slot, a scalar with its
                graph.
            labels: as the targets above; there has to be one that is not -100.

        Returns:
            As above.
        """
        count = (labels != NO_LABEL).sum()
        return self._step(loss, count, count)

    def _step(
        self, loss: torch.Tensor, count: torch.Tensor, weight: torch.Tensor | int
    ) -> torch.Tensor:
        """Takes the step for ``count`` tokens, whose losses sum up to ``weight`` times the loss."""
        totals = torch.stack([loss.detach().double() * weight, count.double()])
        slots = self._context.distributed.size
        if slots > 1:
            torch.distributed.all_reduce(totals)
        total_loss, tokens = totals[0], totals[1]
        if self._divisor is None or self._tokens is None:
            self._divisor = tokens.clamp(min=1)
            self._tokens = torch.zeros_like(tokens)
        self._tokens = self._tokens + tokens
        # One factor, so that a mean over all there is stays as it is to the bit.
        self._context.backward(loss * (slots * weight / self._divisor).float())
        self._context.step_optimizer(self._optimizer, self._weigh_and_clip)
        return (total_loss / tokens.clamp(min=1)).float()

    def _weigh_and_clip(self, parameters: Iterable[torch.Tensor]) -> None:
        """Called by Determined when the gradients of an update are complete."""
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
