"""Columns of Python numbers and texts become an Arrow table, much as ``Dataset.map`` makes it."""

import array
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

# As datasets has it; but for offsets, which it would store in 64 bits, most of a file.
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
    """Makes a table of columns; or gives them back, for ``Dataset.map`` to make one.

    ``Dataset.map`` looks at every value, one by one in Python, for what Arrow cannot hold, and so
    takes about as long per token as some tokenizers. Lists of numbers and texts have nothing of the
    kind.

    Args:
        columns: what a preparation function returned for a batch of rows.
        replaced: columns of the rows; where the function returns one of the same name,
            ``Dataset.map`` keeps its type.

    Returns:
        The table, with the types that ``Dataset.map`` gives (offsets take half). The columns
        themselves where there are no rows, or one of them holds something else than integers,
        floats, booleans or texts, or (nested) lists of these.
    """
    if not columns or any(name in replaced for name in columns):
        return columns
    arrays = {}
    for name, values in columns.items():
        if not isinstance(values, list) or not values:
            return columns
        made = _integers(values, _WIDTHS.get(name, pa.int64()))
        if made is None:
            try:
                made = pa.array(values)
                if name in _WIDTHS:
                    made = made.cast(_with_leaf(made.type, _WIDTHS[name]))
            except (pa.ArrowException, TypeError, ValueError):
                return columns
        if not _is_simple(_leaf(made.type)):
            return columns
        arrays[name] = made
    return pa.table(arrays)


def _integers(values: Sequence[Any], kind: pa.DataType) -> pa.Array | None:
    """Lists of integers, in a third of Arrow's time; None if there is something else in them."""
    filled = next((row for row in values if not isinstance(row, list) or row), None)
    if type(filled) is not list:
        return None
    try:
        limits = np.cumsum([0, *map(len, values)], dtype=np.int32)
        if type(filled[0]) is list:
            inner = _integers(list(itertools.chain.from_iterable(values)), kind)
        elif type(filled[0]) is int:
            flat = array.array(_CODES[kind])
            for row in values:
                flat.fromlist(row)
            inner = pa.array(np.frombuffer(flat, kind.to_pandas_dtype()))
        else:
            return None
    except (TypeError, OverflowError):
        return None
    return None if inner is None else pa.ListArray.from_arrays(limits, inner)


def _leaf(kind: pa.DataType) -> pa.DataType:
    while pa.types.is_list(kind):
        kind = kind.value_type
    return kind


def _with_leaf(kind: pa.DataType, leaf: pa.DataType) -> pa.DataType:
    """The same nested lists with another type in them, if they hold integers or nothing at all."""
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
