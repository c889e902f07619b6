"""Console output of a training on this machine: a progress bar, and a table per validation."""

import logging
import math
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tqdm.auto import tqdm

from model_hub._terminal import colored
from model_hub.huggingface.runner.run import RunResult
from model_hub.huggingface.runner.run_folder import RunFolder

logger = logging.getLogger("model_hub")


class Console:
    """Shows the progress of one run, if it is enabled, as on rank 0.

    The tables mark the best value of ``searcher_metric``.
    """

    def __init__(
        self, *, enabled: bool, searcher_metric: str | None = None, smaller_is_better: bool = True
    ) -> None:
        self._enabled = enabled
        self._searcher_metric = searcher_metric
        self._smaller_is_better = smaller_is_better
        self._bar: Any = None

    def say(self, text: str) -> None:
        """Print a message to standard output."""
        if self._enabled:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def warn(self, text: str) -> None:
        """Log a warning to standard error."""
        if self._enabled:
            logger.warning("%s", text)

    def start(self, total: int, done: int) -> None:
        """Start a progress bar of ``total`` batches, of which ``done`` are trained.

        Without a terminal there is none.
        """
        if self._enabled and sys.stderr.isatty():
            # A terminal in a container may not know its width.
            known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
            self._bar = tqdm(
                total=total,
                initial=done,
                unit="batch",
                desc="training:",
                dynamic_ncols=known,
                ncols=None if known else 100,
                smoothing=0.1,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}"
                " [{elapsed}<{remaining}{postfix}]",
            )

    @property
    def shows_progress(self) -> bool:
        """Whether there is a progress bar."""
        return self._bar is not None

    def advance(
        self, *, batches: int, epoch: float, loss: float, learning_rate: float, speed: float
    ) -> None:
        """Advance the progress bar.

        Args:
            batches: number of batches trained since the last call.
            epoch: number of epochs trained, with a fraction.
            loss: smoothed loss.
            learning_rate: learning rate of the first parameter group.
            speed: samples per second, over all slots.
        """
        if self._bar is not None:
            self._bar.set_postfix_str(
                self._fit_to_width(
                    f"loss {loss:.4f}",
                    f"{speed:.1f} samples/s",
                    f"epoch {epoch:.2f}",
                    f"lr {learning_rate:.2e}",
                ),
                refresh=False,
            )
            self._bar.update(batches)

    def _fit_to_width(self, *pieces: str) -> str:
        """Join as many of the pieces as fit beside a bar of ten columns."""
        width = os.get_terminal_size(sys.stderr.fileno()).columns or self._bar.ncols
        total = str(self._bar.total)
        room = width - len(f"training: 100%|{'#' * 10}| {total}/{total} [00:00<00:00]")
        fitting = list(pieces)
        while len(fitting) > 1 and sum(len(f", {piece}") for piece in fitting) > room:
            fitting.pop()
        return ", ".join(fitting)

    def status(self, status: str) -> None:
        """Show what the run is doing: ``training``, ``validating``, ``checkpointing``."""
        if self._bar is not None:
            self._bar.set_description_str(f"{status}:")

    def validation(
        self, steps: int, epochs: float, metrics: Mapping[str, Any], best_before: float | None
    ) -> None:
        """Print the metrics of a validation as a table.

        Args:
            steps: number of batches trained.
            epochs: number of epochs trained, with a fraction.
            metrics: the metrics.
            best_before: best value of the searcher's metric so far; None if there is none.
        """
        rows = []
        for name, value in metrics.items():
            remark = ""
            is_number = isinstance(value, float) and not math.isnan(value)
            if name == self._searcher_metric and is_number:
                is_best = best_before is None or self._is_better(value, best_before)
                best = colored("best so far", "green", sys.stdout)
                remark = f"  {best}" if is_best else f"  (best: {_format_number(best_before)})"
            rows.append((name, _format_number(value), remark))
        unit = "epoch" if epochs == 1 else "epochs"
        self.say(format_table(f"validation after {steps} batches, {epochs:.3g} {unit}", rows))

    def _is_better(self, value: float, before: float) -> bool:
        return value < before if self._smaller_is_better else value > before

    def close(self) -> None:
        """Close the progress bar, leaving its last state on the screen."""
        if self._bar is not None:
            self._bar.set_description_str("training:", refresh=False)
            self._bar.close()
            self._bar = None


