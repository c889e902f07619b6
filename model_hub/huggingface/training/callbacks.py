"""Ends a training whose metric gets no better."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from determined import pytorch
from torch.optim.lr_scheduler import LRScheduler

from model_hub.errors import UserError


class MetricScheduleCallback(pytorch.PyTorchCallback):
    """Steps a schedule that wants a metric after every validation, as ``Trainer`` does.

    Args:
        scheduler: the schedule.
        context: tells whether the training has begun.
        metric: name of the metric, ``searcher.metric`` of the YAML.
    """

    def __init__(
        self, scheduler: LRScheduler, context: pytorch.PyTorchTrialContext, metric: str | None
    ) -> None:
        self._scheduler: Any = scheduler
        self._context = context
        self._metric = metric

    def on_validation_end(self, metrics: Mapping[str, Any]) -> None:
        """Takes a step; not after a validation of the untrained model.

        Raises:
            UserError: when the metric is not among those that the trial reports.
        """
        # After a stop at the last batch, the last validation is the first thing done.
        begun = (
            self._context.get_initial_batch() > 0 or self._context._current_batch_idx is not None
        )
        if not begun:
            return
        if self._metric is None or self._metric not in metrics:
            raise UserError(
                f"searcher.metric is {self._metric!r}, but the trial reports {', '.join(metrics)}. "
                "Write one of these: the schedule of hyperparameters.lr_scheduler_type follows it."
            )
        self._scheduler.step(float(metrics[self._metric]))


logger = logging.getLogger("model_hub")


class EarlyStoppingCallback(pytorch.PyTorchCallback):
    """Asks Determined to stop after some validations in a row without a better metric.

    Every slot gets the same metrics, so that all of them stop at the same batch. A training that
    has stopped itself does not go on when it is started again from its checkpoint, unless the
    patience has become longer.

    Args:
        trial: what is trained; its ``context`` is asked for the stop.
        metric: name of the metric, ``searcher.metric``.
        smaller_is_better: ``searcher.smaller_is_better``.
        patience: validations without improvement that end the training.
        threshold: how much better a metric has to be to count.
    """

    def __init__(
        self,
        trial: Any,
        metric: str | None,
        *,
        smaller_is_better: bool,
        patience: int,
        threshold: float = 0.0,
    ) -> None:
        self._trial = trial
        self._metric = metric
        self._sign = -1.0 if smaller_is_better else 1.0
        self._patience = patience
        self._threshold = threshold
        self._best = -math.inf
        self._worse_in_a_row = 0

    def state_dict(self) -> dict[str, Any]:
        """The best metric so far, and for how many validations there was none better."""
        return {"best": self._best, "worse_in_a_row": self._worse_in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""
        self._best = float(state_dict["best"])
        self._worse_in_a_row = int(state_dict["worse_in_a_row"])

    def on_training_start(self) -> None:
        """Ends a training that had stopped before, as its checkpoint tells."""
        if self._worse_in_a_row < self._patience:
            return
        logger.info(
            "%s had not become better for %d validations: there is nothing left to train.",
            self._metric,
            self._worse_in_a_row,
        )
        self._trial.context.set_stop_requested(True)
        # Determined's loop would look at the request only after some batches more.
        self._trial.train_batch = _leave

    def on_validation_end(self, metrics: Mapping[str, Any]) -> None:
        """Looks at the metric.

        Raises:
            UserError: when it is not among those that the trial reports.
        """
        if self._metric is None or self._metric not in metrics:
            raise UserError(
                f"searcher.metric is {self._metric!r}, but the trial reports {', '.join(metrics)}. "
                "Write one of these: hyperparameters.early_stopping_patience follows it."
            )
        value = self._sign * float(metrics[self._metric])
        # NaN is no improvement.
        if value > self._best + self._threshold:
            self._best, self._worse_in_a_row = value, 0
            return
        self._worse_in_a_row += 1
        if self._worse_in_a_row >= self._patience:
            logger.info(
                "%s has not become better for %d validations: stopping.",
                self._metric,
                self._worse_in_a_row,
            )
            self._trial.context.set_stop_requested(True)


def _leave(**_: Any) -> None:
    """In the place of a training step: out of the loop, as if the stop had been seen there."""
    raise pytorch._ShouldExit()


class NonFiniteLossCallback(pytorch.PyTorchCallback):
    """Warns, once, of the first batch whose loss is NaN or infinite.

    It looks where the training reports, every ``scheduling_unit`` batches, so that no batch waits
    for it. It does not stop the training: with fp16 such a batch is left out, and the next one may
    be well again.

    Args:
        context: knows the number of the batch.
    """

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        self._context = context
        self._told = False

    def on_training_workload_end(self, avg_metrics: Mapping[str, Any], batch_metrics: Any) -> None:
        """Looks at the losses of the batches since the last report.

        Args:
            avg_metrics: averages over these batches.
            batch_metrics: a list with the metrics of each of them.
        """
        if self._told or math.isfinite(_mean(avg_metrics.get("loss"))):
            return
        losses = [_mean(metrics.get("loss")) for metrics in batch_metrics]
        first = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if first is None:
            return
        self._told = True
        batch = self._context.current_train_batch() + 1 - len(losses) + first + 1
        logger.warning(
            "the loss is %s at batch %d. If it stays so, nothing is learned: stop, and try a lower "
            "hyperparameters.learning_rate, warmup_ratio: 0.1, or bf16 in the place of fp16; then "
            "look at the data (docs/how-to/debugging.md).",
            losses[first],
            batch,
        )


def _mean(loss: Any) -> float:
    """The loss as a number; 0 where a trial reports none, or something else by this name."""
    try:
        return 0.0 if loss is None else float(np.mean(loss))
    except (TypeError, ValueError):
        return 0.0
