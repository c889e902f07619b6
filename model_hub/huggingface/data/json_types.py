"""The Arrow type that holds all values of a JSON column, without changing any of them."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

#: The type of values that are objects or lists in some rows and something else in others. Their
#: JSON text is stored; ``datasets`` returns the values.
JSON = pa.json_(pa.string())
_INT64 = 1 << 63
_EXACT_IN_FLOAT64 = 1 << 53


class SpelledNumber(str):
    """A number of a JSON file, as it is written there."""


@dataclasses.dataclass
class JsonKind:
    """What the values of a column are.

    Attributes:
        scalars: of ``bool``, ``int``, ``float`` and ``str``, those that occur.
        items: what the items of lists are; None if there are no lists.
        fields: what the values of objects are; None if there are no objects.
        largest: the largest absolute value of the integers.
    """

    scalars: set[str] = dataclasses.field(default_factory=set)
    items: "JsonKind | None" = None
    fields: "dict[str, JsonKind] | None" = None
    largest: int = 0

    def add(self, value: Any) -> None:
        """Add a value, in which numbers are ``SpelledNumber``, ``int`` or ``float``."""
        if value is None:
            return
        if isinstance(value, list):
            self.items = self.items or JsonKind()
            for item in value:
                self.items.add(item)
        elif isinstance(value, dict):
            self.fields = {} if self.fields is None else self.fields
            for name, item in value.items():
                self.fields.setdefault(name, JsonKind()).add(item)
        elif isinstance(value, SpelledNumber) and value.removeprefix("-").isdigit():
            self.scalars.add("int")
            digits = value.removeprefix("-")
            self.largest = max(self.largest, int(digits) if len(digits) < 20 else _INT64)
        elif isinstance(value, SpelledNumber):
            self.scalars.add("float")
        else:
            self.scalars.add(type(value).__name__)

    def arrow_type(self) -> pa.DataType:
        """Return the type that holds all values.

        Numbers beside texts or booleans, and integers that no type holds exactly, become texts.
        """
        if (self.items is not None) + (self.fields is not None) + bool(self.scalars) > 1:
            return JSON
        if self.fields is not None:
            return pa.struct([(name, kind.arrow_type()) for name, kind in self.fields.items()])
        if self.items is not None:
            return pa.list_(self.items.arrow_type())
        if not self.scalars:
            return pa.null()
        if self.scalars == {"bool"}:
            return pa.bool_()
        if self.scalars == {"int"} and self.largest < _INT64:
            return pa.int64()
        if self.scalars <= {"int", "float"} and self.largest <= _EXACT_IN_FLOAT64:
            return pa.float64()
        return pa.string()


def to_array(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    """Convert values to a type that :meth:`JsonKind.arrow_type` has found."""
    array = pa.array([_convert(value, kind) for value in values], _storage(kind))
    return _with_extensions(array, kind)


def to_json(value: Any) -> str:
    """Return a value as JSON text, its numbers as they are written."""
    return orjson.dumps(
        value, default=lambda number: orjson.Fragment(str(number)), option=_PASS_SPELLED
    ).decode()


_PASS_SPELLED = orjson.OPT_PASSTHROUGH_SUBCLASS


#: What :func:`infer_array` raises when values are not alike.
MIXED = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)


def infer_array(values: list[Any]) -> pa.Array:
    """Convert values that are alike to an array.

    Raises:
        one of :data:`MIXED`: when no type holds them as they are.
    """
    array = pa.array(values)
    if _has_large_floats(array):
        raise OverflowError("floats that may have been integers of more than 64 bits")
    return array


def unify(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """Return the type that holds the values of both; None if values would have to change for it."""
    if first == second or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    if pa.types.is_integer(first) and pa.types.is_integer(second):
        return pa.int64()
    if pa.types.is_floating(first) and pa.types.is_floating(second):
        return pa.float64()
    if is_string(first) and is_string(second):
        return pa.large_string()
    if is_list(first) and is_list(second):
        items = unify(first.value_type, second.value_type)
        large = pa.types.is_large_list(first) or pa.types.is_large_list(second)
        return items and (pa.large_list(items) if large else pa.list_(items))
    if pa.types.is_struct(first) and pa.types.is_struct(second):
        fields = {field.name: field.type for field in first}
        for field in second:
            unified = unify(fields.get(field.name, pa.null()), field.type)
            if unified is None:
                return None
            fields[field.name] = unified
        return pa.struct(list(fields.items()))
    return None


def type_name(kind: pa.DataType) -> str:
    """Return what messages call a type."""
    return "values of several kinds" if kind == JSON else str(kind)


def is_string(kind: pa.DataType) -> bool:
    """Return whether Arrow's type is one of strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_list(kind: pa.DataType) -> bool:
    """Return whether Arrow's type is one of lists."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def _convert(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if kind == JSON:
        return to_json(value)
    if pa.types.is_struct(kind):
        return {field.name: _convert(value.get(field.name), field.type) for field in kind}
    if is_list(kind):
        return [_convert(item, kind.value_type) for item in value]
    if isinstance(value, bool):
        return value if pa.types.is_boolean(kind) else str(value).lower()
    if pa.types.is_integer(kind):
        return int(value)
    if pa.types.is_floating(kind):
        return float(value)
    return str(value)


def _storage(kind: pa.DataType) -> pa.DataType:
    """Return the type with strings in place of JSON values."""
    if kind == JSON:
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _storage(field.type)) for field in kind])
    return pa.list_(_storage(kind.value_type)) if is_list(kind) else kind


def _with_extensions(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return an array of the type, given one of its storage type; arrays cannot be cast to it."""
    if array.type == kind:
        return array
    if kind == JSON:
        return pa.ExtensionArray.from_storage(JSON, array)
    if pa.types.is_struct(kind):
        children = [_with_extensions(array.field(n), field.type) for n, field in enumerate(kind)]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())
    values = _with_extensions(array.values, kind.value_type)
    return pa.ListArray.from_arrays(array.offsets, values, kind, mask=array.is_null())


def _has_large_floats(array: pa.Array) -> bool:
    """Return whether there are floats that may have been integers of more than 64 bits."""
    if pa.types.is_struct(array.type):
        return any(map(_has_large_floats, array.flatten()))
    if is_list(array.type):
        return _has_large_floats(array.flatten())
    largest = pc.max(pc.abs(array)).as_py() if pa.types.is_floating(array.type) else None
    return largest is not None and largest >= _INT64