def format_table(title: str, rows: Sequence[tuple[str, str, str]]) -> str:
    """Return lines of name, value and remark below a title, in aligned columns."""
    names = max((len(name) for name, _, _ in rows), default=0)
    values = max((len(value) for _, value, _ in rows), default=0)
    lines = [f"  {name:<{names}}  {value:>{values}}{remark}" for name, value, remark in rows]
    return "\n".join([title, *lines])


def run_introduction(
    trial: str,
    slots: int,
    seed: int,
    picked: Mapping[str, Any],
    folder: RunFolder,
    *,
    trained: int = 0,
) -> str:
    """Return the message before the training.

    ``trial`` is ``module:Class``, ``slots`` the number of processes that train together, ``picked``
    the hyperparameters that were picked from ranges, ``trained`` the batches of a resumed run.
    """
    kind = "GPU" if torch.cuda.is_available() else "CPU"
    lines = [f"{trial} on {slots} {kind}{'s' if slots > 1 else ''}, seed {seed}"]
    if picked:
        shown = ", ".join(f"{name}={_format_number(value)}" for name, value in picked.items())
        lines.append(f"picked from the ranges of the hyperparameters: {shown}")
    lines.append(f"run folder: {os.path.relpath(folder.path)}")
    if trained:
        lines.append(f"continuing after {trained} batches")
    return "\n".join(lines)


def run_summary(result: RunResult, folder: RunFolder, seconds: float, *, trained: int = 0) -> str:
    """Return the message after the training; ``trained`` are the batches before it was resumed."""
    path = os.path.relpath(folder.path)
    minutes, rest = divmod(round(seconds), 60)
    took = f"{minutes} min {rest} s" if minutes else f"{rest} s"
    if not result.finished:
        name = signal.Signals(result.stop_signal).name if result.stop_signal else "the trial"
        return (
            f"stopped by {name} after {result.steps_completed} batches; a checkpoint is saved. To "
            f"continue:\n  {folder.resume_command}"
        )
    rows = [
        ("model", folder.model),
        ("metrics", folder.metrics_file),
        ("plot", folder.plot_file),
    ]
    lines = [f"  {name:<8} {path}/{file.name}" for name, file in rows if file.exists()]
    new = result.steps_completed - trained
    done = f"done: {new} batches in {took}"
    if trained and new:
        done += f", {result.steps_completed} in all"
    elif trained:
        done = f"nothing was left to train: all {trained} batches were trained before"
    return "\n".join([done, *lines])


def run_interrupted(folder: RunFolder) -> str:
    """Return the message after a second Ctrl-C, or after one before the training."""
    if not folder.path.exists():
        return "\nmodel-hub: stopped before anything was trained"
    steps = folder.steps_completed()
    if not steps:
        return "\nmodel-hub: stopped at once, before the first checkpoint; nothing can be continued"
    return f"\nmodel-hub: stopped at once. {_resumed_from(folder, steps)}"


def warn_write_failed(folder: RunFolder, reason: str) -> str:
    """Return the message when the run's folder is not writable, for instance on a full disk."""
    text = f"cannot write to the run's folder {str(folder.path)!r} ({reason}). "
    steps = folder.steps_completed() if folder.path.exists() else 0
    if not steps:
        return text + "Make room there, or name another folder with --output-dir."
    return f"{text}Make room there. {_resumed_from(folder, steps)}"


def _resumed_from(folder: RunFolder, steps: int) -> str:
    return (
        f"The last checkpoint has {steps} batches. To continue from it:\n  {folder.resume_command}"
    )


def _format_number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if 1 <= abs(value) < 1e6 else f"{value:.4g}"
    return str(value)
