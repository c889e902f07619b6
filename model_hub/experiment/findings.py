"""What is wrong with a configuration: findings, each at a key of the YAML."""

import dataclasses
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

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
        unknown: whether there is no key of that name.
        instead: of an unknown key, what is to be written in its place; an empty text if no known
            key is similar.
    """

    path: Path
    message: str
    severity: str = ERROR
    missing: bool = False
    line: int = 0
    unknown: bool = False
    instead: str = ""

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


_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(?:\[\d+\]|\.[A-Za-z_]\w*)*")


def finding_at(config: Mapping[str, Any], message: str, severity: str = ERROR) -> Finding:
    """Return an error message of another part of the library, at the key that it names.

    Args:
        config: the configuration. Of the keys in the message, the first one that it has counts, or
            the section of the first one.
        message: the message.
        severity: ``error`` or ``warning``.
    """
    return Finding(path_in(config, message), message.rstrip("."), severity)


def path_in(config: Mapping[str, Any], message: str) -> Path:
    """Return the first key of a configuration in a message (``data.train_file``), or its section.

    Args:
        config: the configuration.
        message: the message.
    """
    section: Path = ()
    for match in _DOTTED_NAME.finditer(message):
        path: Path = tuple(
            int(part[1:-1]) if part.startswith("[") else part
            for part in re.findall(r"[A-Za-z_]\w*|\[\d+\]", match[0])
        )
        if _has(config, path):
            return path
        if len(path) > 1 and not section:
            section = next(above for above in ancestors(path) if _has(config, above))
    return section


def _has(config: Any, path: Path) -> bool:
    for part in path:
        is_item = isinstance(part, int) and isinstance(config, list) and part < len(config)
        if not is_item and not (isinstance(config, Mapping) and part in config):
            return False
        config = config[part]
    return True


def ancestors(path: Path) -> Iterator[Path]:
    """Yield the path itself and all above it, the top (``()``) last."""
    for length in range(len(path), -1, -1):
        yield path[:length]


class Findings:
    """The findings so far; a key that has an error gets no further ones."""

    def __init__(self) -> None:
        self.all: list[Finding] = []

    def add(self, findings: Iterable[Finding], left_out: Iterable[Any] = ()) -> None:
        """Add the findings of one check, except for keys that have an error from an earlier check.

        Args:
            findings: the findings.
            left_out: hyperparameters with an error, which this check did not get, so that it takes
                them for missing.
        """
        earlier = list(self.all)
        for finding in findings:
            if finding.missing and any(f".{name} " in finding.message for name in left_out):
                continue
            if finding not in self.all and not _has_error(finding, earlier):
                self.all.append(finding)

    def without_errors(self, section: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keys of a section that have no error at them or below them."""
        wrong = {
            finding.path[1]
            for finding in self.all
            if finding.severity == ERROR and finding.path[:1] == (section,) != finding.path
        }
        return {name: value for name, value in values.items() if str(name) not in wrong}


def _has_error(finding: Finding, earlier: Iterable[Finding]) -> bool:
    """Return whether an earlier check has found an error at the same key, above or below it."""
    if finding.missing or not finding.path:
        return False
    for other in earlier:
        if other.severity == ERROR and not other.missing and other.path:
            shorter = min(len(other.path), len(finding.path))
            if other.path[:shorter] == finding.path[:shorter]:
                return True
    return False
