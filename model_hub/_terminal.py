"""Terminal output: colours, help texts, and errors for the user."""

import argparse
import contextlib
import errno
import json
import os
import pathlib
import re
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Literal, TextIO

from model_hub.errors import UserError

_CODES = {"red": "31", "yellow": "33", "green": "32"}


def colored(text: str, colour: Literal["red", "yellow", "green"], stream: TextIO) -> str:
    """Return the text in a colour if the stream is a terminal, else unchanged.

    The environment variable ``NO_COLOR`` turns colours off, see https://no-color.org.
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain else f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_DENIED = (errno.EACCES, errno.EPERM)
# The messages of torch and safetensors when the system does not let them write.
_FAILED_WRITER = re.compile(r"inline_container|PytorchStreamWriter|iostream error|os error (28|30)")


def print_error(error: UserError) -> None:
    """Print the error, if this is the only process or the one of rank 0.

    The other processes write theirs to the file in which ``torchrun`` looks for it. ``torchrun``
    ends its own report, of some forty lines, with the first failure that it has seen.
    """
    message = f"model-hub: error: {error}"
    rank = int(os.environ.get("RANK", "0"))
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        details = {"py_callstack": str(error), "timestamp": str(int(time.time()))}
        reason = {"message": {"message": str(error), "extraInfo": details}}
        with contextlib.suppress(OSError):
            pathlib.Path(file).write_text(json.dumps(reason), encoding="utf-8")
            if rank:
                return
    if not rank:
        message = message.replace("error:", colored("error:", "red", sys.stderr), 1)
    print(f"[rank {rank}] {message}" if rank else message, file=sys.stderr)


def why_write_failed(error: BaseException, folder: pathlib.Path) -> str:
    """Return why writing to a folder failed; an empty text if the error is about something else.

    The causes and contexts of the error are searched too.
    """
    for cause in _exception_chain(error):
        if isinstance(cause, OSError):
            inside = cause.filename and pathlib.Path(str(cause.filename)).is_relative_to(folder)
            if cause.errno in _FULL or (cause.errno in _DENIED and inside):
                return str(cause.strerror)
        elif _FAILED_WRITER.search(str(cause)):
            existing = next(path for path in (folder, *folder.parents) if path.exists())
            free = shutil.disk_usage(existing).free
            return f"a file could not be written completely; {free // 2**20} MiB are free"
    return ""


def _exception_chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class HelpFormatter(argparse.HelpFormatter):
    """Wrap all texts except examples, whose lines stay whole so that they can be copied."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example"):
            return "\n".join(indent + line for line in text.splitlines())
        return super()._fill_text(text, width, indent)


def format_examples(*commands: str) -> str:
    """Return the epilog of a help text that shows commands, one a line."""
    return "\n  ".join([f"example{'s' if len(commands) > 1 else ''}:", *commands])
