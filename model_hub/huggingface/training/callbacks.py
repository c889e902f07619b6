"""Callbacks that every trial gets: schedules by a metric, early stopping, a check of the loss."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from determined import pytorch
from torch.optim.lr_scheduler import LRScheduler

from model_hub.errors import UserError

logger = logging.getLogger("model_hub")


def _searcher_metric(metrics: Mapping[str, Any], name: str | None, used_by: str) -> float:
    """Return the value of ``searcher.metric``.

    Raises:
        UserError: when the trial does not report it; ``used_by`` ends the message.
    """
    if name is None or name not in metrics:
        raise UserError(
            f"searcher.metric is {name!r}, but the trial reports {', '.join(metrics)}. "
            f"Write one of these: {used_by}."
        )
    return float(metrics[name])


class MetricScheduleCallback(pytorch.PyTorchCallback):
    """Steps a schedule that depends on ``searcher.metric`` after every validation."""

    def __init__(
        self, scheduler: LRScheduler, context: pytorch.PyTorchTrialContext, metric: str | None
    ) -> None:
        self._scheduler: Any = scheduler
        self._context = context
        self._metric = metric

    def on_validation_end(self, metrics: Mapping[str, Any]) -> None:
        """Step the schedule; not after a validation of the untrained model.

        Raises:
            UserError: when the trial does not report the metric.
        """
        # A run that was stopped at its last batch begins with the last validation.
        has_trained = (
            self._context.get_initial_batch() > 0 or self._context._current_batch_idx is not None
        )
        if has_trained:
            used_by = "the schedule of hyperparameters.lr_scheduler_type depends on it"
            self._scheduler.step(_searcher_metric(metrics, self._metric, used_by))


class EarlyStoppingCallback(pytorch.PyTorchCallback):
    """Requests a stop after some validations in a row without a better metric.

    Every slot gets the same metrics, so all slots stop at the same batch. A run that was stopped in
    this way trains no further when it is resumed, unless the patience has become longer.

    Args:
        metric: name of the metric, ``searcher.metric``.
        patience: number of validations without improvement that end the training.
        threshold: least difference from the best metric that is an improvement.

    Attributes:
        was_stopped: whether the resumed run had been stopped by this callback.
    """

    def __init__(
        self,
        context: pytorch.PyTorchTrialContext,
        metric: str | None,
        *,
        smaller_is_better: bool,
        patience: int,
        threshold: float = 0.0,
    ) -> None:
        self.was_stopped = False
        self._context = context
        self._metric = metric
        self._sign = -1.0 if smaller_is_better else 1.0
        self._patience = patience
        self._threshold = threshold
        self._best = -math.inf
        self._worse_in_a_row = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the best metric so far and the number of validations since then."""
        return {"best": self._best, "worse_in_a_row": self._worse_in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._best = float(state_dict["best"])
        self._worse_in_a_row = int(state_dict["worse_in_a_row"])

    def on_training_start(self) -> None:
        """Request a stop if the run was stopped early before, as its checkpoint shows."""
        self.was_stopped = self._worse_in_a_row >= self._patience
        if self.was_stopped:
            logger.info(
                "%s had not improved for %d validations when the run stopped: there is nothing "
                "left to train.",
                self._metric,
                self._worse_in_a_row,
            )
            self._context.set_stop_requested(True)

    def on_validation_end(self, metrics: Mapping[str, Any]) -> None:
        """Compare the metric with the best one and request a stop if the patience is exhausted.

        Raises:
            UserError: when the trial does not report the metric.
        """
        used_by = "hyperparameters.early_stopping_patience depends on it"
        value = self._sign * _searcher_metric(metrics, self._metric, used_by)
        # NaN is no improvement.
        if value > self._best + self._threshold:
            self._best, self._worse_in_a_row = value, 0
            return
        self._worse_in_a_row += 1
        if self._worse_in_a_row >= self._patience:
            logger.info(
                "%s has not improved for %d validations: stopping.",
                self._metric,
                self._worse_in_a_row,
            )
            self._context.set_stop_requested(True)


class NonFiniteLossCallback(pytorch.PyTorchCallback):
    """Warns once, of the first batch with a NaN or infinite loss.

    It checks the losses when the training reports, every ``scheduling_unit`` batches, so that no
    batch waits for it. It does not stop the training: with fp16 the update of such a batch is
    skipped, and later losses may be finite again.
    """

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        self._context = context
        self._has_warned = False

    def on_training_workload_end(self, avg_metrics: Mapping[str, Any], batch_metrics: Any) -> None:
        """Check the losses of the batches since the last report."""
        if self._has_warned or math.isfinite(_mean(avg_metrics.get("loss"))):
            return
        losses = [_mean(metrics.get("loss")) for metrics in batch_metrics]
        first = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if first is None:
            return
        self._has_warned = True
        batch = self._context.current_train_batch() + 1 - len(losses) + first + 1
        logger.warning(
            "the loss is %s at batch %d. If it stays so, nothing is learned: stop, and try a lower "
            "hyperparameters.learning_rate, warmup_ratio: 0.1, or bf16 instead of fp16; then "
            "look at the data (docs/how-to/debugging.md).",
            losses[first],
            batch,
        )


def _mean(loss: Any) -> float:
    """Return the loss as a number; 0 if the trial reports none, or a value of another type."""
    try:
        return 0.0 if loss is None else float(np.mean(loss))
    except (TypeError, ValueError):
        return 0.0
