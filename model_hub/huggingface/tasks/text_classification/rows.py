"""Rows of text classification (one or two texts, and ``label``): columns, and checks of them."""

import difflib
from collections.abc import Sequence
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import columns_of_text, require_columns, require_text

#: The column to predict.
LABEL = "label"
#: The end of a message about the label -1.
UNKNOWN_LABEL = (
    "which means that their label is not known, as in GLUE's test splits. Take a split with "
    "labels, or remove these rows."
)
_PAIR = ("sentence1", "sentence2")
_READ_AS_EMPTY = (
    "In csv files, cells such as NA, None or null are read as empty too: put the data into a json "
    "file if they are meant as text."
)


def default_text_columns(dataset: datasets.Dataset, label: str) -> tuple[str, ...]:
    """Return ``sentence1`` and ``sentence2``, or else the first two columns of text.

    Args:
        dataset: rows as loaded.
        label: the column that does not count as text.

    Returns:
        Fewer than two columns if there are no more.
    """
    texts = columns_of_text(dataset, leave_out=[label])
    return _PAIR if set(_PAIR) <= set(texts) else tuple(texts[:2])


def misspelt_label(columns: Sequence[str]) -> str | None:
    """Return the column whose name is close to ``label``: ``lable``, ``Labels``, ``gold_label``.

    Returns:
        None if ``label`` is among the columns, or no name is close to it.
    """
    if LABEL in columns:
        return None
    lowered = {name.lower(): name for name in reversed(columns)}
    near = difflib.get_close_matches(LABEL, lowered, 1, 0.75)
    near += [name for name in lowered if LABEL in name]
    return lowered[near[0]] if near else None


def check_texts(dataset: datasets.Dataset, source: str, text_columns: Sequence[str]) -> None:
    """Check that the columns exist and hold text in every row, before it is tokenized.

    Args:
        dataset: rows as loaded.
        source: where they come from, for messages.
        text_columns: columns of text.

    Raises:
        UserError: naming the column, and the first row without text.
    """
    near = misspelt_label(dataset.column_names)
    advice = f"Did you mean {LABEL!r} by {near!r}? " if near else ""
    advice += "Rename or add them"
    if not set(text_columns) <= set(dataset.column_names):
        advice += ", or write data.text_columns with others"
    require_columns(dataset, [*text_columns, LABEL], source, "text classification", f"{advice}.")
    require_text(dataset, text_columns, source, advice=_READ_AS_EMPTY)


def check_numbers(dataset: datasets.Dataset, source: str, refused: float | None = None) -> None:
    """Check that the column ``label`` holds a finite number in every row.

    Args:
        dataset: rows as loaded.
        source: where they come from, for messages.
        refused: a number that means "not known".

    Raises:
        UserError: when it does not, or there is a row with the refused number.
    """
    kind = dataset.features.arrow_schema.field(LABEL).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise UserError(
            f"{source}: column {LABEL!r} holds {kind}, but should hold the numbers to predict."
        )
    column = pc.cast(_read_labels(dataset, source), pa.float64())
    finite = pc.is_finite(column)
    if not pc.all(finite).as_py():
        row = finite.to_pylist().index(False)
        raise UserError(
            f"{source}: the label of row {row + 1} is {column[row].as_py()}, but should be a "
            "finite number."
        )
    if refused is not None and pc.any(pc.equal(column, refused)).as_py():
        raise UserError(f"{source}: there are rows with the label {refused:g}, {UNKNOWN_LABEL}")


def label_values(dataset: datasets.Dataset, source: str) -> list[Any]:
    """Return the distinct labels.

    Args:
        dataset: rows with the column ``label``.
        source: where they come from, for messages.

    Raises:
        UserError: when a row has none, or their type is none of labels, such as lists.
    """
    kind = dataset.features.arrow_schema.field(LABEL).type
    if pa.types.is_nested(kind) or pa.types.is_temporal(kind) or pa.types.is_binary(kind):
        raise UserError(
            f"{source}: column {LABEL!r} holds {kind}, but should hold whole numbers or texts "
            "(labels), or numbers with a decimal point (regression)."
        )
    values: list[Any] = _read_labels(dataset, source).unique().to_pylist()
    return values


def _read_labels(dataset: datasets.Dataset, source: str) -> pa.ChunkedArray:
    column = dataset.with_format("arrow", columns=[LABEL])[:].column(LABEL)
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise UserError(
            f"{source}: {column.null_count} rows have no {LABEL}, the first of them is row "
            f"{row + 1}. Write one or remove the rows. {_READ_AS_EMPTY}"
        )
    return column
