"""Says when the loss is no number any more."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from determined import pytorch

logger = logging.getLogger("model_hub")


class LossWatch(pytorch.PyTorchCallback):
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
