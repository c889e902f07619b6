"""A small language for what may stand at a key: the table in ``expconf`` is written in it.

A shape has ``problems(value, path)``. Null stands for "not said" and is fine wherever a shape does
not say otherwise.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from model_hub.check.findings import WARNING, Path, Problem, dotted
from model_hub.check.messages import did_you_mean, join_or, parse_unquoted, truncate
from model_hub.experiment.yaml_io import in_yaml


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """Base of all shapes, and itself the one that takes anything.

    Attributes:
        null: whether null may stand there.
    """

    null: bool = True

    @property
    def words(self) -> str:
        """What is expected, for messages."""
        return "anything"

    def problems(self, value: Any, path: Path) -> Iterator[Problem]:
        """What is wrong with a value.

        Args:
            value: as the YAML has it.
            path: where it stands.
        """
        if value is not None:
            yield from self._problems(value, path)
        elif not self.null:
            yield self._wrong(value, path)

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        yield from ()

    def _wrong(self, value: Any, path: Path, advice: str = "") -> Problem:
        return Problem(
            path, f"{dotted(path)} is {truncate(value)}, but should be {self.words}{advice}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Number(Shape):
    """A number, within limits where there are some."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    whole: bool = False

    @property
    def words(self) -> str:
        """What is expected, for messages."""
        kind = "a whole number" if self.whole else "a number"
        if self.above is not None:
            return f"{kind} above {self.above}"
        if self.least is not None and self.most is not None:
            return f"{kind} from {self.least} to {self.most}"
        return kind if self.least is None else f"{kind} of {self.least} or more"

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield self._wrong(value, path, parse_unquoted(value))
            return
        if self.whole and isinstance(value, float):
            if not value.is_integer():
                yield self._wrong(value, path)
                return
            message = f"{dotted(path)} is {value}; write the whole number {int(value)}"
            yield Problem(path, message, WARNING)
        outside = (
            (self.least is not None and not value >= self.least)
            or (self.most is not None and not value <= self.most)
            or (self.above is not None and not value > self.above)
        )
        if outside:
            yield self._wrong(value, path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(Shape):
    """Text, of a certain form where ``pattern`` says one and ``form`` describes it."""

    pattern: str | None = None
    form: str = "text"

    @property
    def words(self) -> str:
        """What is expected, for messages."""
        return self.form

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, str) or (self.pattern and not re.search(self.pattern, value)):
            yield self._wrong(value, path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Switch(Shape):
    """True or false."""

    @property
    def words(self) -> str:
        """What is expected, for messages."""
        return "true or false"

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, bool):
            quotes = isinstance(value, str) and value.lower() in ("true", "false")
            yield self._wrong(value, path, f"; write {str(value).lower()}" if quotes else "")


@dataclasses.dataclass(frozen=True)
class OneOf(Shape):
    """One of some names."""

    names: tuple[str, ...]

    @property
    def words(self) -> str:
        """What is expected, for messages."""
        return join_or(self.names)

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        if value not in self.names:
            yield self._wrong(value, path, did_you_mean(value, self.names))


@dataclasses.dataclass(frozen=True)
class ListOf(Shape):
    """A list whose items are all of one shape."""

    item: Shape
    form: str = "a list"

    @property
    def words(self) -> str:
        """What is expected, for messages."""
        return self.form

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield self._wrong(value, path)
            return
        for number, item in enumerate(value):
            yield from self.item.problems(item, (*path, number))


Rule = Callable[[Mapping[str, Any], Path], Iterator[Problem]]


@dataclasses.dataclass(frozen=True)
class Keys(Shape):
    """A mapping with certain keys.

    Attributes:
        fields: shape by key.
        required: keys that have to be there.
        open: whether other keys may be there as well.
        form: what it is, for messages.
        hints: for a key that may not stand here, where it belongs.
        rules: further checks of the whole mapping, made where its keys are right.
    """

    fields: Mapping[str, Shape]
    _: dataclasses.KW_ONLY
    required: tuple[str, ...] = ()
    open: bool = False
    form: str = "a mapping of names to values"
    hints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    @property
    def words(self) -> str:
        """What is expected, for messages."""
        return self.form

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield self._wrong(value, path)
            return
        found = [*self._missing(value, path), *self._at_keys(value, path)]
        yield from found
        if not any(problem.severity != WARNING for problem in found):
            for rule in self.rules:
                yield from rule(value, path)

    def _missing(self, value: Mapping[str, Any], path: Path) -> Iterator[Problem]:
        for name in self.required:
            if name not in value:
                shape = self.fields[name].words
                message = f"{dotted((*path, name))} is missing; write {shape}"
                yield Problem(path, message, missing=True)

    def _at_keys(self, value: Mapping[str, Any], path: Path) -> Iterator[Problem]:
        for name, item in value.items():
            key = name if isinstance(name, str) else in_yaml(name)
            if name in self.fields:
                yield from self.fields[name].problems(item, (*path, key))
            elif name in self.hints:
                yield Problem((*path, key), f"{dotted((*path, key))}: {self.hints[name]}")
            elif not self.open:
                advice = (
                    did_you_mean(name, self.fields)
                    or f"; known are {', '.join(sorted(self.fields))}"
                )
                yield Problem((*path, key), f"{dotted((*path, key))} is not known{advice}")


@dataclasses.dataclass(frozen=True)
class ByKind(Shape):
    """A mapping whose keys depend on what one of them (``name``, ``type``) says.

    Attributes:
        key: the key that says it.
        kinds: shape by what it says.
        gone: for what it may not say any more, what to write instead.
        unsaid: shape of a mapping without that key.
    """

    key: str
    kinds: Mapping[str, Shape]
    _: dataclasses.KW_ONLY
    gone: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unsaid: Shape = dataclasses.field(default_factory=Shape)

    @property
    def words(self) -> str:
        """What is expected, for messages."""
        return f"a mapping with {self.key}: {join_or(self.kinds)}"

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield self._wrong(value, path)
            return
        if self.key not in value:
            yield from self.unsaid.problems(value, path)
            return
        kind = value[self.key]
        where = (*path, self.key)
        if isinstance(kind, str) and kind in self.kinds:
            yield from self.kinds[kind].problems(value, path)
        elif isinstance(kind, str) and kind in self.gone:
            yield Problem(where, f"{dotted(where)}: {kind!r} is gone; {self.gone[kind]}")
        else:
            advice = did_you_mean(kind, self.kinds)
            message = f"{dotted(where)} is {truncate(kind)}, but should be {join_or(self.kinds)}"
            yield Problem(where, message + advice)


@dataclasses.dataclass(frozen=True)
class Either(Shape):
    """One of several shapes; that one complains which ``chosen`` picks for the value."""

    options: tuple[Shape, ...]
    form: str

    @property
    def words(self) -> str:
        """What is expected, for messages."""
        return self.form

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        found = [list(option.problems(value, path)) for option in self.options]
        best = min(found, key=lambda problems: any(p.severity != WARNING for p in problems))
        if not any(problem.severity != WARNING for problem in best):
            yield from best
            return
        # Those that look into the value tell more than that it is of another kind.
        deeper = [p for problems in found for p in problems if p.path != path or p.missing]
        yield from deeper or [self._wrong(value, path, parse_unquoted(value))]
