"""A YAML text with the lines of its keys, its duplicate keys, and its value."""

import re
from collections.abc import Iterator
from typing import Any

import ruamel.yaml
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from model_hub.experiment import yaml_io
from model_hub.experiment.findings import ERROR, Finding, Path, ancestors, dotted

_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(?:\[\d+\]|\.[A-Za-z_]\w*)*")


class Document:
    """The parsed text of a YAML file.

    Args:
        text: the text.

    Attributes:
        text: the text.
        value: its value, in plain dicts and lists; of a duplicate key, the first counts. None where
            the text is not YAML.
        error: line and reason where the text is not YAML, else None.
        duplicates: an error for each key that is in the same mapping twice.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.value: Any = None
        self.error: tuple[int, str] | None = None
        self.duplicates: list[Finding] = []
        self._lines: dict[Path, int] = {(): 1}
        self._quoted: set[Path] = set()
        try:
            root = yaml_io.yaml_reader().compose(text)
            reader = yaml_io.yaml_reader()
            reader.allow_duplicate_keys = True
            self.value = yaml_io.to_plain(reader.load(text))
        except ruamel.yaml.error.YAMLError as error:
            line, reason = yaml_io.error_location(error)
            # Only the error of a character that YAML does not allow has a position.
            position = getattr(error, "position", 0)
            self.error = (line or text.count("\n", 0, position) + 1, reason)
            return
        except (ValueError, TypeError) as error:  # A tag such as !!int on a value of another type.
            self.error = (1, str(error))
            return
        if root is not None:
            self._read_lines(root, ())

    def _read_lines(self, node: Node, path: Path) -> None:
        if isinstance(node, SequenceNode):
            for number, item in enumerate(node.value):
                item_path: Path = (*path, number)
                self._lines[item_path] = item.start_mark.line + 1
                self._read_lines(item, item_path)
        elif isinstance(node, MappingNode):
            keys: set[str] = set()
            for key, item in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                item_path = (*path, name)
                if name in keys:
                    message = (
                        f"{dotted(item_path)} is set twice, first in line "
                        f"{self._lines[item_path]}; remove one of them"
                    )
                    self.duplicates.append(Finding(item_path, message, line=line))
                    continue
                keys.add(name)
                self._lines[item_path] = line
                self._read_lines(item, item_path)
        elif isinstance(node, ScalarNode) and node.style in ("'", '"'):
            self._quoted.add(path)

    def line(self, path: Path) -> int:
        """Return the line (from 1) of a key or list item; of the section where it is missing."""
        return next(self._lines[above] for above in ancestors(path) if above in self._lines)

    def is_quoted(self, path: Path) -> bool:
        """Return whether the value of a key is in quotes."""
        return path in self._quoted

    def path_in(self, message: str) -> Path:
        """Return the first key of this file in a message (``data.train_file``), or its section."""
        section: Path = ()
        for path in _paths_in(message):
            if path in self._lines:
                return path
            if len(path) > 1 and not section:
                section = next(above for above in ancestors(path) if above in self._lines)
        return section

    def finding(self, message: str, severity: str = ERROR) -> Finding:
        """Return an error message of another part of the library, at the key that it names."""
        return Finding(self.path_in(message), message.rstrip("."), severity)


def _paths_in(message: str) -> Iterator[Path]:
    for match in _DOTTED_NAME.finditer(message):
        yield tuple(
            int(part[1:-1]) if part.startswith("[") else part
            for part in re.findall(r"[A-Za-z_]\w*|\[\d+\]", match[0])
        )
