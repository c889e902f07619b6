"""What a run on this machine shows: a progress bar on a terminal, and a table per validation."""

import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import torch
import transformers
from tqdm.auto import tqdm

from model_hub.huggingface._run import RunResult
from model_hub.huggingface._run_folder import RunFolder


class _BarHandler(logging.Handler):
    """Writes log lines to stderr above a progress bar, without breaking it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def set_up_logging(*, verbose: bool, rank: int) -> None:
    """Lets our own messages through, and those of other packages from warnings on.

    Args:
        verbose: everything from level INFO on from all packages, and from DEBUG on from ours.
        rank: only rank 0 says what all ranks have to say.
    """
    handler = _BarHandler()
    handler.setFormatter(
        logging.Formatter("%(levelname)s: %(name)s: %(message)s") if verbose else _ShortFormatter()
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    ours = logging.getLogger("model_hub")
    ours.setLevel(logging.DEBUG if verbose else logging.INFO)
    if rank > 0:
        root.setLevel(logging.ERROR)
        ours.setLevel(logging.ERROR)
    if rank > 0 or not sys.stderr.isatty():
        datasets.disable_progress_bars()
        transformers.utils.logging.disable_progress_bar()


class _ShortFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        return (
            message if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {message}"
        )


class Console:
    """Shows one run. On ranks other than 0 it shows nothing.

    Args:
        enabled: whether to show anything.
        searcher_metric: marked in the tables.
        smaller_is_better: which direction of that metric is better.
    """

    def __init__(
        self, *, enabled: bool, searcher_metric: str | None = None, smaller_is_better: bool = True
    ) -> None:
        self._enabled = enabled
        self._searcher_metric = searcher_metric
        self._smaller_is_better = smaller_is_better
        self._bar: Any = None

    def say(self, text: str) -> None:
        """One message, on standard output."""
        if self._enabled:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def start(self, total: int, done: int) -> None:
        """Begins the progress bar of ``total`` batches; quiet when there is no terminal."""
        if self._enabled and sys.stderr.isatty():
            # A terminal in a container may not know its width.
            known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
            self._bar = tqdm(
                total=total,
                initial=done,
                unit="batch",
                desc="training",
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

    def advance(self, *, epoch: float, loss: float, learning_rate: float, speed: float) -> None:
        """One batch more.

        Args:
            epoch: epochs trained, with a fraction.
            loss: smoothed loss.
            learning_rate: of the first parameter group.
            speed: samples a second, over all slots.
        """
        if self._bar is not None:
            self._bar.set_postfix_str(
                f"epoch {epoch:.2f}, loss {loss:.4f}, lr {learning_rate:.2e}, "
                f"{speed:.1f} samples/s",
                refresh=False,
            )
            self._bar.update()

    def status(self, status: str) -> None:
        """What the run is doing: ``training``, ``validating``, ``checkpointing``."""
        if self._bar is not None:
            self._bar.set_description(status)

    def validation(
        self, steps: int, epochs: float, metrics: Mapping[str, Any], best_before: float | None
    ) -> None:
        """A validation's results as a small table."""
        rows = []
        for name, value in metrics.items():
            remark = ""
            if name == self._searcher_metric and isinstance(value, float):
                better = best_before is None or self._is_better(value, best_before)
                remark = "  best so far" if better else f"  (best: {_shown(best_before)})"
            rows.append((name, _shown(value), remark))
        self.say(table(f"validation after {steps} batches, {epochs:.3g} epochs", rows))

    def _is_better(self, value: float, before: float) -> bool:
        return value < before if self._smaller_is_better else value > before

    def close(self) -> None:
        """Ends the progress bar, leaving its last state on the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def table(title: str, rows: Sequence[tuple[str, str, str]]) -> str:
    """Lines of name, value and remark below a title, in aligned columns."""
    names = max((len(name) for name, _, _ in rows), default=0)
    values = max((len(value) for _, value, _ in rows), default=0)
    lines = [f"  {name:<{names}}  {value:>{values}}{remark}" for name, value, remark in rows]
    return "\n".join([title, *lines])


def introduction(
    trial: str,
    slots: int,
    seed: int,
    picked: Mapping[str, Any],
    folder: RunFolder,
) -> str:
    """What is said before the training."""
    kind = "GPU" if torch.cuda.is_available() else "CPU"
    lines = [f"{trial} on {slots} {kind}{'s' if slots > 1 else ''}, seed {seed}"]
    if picked:
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in picked.items())
        lines.append(f"picked from the ranges of the hyperparameters: {shown}")
    return "\n".join([*lines, f"run folder: {os.path.relpath(folder.path)}"])


def summary(result: RunResult, folder: RunFolder, seconds: float) -> str:
    """What is said after the training."""
    path = os.path.relpath(folder.path)
    minutes, rest = divmod(round(seconds), 60)
    took = f"{minutes} min {rest} s" if minutes else f"{rest} s"
    if not result.finished:
        name = signal.Signals(result.stop_signal).name if result.stop_signal else "the trial"
        return (
            f"stopped by {name} after {result.steps_completed} batches; a checkpoint is saved. To "
            f"continue:\n  {folder.resume_command}"
        )
    rows = [("metrics", f"{path}/metrics.jsonl"), ("plot", f"{path}/plot.png")]
    if folder.model.is_dir():
        rows.insert(0, ("model", f"{path}/model"))
    lines = [f"  {name:<8} {where}" for name, where in rows]
    return "\n".join([f"done: {result.steps_completed} batches in {took}", *lines])


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if 1 <= abs(value) < 1e6 else f"{value:.4g}"
    return str(value)
