"""A YAML text with the lines of its keys, its duplicate keys, and its value."""

import pathlib
from typing import Any

import ruamel.yaml
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from model_hub.errors import UserError
from model_hub.experiment import yaml_io
from model_hub.experiment.findings import Finding, Path, ancestors, dotted


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
        except RecursionError:
            self.error = (1, "an alias (*) is inside of its own anchor (&)")
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

    def line(self, path: Path) -> int:
        """Return the line (from 1) of a key or list item; of the section where it is missing."""
        return next(self._lines[above] for above in ancestors(path) if above in self._lines)

    def problem(self) -> Finding | None:
        """Return why the text is no configuration at all; None if it is one."""
        if self.error is not None:
            line, reason = self.error
            message = f"not valid YAML: {reason}; look at this line and the one before it"
            return Finding((), message, line=line)
        if not isinstance(self.value, dict):
            found = (
                "is empty" if self.value is None else f"holds {yaml_io.in_yaml(self.value)[:60]}"
            )
            message = (
                f"the file should hold keys such as 'hyperparameters:' and 'data:', but {found}"
            )
            return Finding((), message, line=1)
        return None


def read_config(path: pathlib.Path) -> dict[str, Any]:
    """Read an experiment's YAML.

    Raises:
        UserError: when there is no such file, it is not a YAML mapping, or has a key twice.
    """
    document = Document(yaml_io.read_yaml(path))
    problem = document.problem()
    if problem or document.duplicates:
        found = [problem] if problem else document.duplicates
        raise UserError("\n".join(f"{path}, line {f.line}: {f.message}." for f in found))
    value: dict[str, Any] = document.value
    return value
