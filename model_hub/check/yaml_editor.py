"""Change keys of a YAML text and nothing else.

The positions of keys come from ruamel's nodes, and the text is changed there. Dumping the whole
document again would lose comments beside removed keys, and change the indentation.
"""

import copy
import re
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node

from model_hub.experiment import yaml_io
from model_hub.experiment.findings import Path, dotted


class CannotEdit(Exception):
    """The text is written in a way that the editor cannot change."""


class Editor:
    """Editor of a YAML text, which checks that its changes have changed nothing else.

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
        """Return the changed text.

        Raises:
            CannotEdit: when its value is not the one that the changes should give.
        """
        try:
            found = yaml_io.to_plain(yaml_io.yaml_reader().load(self.text))
        except Exception as error:
            raise CannotEdit(f"the result would not be valid YAML: {error}") from error
        if found != self._expected:
            raise CannotEdit("something else would change with it")
        return self.text

    def rename(self, path: Path, new: str) -> None:
        """Rename a key; its value and position stay."""
        _, (key, _) = self._pair(path)
        self._splice(key.start_mark.index, key.end_mark.index, new)
        parent = self._parent(path)
        renamed = {(new if name == path[-1] else name): item for name, item in parent.items()}
        parent.clear()
        parent.update(renamed)

    def replace(self, path: Path, written: str, value: Any) -> None:
        """Replace the value of a key.

        Args:
            path: the key.
            written: the new value as YAML; a folded text (``>-``) may have several lines, indented
                by two spaces.
            value: the value of that YAML.
        """
        mapping, (key, node) = self._pair(path)
        if "\n" in written and (mapping.flow_style or key.start_mark.column):
            written = " ".join(written.split()[1:])
        lines = written.split("\n")
        start, end = node.start_mark.index, self._content_end(node)
        if len(lines) > 1:
            # A comment after the old value stays on the line of the key.
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
        """Remove a key; comments beside it and below it stay."""
        mapping, pair = self._pair(path)
        key, node = pair
        number = mapping.value.index(pair)
        if mapping.flow_style:
            self._remove_from_flow(mapping, number)
        else:
            start = self._line_start(key.start_mark.index)
            if self.text[start : key.start_mark.index].strip():
                # It is the first key of a list's item, after the dash.
                raise CannotEdit(f"{dotted(path)} shares its line with the list's dash")
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
        """Add a key to the mapping at ``path``, after the key ``after`` or else at the end."""
        mapping = self._node(path)
        if not isinstance(mapping, MappingNode) or not mapping.value:
            raise CannotEdit(f"{dotted(path)} is not a mapping with keys")
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
        start, end = key.start_mark.index, self._content_end(node)
        if number + 1 < len(pairs):
            end = pairs[number + 1][0].start_mark.index
        elif number:
            start = self._content_end(pairs[number - 1][1])
        self._splice(start, end, "")

    def _splice(self, start: int, end: int, new: str) -> None:
        self.text = self.text[:start] + new + self.text[end:]

    def _line_start(self, index: int) -> int:
        return self.text.rfind("\n", 0, index) + 1

    def _line_end(self, index: int) -> int:
        """Return the index of the line's end, before its line break."""
        found = self.text.find(self._newline, index)
        return len(self.text) if found < 0 else found

    def _content_end(self, node: Node) -> int:
        """Return the index of a value's end, without the blank lines and comments after it."""
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
                    raise CannotEdit(f"{dotted(path)} comes from a merge key")
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
        raise CannotEdit(f"{dotted(path)} comes from a merge key")

    def _value(self, path: Path) -> Any:
        value = self._expected
        for part in path:
            value = value[part]
        return value

    def _parent(self, path: Path) -> Any:
        return self._value(path[:-1])


def _comments(text: str) -> list[str]:
    """Return the comments in lines of YAML; a ``#`` within quotes does not begin one."""
    found = []
    for line in text.splitlines():
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", lambda match: " " * len(match[0]), line)
        match = re.search(r"(?:^|(?<=\s))#.*", bare)
        if match:
            found.append(line[match.start() :].rstrip())
    return found
