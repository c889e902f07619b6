"""Ends a training whose metric gets no better."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from determined import pytorch

from model_hub.errors import UserError

logger = logging.getLogger("model_hub")


class EarlyStopping(pytorch.PyTorchCallback):
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
