"""Ranges of a search in section ``hyperparameters``: their keys, and the values they stand for."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from model_hub.check.findings import WARNING, Path, Problem, dotted
from model_hub.check.schema.types import ByKind, Keys, ListOf, Number, Shape, Text

_COUNT = Number(least=1, whole=True)


def _bounds_in_order(value: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    low, high = value["minval"], value["maxval"]
    if not low < high:
        where = (*path, "maxval")
        yield Problem(where, f"{dotted(where)} is {high}, but should be above minval, {low}")


def _exponents(value: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    low, high, base = value["minval"], value["maxval"], value["base"]
    if not 0 < low < high < 0.1 or base <= 1:
        return
    ends = (f"{math.log(end, base):.3g}" for end in (low, high))
    yield Problem(
        path,
        f"{dotted(path)}: minval and maxval of type log are exponents; these give values "
        f"from {base**low:.5g} to {base**high:.5g}. For values from {low:g} to {high:g} write "
        "minval: {}, maxval: {}".format(*ends),
        WARNING,
    )


def _range(**fields: Shape) -> Keys:
    bounded = "minval" in fields
    return Keys(
        {"type": Text(), **fields, **({"count": _COUNT} if bounded else {})},
        required=tuple(fields),
        rules=(
            *((_bounds_in_order,) if bounded else ()),
            *((_exponents,) if "base" in fields else ()),
        ),
    )


_WHOLE, _REAL = Number(whole=True, null=False), Number(null=False)
RANGE = ByKind(
    "type",
    {
        "int": _range(minval=_WHOLE, maxval=_WHOLE),
        "double": _range(minval=_REAL, maxval=_REAL),
        "log": _range(minval=_REAL, maxval=_REAL, base=Number(above=0, null=False)),
        "categorical": _range(vals=ListOf(Shape(), "a list of values", null=False)),
        "const": _range(val=Shape()),
    },
)


class _Hyperparameter(Shape):
    """A value, a range, or a mapping of further hyperparameters."""

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            return
        if "type" in value:
            yield from RANGE.problems(value, path)
            return
        for name, item in value.items():
            yield from self.problems(item, (*path, str(name)))


class _Hyperparameters(_Hyperparameter):
    @property
    def words(self) -> str:
        return "a mapping of names to values"

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield self._wrong(value, path)
            return
        for name, item in value.items():
            yield from _Hyperparameter().problems(item, (*path, str(name)))


HYPERPARAMETERS = _Hyperparameters()


def is_range(value: Any) -> bool:
    """Whether the value of a hyperparameter is a range, of which each trial gets one value."""
    return isinstance(value, Mapping) and value.get("type") in RANGE.kinds


def ranges_without_count(value: Any, path: Path) -> Iterator[Problem]:
    """Ranges that a grid cannot be made of, as they do not say of how many values.

    Args:
        value: section ``hyperparameters`` or something in it.
        path: where it stands.
    """
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from ranges_without_count(item, (*path, number))
    elif is_range(value):
        if value["type"] in ("int", "double", "log") and value.get("count") is None:
            yield Problem(
                path,
                f"{dotted((*path, 'count'))} is missing; searcher.name is grid, so write of how "
                "many values",
                missing=True,
            )
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from ranges_without_count(item, (*path, str(name)))


def possible_values(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Values that a trial may get for a hyperparameter, each with the place that says so.

    Of a range of numbers these are its ends, and a value between them that is no whole number where
    there are such: what is wrong with a value is so with one of these.

    Args:
        value: a value or a correct range.
        path: where it stands.
    """
    if not is_range(value):
        yield path, value
        return
    kind = value["type"]
    if kind == "const":
        yield (*path, "val"), value["val"]
    elif kind == "categorical":
        for number, item in enumerate(value["vals"]):
            yield (*path, "vals", number), item
    else:
        ends = [value["minval"], value["maxval"]]
        if kind == "log":
            try:
                ends = [float(value["base"]) ** end for end in ends]
            except OverflowError:
                return
        for key, end in zip(("minval", "maxval"), ends, strict=True):
            yield (*path, key), end
        if kind != "int":
            yield path, _between(*ends)


def _between(low: float, high: float) -> float:
    """A number between the two that is not whole."""
    for share in (0.5, 0.37):
        number = float(low + (high - low) * share)
        if not number.is_integer():
            return number
    return number
