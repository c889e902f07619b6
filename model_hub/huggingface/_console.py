"""What a run on this machine shows: a progress bar on a terminal, and a table per validation."""

import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import datasets
import torch
import transformers
from tqdm.auto import tqdm

from model_hub._terminal import painted
from model_hub.huggingface._run import RunResult
from model_hub.huggingface._run_folder import RunFolder

logger = logging.getLogger("model_hub")


class _BarHandler(logging.Handler):
    """Writes log lines to stderr above a progress bar, without breaking it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


# Libraries that print their own messages, and hand them on to be printed a second time.
_LIBRARIES = ("transformers", "datasets", "huggingface_hub")


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
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers[:] = []
        library.propagate = True
        if verbose:
            library.setLevel(logging.INFO)
    if not verbose:
        handler.addFilter(_Once())
        # They are meant for those who write the code, which here is that of libraries.
        for category in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", category=category)
    logging.captureWarnings(True)
    if rank > 0:
        # The handler too: messages of the libraries' loggers pass by the level of the root.
        for silent in (root, ours, handler):
            silent.setLevel(logging.ERROR)
    if rank > 0 or not sys.stderr.isatty():
        datasets.disable_progress_bars()
    if rank > 0 or not verbose or not sys.stderr.isatty():
        # Bars for reading and writing weights, which stay on the screen when they are full.
        transformers.utils.logging.disable_progress_bar()


class _Once(logging.Filter):
    """Lets a warning through once, and of a Hub that cannot be reached the first attempt alone."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        message = record.getMessage()
        if record.name.startswith("huggingface_hub"):
            if message.startswith("Retrying in "):
                return False
            attempt = _ATTEMPT.match(message)
            if attempt:
                message = (
                    f"{attempt['host']} cannot be reached ({attempt['reason']}); trying for half a "
                    "minute. Without a network, set the environment variable HF_HUB_OFFLINE=1."
                )
                record.msg, record.args = message, ()
        if message in self._said:
            return False
        self._said.add(message)
        return True


_ATTEMPT = re.compile(r"'(?P<reason>.*)' thrown while requesting \w+ (?P<host>https?://[^/]+)/")


class _ShortFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.name == "py.warnings":
            # Without the file, line and code of the library that warns.
            message = message.partition("Warning: ")[2].partition("\n")[0] or message
        if record.levelno <= logging.INFO:
            return message
        colour: Literal["red", "yellow"] = "yellow" if record.levelno < logging.ERROR else "red"
        return f"{painted(f'{record.levelname.lower()}:', colour, sys.stderr)} {message}"


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

    def warn(self, text: str) -> None:
        """One warning, on standard error."""
        if self._enabled:
            logger.warning("%s", text)

    def start(self, total: int, done: int) -> None:
        """Begins the progress bar of ``total`` batches; quiet when there is no terminal."""
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
        """Some batches more.

        Args:
            batches: how many.
            epoch: epochs trained, with a fraction.
            loss: smoothed loss.
            learning_rate: of the first parameter group.
            speed: samples a second, over all slots.
        """
        if self._bar is not None:
            self._bar.set_postfix_str(
                self._fitting(
                    f"loss {loss:.4f}",
                    f"{speed:.1f} samples/s",
                    f"epoch {epoch:.2f}",
                    f"lr {learning_rate:.2e}",
                ),
                refresh=False,
            )
            self._bar.update(batches)

    def _fitting(self, *pieces: str) -> str:
        """As many of the pieces as the terminal is wide enough for, beside a bar of ten columns."""
        width = os.get_terminal_size(sys.stderr.fileno()).columns or self._bar.ncols
        total = str(self._bar.total)
        room = width - len(f"training: 100%|{'#' * 10}| {total}/{total} [00:00<00:00]")
        fitting = list(pieces)
        while len(fitting) > 1 and sum(len(f", {piece}") for piece in fitting) > room:
            fitting.pop()
        return ", ".join(fitting)

    def status(self, status: str) -> None:
        """What the run is doing: ``training``, ``validating``, ``checkpointing``."""
        if self._bar is not None:
            self._bar.set_description_str(f"{status}:")

    def validation(
        self, steps: int, epochs: float, metrics: Mapping[str, Any], best_before: float | None
    ) -> None:
        """A validation's results as a small table."""
        rows = []
        for name, value in metrics.items():
            remark = ""
            if name == self._searcher_metric and isinstance(value, float):
                better = best_before is None or self._is_better(value, best_before)
                good = painted("best so far", "green", sys.stdout)
                remark = f"  {good}" if better else f"  (best: {_shown(best_before)})"
            rows.append((name, _shown(value), remark))
        unit = "epoch" if epochs == 1 else "epochs"
        self.say(table(f"validation after {steps} batches, {epochs:.3g} {unit}", rows))

    def _is_better(self, value: float, before: float) -> bool:
        return value < before if self._smaller_is_better else value > before

    def close(self) -> None:
        """Ends the progress bar, leaving its last state on the screen."""
        if self._bar is not None:
            self._bar.set_description_str("training:", refresh=False)
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
    *,
    trained: int = 0,
) -> str:
    """What is said before the training; ``trained`` are the batches of the run that goes on."""
    kind = "GPU" if torch.cuda.is_available() else "CPU"
    lines = [f"{trial} on {slots} {kind}{'s' if slots > 1 else ''}, seed {seed}"]
    if picked:
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in picked.items())
        lines.append(f"picked from the ranges of the hyperparameters: {shown}")
    lines.append(f"run folder: {os.path.relpath(folder.path)}")
    if trained:
        lines.append(f"continuing after {trained} batches")
    return "\n".join(lines)


def summary(result: RunResult, folder: RunFolder, seconds: float, *, trained: int = 0) -> str:
    """What is said after the training; ``trained`` are the batches of an earlier part of it."""
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


def interrupted(folder: RunFolder) -> str:
    """What is said after a second Ctrl-C, or one before the training."""
    if not folder.path.exists():
        return "\nmodel-hub: stopped before anything was trained"
    steps = folder.steps_completed()
    if not steps:
        return "\nmodel-hub: stopped at once, before the first checkpoint; nothing can be continued"
    return f"\nmodel-hub: stopped at once. {_continued(folder, steps)}"


def cannot_write(folder: RunFolder, reason: str) -> str:
    """What is said when the run's folder cannot be written to, for instance on a full disk."""
    text = f"cannot write to the run's folder {str(folder.path)!r} ({reason}). "
    steps = folder.steps_completed() if folder.path.exists() else 0
    if not steps:
        return text + "Make room there, or name another folder with --output-dir."
    return f"{text}Make room there. {_continued(folder, steps)}"


def _continued(folder: RunFolder, steps: int) -> str:
    return (
        f"The last checkpoint has {steps} batches. To continue from it:\n  {folder.resume_command}"
    )


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if 1 <= abs(value) < 1e6 else f"{value:.4g}"
    return str(value)
