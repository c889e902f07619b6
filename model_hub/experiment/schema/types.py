"""Types of values in a configuration; the table of ``schema.fields`` is written with them.

Each type has ``findings(value, path)``, which yields what is wrong with a value. Null means "not
set" and is allowed unless the type says otherwise.
"""

import dataclasses
import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from model_hub.experiment.findings import ERROR, WARNING, Finding, Path, dotted
from model_hub.experiment.messages import advise_unquoting, did_you_mean, join_or, truncate
from model_hub.experiment.yaml_io import in_yaml

#: The greatest whole number that the master and torch can hold.
LARGEST = 2**63 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Anything:
    """Base of all types, and itself the one that allows any value.

    Attributes:
        null: whether the value may be null.
        form: what is expected, for messages.
    """

    null: bool = True
    form: str = "anything"

    @property
    def expected(self) -> str:
        """What is expected, for messages."""
        return self.form

    def findings(self, value: Any, path: Path) -> Iterator[Finding]:
        """Yield what is wrong with the value of the key ``path``."""
        if value is not None:
            yield from self._findings(value, path)
        elif not self.null:
            yield self.wrong(value, path)

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        """Yield what is wrong with a value other than null; subclasses override this."""
        yield from ()

    def wrong(self, value: Any, path: Path, advice: str = "") -> Finding:
        """Return the finding that the value is not what is expected."""
        return Finding(
            path, f"{dotted(path)} is {truncate(value)}, but should be {self.expected}{advice}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Number(Anything):
    """A number, within limits where there are some.

    Attributes:
        min: the least value.
        max: the greatest value.
        above: a value that it has to exceed.
        whole: whether it has to be a whole number of at most 64 bits; 3.0 gives a warning.
    """

    min: float | None = None
    max: float | None = None
    above: float | None = None
    whole: bool = False

    @property
    def expected(self) -> str:
        """What is expected, for messages."""
        kind = "a whole number" if self.whole else "a number"
        if self.above is not None:
            return f"{kind} above {self.above}"
        if self.min is not None and self.max is not None:
            return f"{kind} from {self.min} to {self.max}"
        return kind if self.min is None else f"{kind} of {self.min} or more"

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield self.wrong(value, path, advise_unquoting(value))
            return
        if self.whole and isinstance(value, float) and not value.is_integer():
            yield self.wrong(value, path)
            return
        if self.whole and abs(value) > LARGEST:
            yield self.wrong(value, path, f", at most {LARGEST}" if self.max is None else "")
            return
        if self.whole and isinstance(value, float):
            message = f"{dotted(path)} is {value}; write the whole number {int(value)}"
            yield Finding(path, message, WARNING)
        outside = (
            (self.min is not None and not value >= self.min)
            or (self.max is not None and not value <= self.max)
            or (self.above is not None and not value > self.above)
        )
        if outside:
            yield self.wrong(value, path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(Anything):
    """Text, which the regular expression ``pattern`` has to match if there is one."""

    form: str = "text"
    pattern: str | None = None

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        if isinstance(value, str):
            if self.pattern and not re.search(self.pattern, value):
                yield self.wrong(value, path)
        elif isinstance(value, (int, float, datetime.date)):
            yield self.wrong(value, path, f"; put it in quotes: '{in_yaml(value)}'")
        else:
            yield self.wrong(value, path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bool(Anything):
    """True or false."""

    form: str = "true or false"

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        if not isinstance(value, bool):
            quoted = isinstance(value, str) and value.lower() in ("true", "false")
            yield self.wrong(value, path, f"; write {str(value).lower()}" if quoted else "")


@dataclasses.dataclass(frozen=True)
class OneOf(Anything):
    """One of some names."""

    names: tuple[str, ...]

    @property
    def expected(self) -> str:
        """What is expected, for messages."""
        return join_or(self.names)

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        if value not in self.names:
            yield self.wrong(value, path, did_you_mean(value, self.names))


@dataclasses.dataclass(frozen=True)
class ListOf(Anything):
    """A list whose items are all of one type."""

    item: Anything
    _: dataclasses.KW_ONLY
    form: str = "a list"

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        if not isinstance(value, list):
            yield self.wrong(value, path)
            return
        for number, item in enumerate(value):
            yield from self.item.findings(item, (*path, number))


Rule = Callable[[Mapping[str, Any], Path], Iterator[Finding]]


@dataclasses.dataclass(frozen=True)
class Keys(Anything):
    """A mapping with certain keys.

    Attributes:
        fields: the type of each key's value.
        required: keys that have to be there.
        open: whether other keys are allowed.
        hints: for keys that are not allowed, what to write instead.
        rules: further checks of the whole mapping, made if there is no error in its values.
    """

    fields: Mapping[str, Anything]
    _: dataclasses.KW_ONLY
    form: str = "a mapping of names to values"
    required: tuple[str, ...] = ()
    open: bool = False
    hints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        if not isinstance(value, Mapping):
            yield self.wrong(value, path)
            return
        found = [*self._missing(value, path), *self._of_values(value, path)]
        yield from found
        if not has_error(found):
            for rule in self.rules:
                yield from rule(value, path)

    def _missing(self, value: Mapping[str, Any], path: Path) -> Iterator[Finding]:
        for name in self.required:
            if name not in value:
                expected = self.fields[name].expected
                message = f"{dotted((*path, name))} is missing; write {expected}"
                yield Finding(path, message, missing=True)

    def _of_values(self, value: Mapping[str, Any], path: Path) -> Iterator[Finding]:
        for name, item in value.items():
            key_path: Path = (*path, name if isinstance(name, str) else in_yaml(name))
            if name in self.fields:
                yield from self.fields[name].findings(item, key_path)
            elif name in self.hints:
                message = f"{dotted(key_path)}: {self.hints[name]}"
                yield Finding(key_path, message, unknown=True, instead=self.hints[name])
            elif not self.open:
                near = did_you_mean(name, self.fields)
                advice = near or f"; known are {', '.join(sorted(self.fields))}"
                message = f"{dotted(key_path)} is not known{advice}"
                yield Finding(key_path, message, unknown=True, instead=near.removeprefix("; "))


@dataclasses.dataclass(frozen=True)
class ByKind(Anything):
    """A mapping whose keys depend on the value of one of them (``name``, ``type``).

    Attributes:
        key: the key on which the others depend.
        kinds: the type of the whole mapping, by the value of that key.
        removed: values that are no longer allowed, with what to write instead.
        without_key: the type of a mapping that lacks the key.
    """

    key: str
    kinds: Mapping[str, Anything]
    _: dataclasses.KW_ONLY
    removed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    without_key: Anything = dataclasses.field(default_factory=Anything)

    @property
    def expected(self) -> str:
        """What is expected, for messages."""
        return f"a mapping with {self.key}: {join_or(self.kinds)}"

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        if not isinstance(value, Mapping):
            yield self.wrong(value, path)
            return
        if self.key not in value:
            yield from self.without_key.findings(value, path)
            return
        kind = value[self.key]
        kind_path = (*path, self.key)
        if isinstance(kind, str) and kind in self.kinds:
            yield from self.kinds[kind].findings(value, path)
        elif isinstance(kind, str) and kind in self.removed:
            message = f"{dotted(kind_path)}: {kind!r} is no longer supported; {self.removed[kind]}"
            yield Finding(kind_path, message)
        else:
            yield OneOf(tuple(self.kinds)).wrong(kind, kind_path, did_you_mean(kind, self.kinds))


@dataclasses.dataclass(frozen=True)
class Either(Anything):
    """A value of one of several types; ``form`` describes them all."""

    options: tuple[Anything, ...]

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        found = [list(option.findings(value, path)) for option in self.options]
        best = min(found, key=has_error)
        if not has_error(best):
            yield from best
            return
        # A finding inside the value says more than that the value is of another type.
        inside = [f for findings in found for f in findings if f.path != path or f.missing]
        yield from inside or [self.wrong(value, path, advise_unquoting(value))]


def has_error(findings: list[Finding]) -> bool:
    """Return whether one of the findings is an error."""
    return any(finding.severity == ERROR for finding in findings)
