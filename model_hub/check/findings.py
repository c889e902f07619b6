"""What a check finds: problems by key, and findings by line of the file."""

import dataclasses
import sys
from collections.abc import Iterator
from typing import Literal

from model_hub._terminal import colored

#: Names of keys and numbers of list items, from the top: ``("searcher", "metric")``.
Path = tuple[str | int, ...]

ERROR, WARNING = "error", "warning"


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something that is wrong at a key.

    Attributes:
        path: where; for a key that is missing, the section in which it should be.
        message: what was found, what was expected, what to write; it begins with the key.
        severity: ``error`` or ``warning``.
        missing: whether the problem is that a key is absent.
    """

    path: Path
    message: str
    severity: str = ERROR
    missing: bool = False


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """A problem as it is shown.

    Attributes:
        line: line of the YAML, from 1.
        severity: ``error`` or ``warning``.
        message: what it is.
    """

    line: int
    severity: str
    message: str

    def shown(self, file: str) -> str:
        """The finding in the way of compilers: editors jump to the line."""
        colour: Literal["red", "yellow"] = "red" if self.severity == ERROR else "yellow"
        severity = colored(f"{self.severity}:", colour, sys.stdout)
        return f"{file}:{self.line}: {severity} {self.message}"


def dotted(path: Path) -> str:
    """The path as messages show it: ``log_policies[0].action``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def ancestors(path: Path) -> Iterator[Path]:
    """The path itself and all above it, the top (``()``) last."""
    for length in range(len(path), -1, -1):
        yield path[:length]
