"""A YAML text with the places of its keys, its duplicate keys, and its value."""

import re
from collections.abc import Iterator
from typing import Any

import ruamel.yaml
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from model_hub.check.findings import Path, Problem, ancestors, dotted
from model_hub.experiment import yaml_io

_NAME = re.compile(r"[A-Za-z_]\w*(?:\[\d+\]|\.[A-Za-z_]\w*)*")


class Document:
    """A YAML file's text, taken apart.

    Args:
        text: the text.

    Attributes:
        text: the text.
        value: what it stands for, in plain dicts and lists; of a key that stands twice, the first
            counts. None where the text is no YAML.
        error: line and reason where the text is no YAML, else None.
        duplicates: keys that stand more than once in a mapping: their line, path, and the line
            where they stand first.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.value: Any = None
        self.error: tuple[int, str] | None = None
        self.duplicates: list[tuple[int, Path, int]] = []
        self._lines: dict[Path, int] = {(): 1}
        self._quoted: set[Path] = set()
        try:
            root = yaml_io.yaml_reader().compose(text)
            reader = yaml_io.yaml_reader()
            reader.allow_duplicate_keys = True
            self.value = yaml_io.to_plain(reader.load(text))
        except ruamel.yaml.error.YAMLError as error:
            line, reason = yaml_io.error_location(error)
            position = getattr(error, "position", 0)  # Of a character that no YAML has.
            self.error = (line or text.count("\n", 0, position) + 1, reason)
            return
        except (ValueError, TypeError) as error:  # A tag such as !!int on what is none.
            self.error = (1, str(error))
            return
        if root is not None:
            self._walk(root, ())

    def _walk(self, node: Node, path: Path) -> None:
        if isinstance(node, SequenceNode):
            for number, item in enumerate(node.value):
                where: Path = (*path, number)
                self._lines[where] = item.start_mark.line + 1
                self._walk(item, where)
        elif isinstance(node, MappingNode):
            seen: dict[str, int] = {}
            for key, item in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                where = (*path, name)
                if name in seen:
                    self.duplicates.append((line, where, seen[name]))
                    continue
                seen[name] = line
                self._lines[where] = line
                self._walk(item, where)
        elif isinstance(node, ScalarNode) and node.style in ("'", '"'):
            self._quoted.add(path)

    def line(self, path: Path) -> int:
        """The line (from 1) of a key or list item; of what is nearest above it if it is absent."""
        return next(self._lines[above] for above in ancestors(path) if above in self._lines)

    def is_quoted(self, path: Path) -> bool:
        """Whether a text stands in quotes."""
        return path in self._quoted

    def path_in(self, message: str) -> Path:
        """The first key of this file that a message names (``data.train_file``), or its section."""
        sections: Path = ()
        for match in _NAME.finditer(message):
            path = _parsed(match[0])
            if path in self._lines:
                return path
            if len(path) > 1 and not sections:
                sections = next(above for above in ancestors(path) if above in self._lines)
        return sections

    def duplicate_problems(self) -> Iterator[tuple[int, str]]:
        """Line and message for each key that stands more than once."""
        for line, path, first in self.duplicates:
            yield line, f"{dotted(path)} stands twice, first in line {first}; remove one of them"


def _parsed(name: str) -> Path:
    parts: list[str | int] = []
    for part in re.findall(r"[A-Za-z_]\w*|\[\d+\]", name):
        parts.append(int(part[1:-1]) if part.startswith("[") else part)
    return tuple(parts)


def problem_of(document: Document, message: str, severity: str = "error") -> Problem:
    """An error message of another part of the library, at the key that it names."""
    return Problem(document.path_in(message), message.rstrip("."), severity)
