"""Logging of a training on this machine."""

import logging
import re
import sys
import warnings
from typing import Literal

import datasets
import transformers
from tqdm.auto import tqdm

from model_hub._terminal import colored


class _BarHandler(logging.Handler):
    """Writes log records to stderr above the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


# Libraries that print their messages and also propagate them, to be printed a second time.
_LIBRARIES = ("transformers", "datasets", "huggingface_hub")


def set_up_logging(*, verbose: bool, rank: int) -> None:
    """Show messages of model_hub from level INFO on, and of other packages from WARNING on.

    Args:
        verbose: show DEBUG messages of model_hub and INFO messages of other packages as well.
        rank: number of this process. Ranks other than 0 show errors only.
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
        handler.addFilter(_LogOnce())
        # They address the authors of the code, here those of libraries.
        for category in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", category=category)
    logging.captureWarnings(True)
    if rank > 0:
        # The handler too: the root's level does not apply to records of the libraries' loggers.
        for silent in (root, ours, handler):
            silent.setLevel(logging.ERROR)
    if rank > 0 or not sys.stderr.isatty():
        datasets.disable_progress_bars()
    if rank > 0 or not verbose or not sys.stderr.isatty():
        # These bars for loading and saving weights stay on the screen when they are full.
        transformers.utils.logging.disable_progress_bar()


class _LogOnce(logging.Filter):
    """Passes each warning once; of an unreachable Hub only the first failed attempt."""

    def __init__(self) -> None:
        super().__init__()
        self._logged: set[str] = set()

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
        if message in self._logged:
            return False
        self._logged.add(message)
        return True


_ATTEMPT = re.compile(r"'(?P<reason>.*)' thrown while requesting \w+ (?P<host>https?://[^/]+)/")


class _ShortFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.name == "py.warnings":
            # Leave out the file, line and code of the library that warns.
            message = message.partition("Warning: ")[2].partition("\n")[0] or message
        if record.levelno <= logging.INFO:
            return message
        color: Literal["red", "yellow"] = "yellow" if record.levelno < logging.ERROR else "red"
        return f"{colored(f'{record.levelname.lower()}:', color, sys.stderr)} {message}"
