"""Records the reports of a training: in the run's folder, TensorBoard and the console."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from determined import core
from torch.utils import tensorboard

from model_hub.huggingface.runner import plot
from model_hub.huggingface.runner.console import Console
from model_hub.huggingface.runner.run_folder import Checkpoint, RunFolder

# Time between two updates of the progress bar.
_REFRESH_SECONDS = 0.2

logger = logging.getLogger("model_hub")


class RunRecorder(core.DummyTrainContext):
    """Writes what Determined's loop reports into the run's folder and shows it on the console.

    Args:
        writes: whether this process writes to the folder.

    Attributes:
        optimizers: the trial's optimizers, whose learning rate is reported.
        last_validation_steps: batches trained before the last validation; None if there was none.
        best: best value of the searcher's metric; None if there is none.
        epochs: number of epochs trained, with a fraction.
    """

    def __init__(
        self, folder: RunFolder, config: Mapping[str, Any], console: Console, *, writes: bool
    ) -> None:
        super().__init__(folder.tensorboard)
        self.folder = folder
        self.console = console
        self.writes = writes
        self.optimizers: list[torch.optim.Optimizer] = []
        self.last_validation_steps: int | None = None
        self.best: float | None = None
        self.epochs = 0.0
        self._metric = config["searcher"].get("metric")
        self._smaller_is_better = bool(config["searcher"]["smaller_is_better"])
        settings = config.get("checkpoint_storage")
        settings = settings if isinstance(settings, Mapping) else {}
        self._keep_latest = max(1, int(settings.get("save_trial_latest", 1)))
        self._keep_best = int(settings.get("save_trial_best", 1))
        self._checkpoints: list[Checkpoint] = []
        # The searcher's metric by the number of batches trained.
        self._values: dict[int, float] = {}
        self._writer: tensorboard.SummaryWriter | None = None
        self._loss: float | None = None
        # Losses of batches that the progress bar does not show yet.
        self._losses: list[Any] = []
        self._shown = 0.0
        self._samples = 0
        self._since = time.monotonic()

    def continue_from(self, checkpoints: list[Checkpoint], steps: int | None) -> None:
        """Set the folder back to its newest checkpoint.

        ``checkpoints`` are the complete ones; ``steps`` is the number of batches trained when the
        newest was written, None if there is none.
        """
        self._checkpoints = checkpoints
        self.folder.keep_checkpoints(checkpoints)
        self.folder.forget_metrics_after(steps)
        for record in self.folder.read_metrics():
            if record["group"] == "validation":
                self._note_validation(record["steps_completed"], record)

    @property
    def writer(self) -> tensorboard.SummaryWriter:
        """The writer of the run's TensorBoard files."""
        if self._writer is None:
            self._writer = tensorboard.SummaryWriter(str(self.folder.tensorboard))
        return self._writer

    def learning_rate(self) -> float:
        """Return the learning rate of the first parameter group."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                return float(group["lr"] or 0.0)
        return 0.0

    def record_batch(self, epoch: float, loss: Any, samples: int) -> None:
        """Record a trained batch.

        Args:
            epoch: number of epochs trained, with a fraction.
            loss: the loss of the batch, or None.
            samples: number of samples, over all slots.
        """
        self.epochs = epoch
        self._samples += samples
        if not self.console.shows_progress:
            return
        self._losses.append(loss)
        if time.monotonic() - self._shown >= _REFRESH_SECONDS:
            self._show_progress()

    def _show_progress(self) -> None:
        """Update the progress bar. Reading losses waits for the GPU, so this is not done often."""
        for loss in self._losses:
            value = float(np.mean(loss)) if loss is not None else float("nan")
            # An exponential moving average over about twenty batches.
            self._loss = value if self._loss is None else self._loss + (value - self._loss) / 20
        self._shown = time.monotonic()
        if self._losses and self._loss is not None:
            self.console.advance(
                batches=len(self._losses),
                epoch=self.epochs,
                loss=self._loss,
                learning_rate=self.learning_rate(),
                speed=self._samples / max(self._shown - self._since, 1e-9),
            )
        self._losses.clear()

    def set_status(self, status: str) -> None:
        """Show whether the run is training, validating or writing a checkpoint."""
        self.console.status(status)

    def report_progress(self, progress: float) -> None:
        """Do nothing: the progress bar is updated with every batch."""

    def report_training_metrics(
        self, steps_completed: int, metrics: dict[str, Any], batch_metrics: Any = None
    ) -> None:
        """Record training metrics, averaged over the batches since the last report."""
        self._show_progress()
        now = time.monotonic()
        record = {
            "group": "training",
            "steps_completed": steps_completed,
            "epochs": round(self.epochs, 6),
            **{k: _scalar(v) for k, v in metrics.items() if k not in ("batches", "epochs")},
            "learning_rate": self.learning_rate(),
            "samples_per_second": round(self._samples / max(now - self._since, 1e-9), 3),
        }
        self.start_clock()
        self._write(record)

    def start_clock(self) -> None:
        """Restart the measurement of speed, after a report or a validation."""
        self._samples = 0
        self._since = time.monotonic()

    def report_validation_metrics(self, steps_completed: int, metrics: dict[str, Any]) -> None:
        """Record the metrics of a validation."""
        values = {k: _scalar(v) for k, v in metrics.items() if k not in ("batches", "epochs")}
        record = {
            "group": "validation",
            "steps_completed": steps_completed,
            "epochs": round(self.epochs, 6),
            **values,
        }
        self.console.validation(steps_completed, self.epochs, values, self.best)
        self._note_validation(steps_completed, values)
        self._write(record)

    def _get_last_validation(self) -> int | None:
        return self.last_validation_steps

    def get_experiment_best_validation(self) -> float | None:
        """Return the best value of the searcher's metric; Determined asks for it."""
        return self.best

    def _note_validation(self, steps: int, values: Mapping[str, Any]) -> None:
        self.last_validation_steps = steps
        value = values.get(self._metric)
        if isinstance(value, (int, float)) and value == value:
            self._values[steps] = float(value)
            pick = min if self._smaller_is_better else max
            self.best = float(value) if self.best is None else pick(self.best, float(value))

    def _write(self, record: dict[str, Any]) -> None:
        if not self.writes:
            return
        self.folder.append_metrics({**record, "time": round(time.time(), 3)})
        for name, value in record.items():
            if isinstance(value, (int, float)) and name != "steps_completed":
                self.writer.add_scalar(
                    f"{record['group']}/{name}", value, record["steps_completed"]
                )
        self.writer.flush()

    def record_checkpoint(self, uuid: str, steps: int) -> None:
        """Record a complete checkpoint and delete those beyond ``checkpoint_storage``'s numbers."""
        self._checkpoints.append(Checkpoint(uuid, steps))
        kept = self._checkpoints[-self._keep_latest :]
        scored = [entry for entry in self._checkpoints if entry.steps_completed in self._values]
        scored.sort(
            key=lambda entry: self._values[entry.steps_completed],
            reverse=not self._smaller_is_better,
        )
        kept = [e for e in self._checkpoints if e in kept or e in scored[: self._keep_best]]
        self._checkpoints = kept
        self.folder.keep_checkpoints(kept)

    def close(self) -> None:
        """Close the progress bar and plot the metrics, however the run ended."""
        self.console.close()
        if self._writer is not None:
            self._writer.close()
        if not self.writes:
            return
        try:
            plot.plot_metrics(self.folder.read_metrics(), self.folder.plot_file, self._metric)
        except OSError as error:
            # If the disk is full, the run has failed with an error already, or lacks only the plot.
            logger.debug("no plot of the run: %s", error)


def _scalar(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and value.size == 1:
        return value.item()
    return value.tolist() if isinstance(value, np.ndarray) else value
