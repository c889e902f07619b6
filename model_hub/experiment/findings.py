"""What is wrong with a configuration: findings, each at a key of the YAML."""

import dataclasses
import sys
from collections.abc import Iterator
from typing import Literal

from model_hub._terminal import colored

#: Names of keys and indices of list items, from the top: ``("searcher", "metric")``.
Path = tuple[str | int, ...]

ERROR, WARNING = "error", "warning"


@dataclasses.dataclass(frozen=True)
class Finding:
    """An error or a warning about one key.

    Attributes:
        path: the key; for a key that is missing, the section in which it should be.
        message: what was found, what was expected, what to write; it begins with the key.
        severity: ``error`` or ``warning``.
        missing: whether the error is that a key is absent.
        line: line of the YAML, from 1; 0 as long as only the key is known.
    """

    path: Path
    message: str
    severity: str = ERROR
    missing: bool = False
    line: int = 0

    def format(self, file: str) -> str:
        """Return ``file:line: severity: message``, as compilers do; editors jump to the line."""
        colour: Literal["red", "yellow"] = "red" if self.severity == ERROR else "yellow"
        severity = colored(f"{self.severity}:", colour, sys.stdout)
        return f"{file}:{self.line}: {severity} {self.message}"


def dotted(path: Path) -> str:
    """Return the path as messages show it: ``log_policies[0].action``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def ancestors(path: Path) -> Iterator[Path]:
    """Yield the path itself and all above it, the top (``()``) last."""
    for length in range(len(path), -1, -1):
        yield path[:length]
