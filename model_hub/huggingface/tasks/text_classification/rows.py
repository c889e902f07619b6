"""Rows of text-classification data (one or two texts, and ``label``): what is wrong in them."""

import difflib
from collections.abc import Sequence
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from model_hub.errors import UserError

#: The column that is to be predicted.
LABEL = "label"
_READ_AS_EMPTY = (
    "In csv files, cells such as NA, None or null are read as empty too: put the data into a json "
    "file if they are meant as text."
)


def misspelt_label(columns: Sequence[str]) -> str | None:
    """The column that seems to be meant for ``label``: ``lable``, ``Labels``, ``gold_label``.

    Args:
        columns: names of all columns.

    Returns:
        None where ``label`` is there, or no name is near to it.
    """
    if LABEL in columns:
        return None
    lowered = {name.lower(): name for name in reversed(columns)}
    near = difflib.get_close_matches(LABEL, lowered, 1, 0.75)
    near += [name for name in lowered if LABEL in name]
    return lowered[near[0]] if near else None


def check_texts(dataset: datasets.Dataset, source: str, text_columns: Sequence[str]) -> None:
    """Checks that the columns are there and hold text in every row, before it is tokenized.

    Args:
        dataset: rows as loaded.
        source: where they come from, for messages.
        text_columns: columns of text.

    Raises:
        UserError: naming the column, and the first row that is empty.
    """
    needed = [*text_columns, LABEL]
    missing = [name for name in needed if name not in dataset.column_names]
    if missing:
        near = misspelt_label(dataset.column_names)
        raise UserError(
            f"{source}: the columns are {', '.join(map(repr, dataset.column_names))}, but needed "
            f"are {', '.join(map(repr, needed))}; missing: {', '.join(map(repr, missing))}. "
            + (f"Did you mean {LABEL!r} by {near!r}? " if near else "")
            + "Rename or add them"
            + ("." if missing == [LABEL] else ", or write data.text_columns with others.")
        )
    for name in text_columns:
        kind = dataset.features.arrow_schema.field(name).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            # A column in which every cell is empty has the type null.
            raise UserError(f"{source}: column {name!r} holds {kind}, but should hold text.")
        _check_filled(dataset, source, name)


def check_numbers(dataset: datasets.Dataset, source: str, refused: float | None = None) -> None:
    """Checks that the column ``label`` holds a finite number in every row.

    Args:
        dataset: rows as loaded.
        source: where they come from, for messages.
        refused: a number that stands for "not known".

    Raises:
        UserError: when it does not, or there is a row with the refused number.
    """
    kind = dataset.features.arrow_schema.field(LABEL).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise UserError(
            f"{source}: column {LABEL!r} holds {kind}, but should hold numbers, which are to be "
            "predicted."
        )
    column = pc.cast(_check_filled(dataset, source, LABEL), pa.float64())
    finite = pc.is_finite(column)
    if not pc.all(finite).as_py():
        row = finite.to_pylist().index(False)
        raise UserError(
            f"{source}: the label of row {row + 1} is {column[row].as_py()}, but should be a "
            "finite number."
        )
    if refused is not None and pc.any(pc.equal(column, refused)).as_py():
        raise UserError(
            f"{source}: there are rows with the label {refused:g}, which means that their label is "
            "not known; GLUE's test splits are so. Take a split with labels, or remove these rows."
        )


def label_values(dataset: datasets.Dataset, source: str) -> list[Any]:
    """The labels that occur, each once.

    Args:
        dataset: rows with the column ``label``.
        source: where they come from, for messages.

    Raises:
        UserError: when a row has none, or they are lists or the like.
    """
    kind = dataset.features.arrow_schema.field(LABEL).type
    # A column in which every cell is empty has the type null; that is told below.
    if pa.types.is_nested(kind) or pa.types.is_temporal(kind) or pa.types.is_binary(kind):
        raise UserError(
            f"{source}: column {LABEL!r} holds {kind}, but should hold whole numbers or texts "
            "(labels), or numbers with a decimal point (then these are predicted)."
        )
    values: list[Any] = _check_filled(dataset, source, LABEL).unique().to_pylist()
    return values


def _check_filled(dataset: datasets.Dataset, source: str, name: str) -> pa.ChunkedArray:
    column = dataset.with_format("arrow", columns=[name])[:].column(name)
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise UserError(
            f"{source}: {column.null_count} rows have no {name}, the first of them is row "
            f"{row + 1}. Write one or remove the rows. {_READ_AS_EMPTY}"
        )
    return column
