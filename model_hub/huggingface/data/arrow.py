"""Converts columns of Python numbers and texts to an Arrow table as ``Dataset.map`` does."""

import array
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

# The same as in datasets, except for offsets: in 64 bits they would be most of a file.
_WIDTHS = {
    "input_ids": pa.int32(),
    "offset_mapping": pa.int32(),
    "attention_mask": pa.int8(),
    "token_type_ids": pa.int8(),
    "special_tokens_mask": pa.int8(),
}
_CODES = {pa.int8(): "b", pa.int32(): "i", pa.int64(): "q"}


def as_table(
    columns: Mapping[str, Any], replaced: Collection[str] = ()
) -> pa.Table | Mapping[str, Any]:
    """Convert columns to a table, or return them unchanged if ``Dataset.map`` has to do it.

    ``Dataset.map`` checks every value, one by one in Python, for types that Arrow cannot hold, and
    takes about as long per token as some tokenizers. Lists of numbers and texts need no such check.

    Args:
        columns: the result of a preparation function for a batch of rows.
        replaced: the columns of the rows; ``Dataset.map`` keeps the type of a column that the
            function returns under the same name.

    Returns:
        A table with the types that ``Dataset.map`` chooses, except that offsets have 32 bits. The
        columns themselves if there are no rows, or if a column holds anything but integers, floats,
        booleans or texts, or (nested) lists of these.
    """
    if not columns or any(name in replaced for name in columns):
        return columns
    arrays = {}
    for name, values in columns.items():
        if not isinstance(values, list) or not values:
            return columns
        converted = _integers(values, _WIDTHS.get(name, pa.int64()))
        if converted is None:
            try:
                converted = pa.array(values)
                if name in _WIDTHS:
                    converted = converted.cast(_with_leaf(converted.type, _WIDTHS[name]))
            except (pa.ArrowException, TypeError, ValueError):
                return columns
        if not _is_simple(_leaf(converted.type)):
            return columns
        arrays[name] = converted
    return pa.table(arrays)


def _integers(values: Sequence[Any], kind: pa.DataType) -> pa.Array | None:
    """Convert lists of integers in a third of Arrow's time; None if they hold anything else."""
    first = next((row for row in values if not isinstance(row, list) or row), None)
    if type(first) is not list:
        return None
    try:
        offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
        if type(first[0]) is list:
            inner = _integers(list(itertools.chain.from_iterable(values)), kind)
        elif type(first[0]) is int:
            flat = array.array(_CODES[kind])
            for row in values:
                flat.fromlist(row)
            inner = pa.array(np.frombuffer(flat, kind.to_pandas_dtype()))
        else:
            return None
    except (TypeError, OverflowError):
        return None
    return None if inner is None else pa.ListArray.from_arrays(offsets, inner)


def _leaf(kind: pa.DataType) -> pa.DataType:
    while pa.types.is_list(kind):
        kind = kind.value_type
    return kind


def _with_leaf(kind: pa.DataType, leaf: pa.DataType) -> pa.DataType:
    """Return the type of nested lists with another type of items, if these are integers or null."""
    if pa.types.is_list(kind):
        return pa.list_(_with_leaf(kind.value_type, leaf))
    return leaf if pa.types.is_int64(kind) or pa.types.is_null(kind) else kind


def _is_simple(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_string(kind)
    )
