"""Changing keys of a YAML text without touching anything else of it.

The places of keys come from ruamel's nodes, the changes are made in the text: writing the whole
document anew, as a round trip does, loses comments beside keys that go, and changes indentation.
"""

import copy
import re
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node

from model_hub.check.findings import Path, dotted
from model_hub.experiment import yaml_io


class CannotEdit(Exception):
    """The text is written in a way that is not understood well enough to change it."""


class Editor:
    """Makes changes to a YAML text, and checks that they, and only they, have come about.

    Args:
        text: the text.

    Attributes:
        text: the text as changed so far.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._expected: Any = copy.deepcopy(yaml_io.to_plain(yaml_io.yaml_reader().load(text)))

    def verified(self) -> str:
        """The changed text.

        Raises:
            CannotEdit: when it does not stand for what the changes should have made.
        """
        try:
            found = yaml_io.to_plain(yaml_io.yaml_reader().load(self.text))
        except Exception as error:
            raise CannotEdit(f"the result would be no YAML: {error}") from error
        if found != self._expected:
            raise CannotEdit("something else would change with it")
        return self.text

    def rename(self, path: Path, new: str) -> None:
        """Gives a key another name; its value and place stay."""
        _, (key, _) = self._pair(path)
        self._splice(key.start_mark.index, key.end_mark.index, new)
        parent = self._parent(path)
        renamed = {(new if name == path[-1] else name): item for name, item in parent.items()}
        parent.clear()
        parent.update(renamed)

    def replace(self, path: Path, written: str, value: Any) -> None:
        """Puts another value in the place of a key's.

        Args:
            path: the key.
            written: the value as YAML; a folded text (``>-``) may have several lines, indented by
                two more than a key at the top.
            value: what that stands for.
        """
        mapping, (key, node) = self._pair(path)
        if "\n" in written and (mapping.flow_style or key.start_mark.column):
            written = " ".join(written.split()[1:])
        lines = written.split("\n")
        start, end = node.start_mark.index, self._content_end(node)
        if len(lines) > 1:
            # A comment behind the old value stays on the line of the key.
            rest = self._line_end(end)
            lines[0] += self.text[end:rest].rstrip()
            end = rest
        elif node.start_mark.line != key.start_mark.line:
            start = key.end_mark.index + self.text[key.end_mark.index :].index(":") + 1
            lines[0] = f" {lines[0]}"
            kept = _comments(self.text[start:end])
            lines[0] += f"  {kept[0]}" if kept else ""
        self._splice(start, end, self._newline.join(lines))
        self._parent(path)[path[-1]] = value

    def remove(self, path: Path) -> None:
        """Takes a key out; comments that stand beside it or below it stay."""
        mapping, pair = self._pair(path)
        key, node = pair
        number = mapping.value.index(pair)
        if mapping.flow_style:
            self._remove_from_flow(mapping, number)
        else:
            start = self._line_start(key.start_mark.index)
            if self.text[start : key.start_mark.index].strip():
                # The first key of a list's item stands behind a dash.
                raise CannotEdit(f"{dotted(path)} shares its line with what is above it")
            end = self._line_end(self._content_end(node))
            indent = " " * key.start_mark.column
            kept = "".join(
                f"{indent}{comment}{self._newline}" for comment in _comments(self.text[start:end])
            )
            self._splice(start, min(end + len(self._newline), len(self.text)), kept)
        parent = self._parent(path)
        del parent[path[-1]]
        if not parent and not mapping.flow_style:
            # A section without a key is null.
            self._parent(path[:-1])[path[-2]] = None

    def insert(self, path: Path, name: str, value: int | str, *, after: str) -> None:
        """Adds a key to the mapping at ``path``, behind a certain key or else at its end."""
        mapping = self._node(path)
        if not isinstance(mapping, MappingNode) or not mapping.value:
            raise CannotEdit(f"{dotted(path)} is no mapping that has keys")
        pairs = [pair for pair in mapping.value if pair[0].value == after]
        key, node = pairs[0] if pairs else mapping.value[-1]
        end = self._content_end(node)
        if mapping.flow_style:
            self._splice(end, end, f", {name}: {value}")
        else:
            end = self._line_end(end)
            indent = " " * key.start_mark.column
            self._splice(end, end, f"{self._newline}{indent}{name}: {value}")
        self._value(path)[name] = value

    def _remove_from_flow(self, mapping: MappingNode, number: int) -> None:
        pairs = mapping.value
        key, node = pairs[number]
        if number + 1 < len(pairs):
            self._splice(key.start_mark.index, pairs[number + 1][0].start_mark.index, "")
        elif number:
            before = self._content_end(pairs[number - 1][1])
            self._splice(before, self._content_end(node), "")
        else:
            self._splice(key.start_mark.index, self._content_end(node), "")

    def _splice(self, start: int, end: int, new: str) -> None:
        self.text = self.text[:start] + new + self.text[end:]

    def _line_start(self, index: int) -> int:
        return self.text.rfind("\n", 0, index) + 1

    def _line_end(self, index: int) -> int:
        """Where the line ends, before its line break."""
        found = self.text.find(self._newline, index)
        return len(self.text) if found < 0 else found

    def _content_end(self, node: Node) -> int:
        """Where a value ends; the reader counts blank lines and comments behind it as well."""
        start: int = node.start_mark.index
        end: int = node.end_mark.index
        lines = self.text[start:end].splitlines(keepends=True)
        while len(lines) > 1 and re.fullmatch(r"\s*(#.*)?", lines[-1].rstrip("\r\n")):
            end -= len(lines.pop())
        content = self.text[start:end].rstrip()
        if len(lines) > 1 or node.start_mark.line != node.end_mark.line:
            last = content[content.rfind("\n") + 1 :]
            comments = _comments(last)
            content = content[: len(content) - len(comments[0])] if comments else content
        return start + len(content.rstrip())

    def _node(self, path: Path) -> Node:
        node: Node = yaml_io.yaml_reader().compose(self.text)
        for part in path:
            if isinstance(node, MappingNode):
                found = [item for key, item in node.value if key.value == part]
                if not found:
                    raise CannotEdit(f"{dotted(path)} does not stand there itself")
                node = found[0]
            else:
                node = node.value[part]
        return node

    def _pair(self, path: Path) -> tuple[MappingNode, tuple[Node, Node]]:
        mapping = self._node(path[:-1])
        if isinstance(mapping, MappingNode):
            for pair in mapping.value:
                if pair[0].value == path[-1]:
                    return mapping, pair
        raise CannotEdit(f"{dotted(path)} does not stand there itself")

    def _value(self, path: Path) -> Any:
        value = self._expected
        for part in path:
            value = value[part]
        return value

    def _parent(self, path: Path) -> Any:
        return self._value(path[:-1])


def _comments(text: str) -> list[str]:
    """The comments in some lines of YAML; a ``#`` within quotes begins none."""
    found = []
    for line in text.splitlines():
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", lambda match: " " * len(match[0]), line)
        match = re.search(r"(?:^|(?<=\s))#.*", bare)
        if match:
            found.append(line[match.start() :].rstrip())
    return found
