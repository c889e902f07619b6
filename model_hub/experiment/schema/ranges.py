"""Ranges of a search in section ``hyperparameters``: their keys, and the values they stand for."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from model_hub.experiment.findings import WARNING, Finding, Path, dotted
from model_hub.experiment.schema.types import Anything, ByKind, Keys, ListOf, Number, Text

_COUNT = Number(min=1, whole=True)


def _bounds_in_order(value: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    low, high = value["minval"], value["maxval"]
    if not low < high:
        key_path = (*path, "maxval")
        yield Finding(key_path, f"{dotted(key_path)} is {high}, but should be above minval, {low}")


def _exponents(value: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    low, high, base = value["minval"], value["maxval"], value["base"]
    if not 0 < low < high < 0.1 or base <= 1:
        return
    exponents = (f"{math.log(end, base):.3g}" for end in (low, high))
    yield Finding(
        path,
        f"{dotted(path)}: minval and maxval of type log are exponents; these give values "
        f"from {base**low:.5g} to {base**high:.5g}. For values from {low:g} to {high:g} write "
        "minval: {}, maxval: {}".format(*exponents),
        WARNING,
    )


def _range(**fields: Anything) -> Keys:
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
        "categorical": _range(vals=ListOf(Anything(), null=False, form="a list of values")),
        "const": _range(val=Anything()),
    },
)


class _Hyperparameter(Anything):
    """A value, a range, or a mapping of further hyperparameters."""

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        if isinstance(value, Mapping) and "type" in value:
            yield from RANGE.findings(value, path)
        elif isinstance(value, Mapping):
            yield from _of_items(value, path)


class _Hyperparameters(Anything):
    """The whole section, in which ``type`` may be the name of a hyperparameter."""

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        if isinstance(value, Mapping):
            yield from _of_items(value, path)
        else:
            yield self.wrong(value, path)


def _of_items(values: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    for name, item in values.items():
        yield from _Hyperparameter().findings(item, (*path, str(name)))


HYPERPARAMETERS = _Hyperparameters(form="a mapping of names to values")


def is_range(value: Any) -> bool:
    """Return whether a hyperparameter is a range, from which each trial gets one value."""
    kind = value.get("type") if isinstance(value, Mapping) else None
    return isinstance(kind, str) and kind in RANGE.kinds


def ranges_without_count(value: Any, path: Path) -> Iterator[Finding]:
    """Yield the ranges of numbers that lack ``count``, which a grid search needs.

    Args:
        value: section ``hyperparameters`` or something in it.
        path: its key.
    """
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from ranges_without_count(item, (*path, number))
    elif is_range(value):
        if value["type"] in ("int", "double", "log") and value.get("count") is None:
            yield Finding(
                path,
                f"{dotted((*path, 'count'))} is missing; searcher.name is grid, so write how many "
                "values to try",
                missing=True,
            )
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from ranges_without_count(item, (*path, str(name)))


def possible_values(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield values that a trial may get for a hyperparameter, each with its key.

    For a range of numbers these are its ends, and a number between them that is not whole if there
    can be one: an error in any value of the range is an error in one of these.

    Args:
        value: a value or a correct range.
        path: its key.
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
    """Return a number between the two that is not whole."""
    for share in (0.5, 0.37):
        number = float(low + (high - low) * share)
        if not number.is_integer():
            return number
    return number
