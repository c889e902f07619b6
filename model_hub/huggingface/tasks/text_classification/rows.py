"""Rows of text classification (one or two texts, and ``label``): columns, and checks of them."""

import difflib
from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import (
    add_json_rows,
    columns_of_text,
    require_columns,
    require_text,
)
from model_hub.huggingface.data.json_types import JSON, type_name
from model_hub.huggingface.data.problems import Problems

#: The column to predict.
LABEL = "label"
#: The end of a message about the label -1.
UNKNOWN_LABEL = (
    "which means that their label is not known, as in GLUE's test splits. Take a split with "
    "labels, or remove these rows."
)
#: Pairs of columns whose names say that they hold the texts.
PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("text", "text_pair"),
)
# The same of single columns.
_SINGLE = ("text", "sentence")


def guess_text_columns(dataset: datasets.Dataset) -> tuple[str, ...]:
    """Return the one or two columns that must hold the text, or all that may.

    Args:
        dataset: rows as loaded; a column like ``label`` does not count as text.

    Returns:
        Two columns if they form a known pair, one if its name is ``text`` or ``sentence`` or there
        is no other column of text; otherwise all columns of text.
    """
    # A misspelt label is not one of the texts, so that the message about it is right.
    label = misspelt_label(dataset.column_names) or LABEL
    texts = columns_of_text(dataset, leave_out=[label])
    for pair in PAIRS:
        if set(pair) <= set(texts):
            return pair
    for name in _SINGLE:
        if name in texts:
            return (name,)
    return tuple(texts)


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
        UserError: naming the columns that are missing, and the rows without text.
    """
    near = misspelt_label(dataset.column_names)
    missing = not set(text_columns) <= set(dataset.column_names)
    keys = ["data.text_columns"] * missing + ["data.label_column"] * (
        LABEL not in dataset.column_names
    )
    advice = f"Did you mean {LABEL!r} by {near!r}? " if near else ""
    advice += f"Rename or add them, or write the names of others in {' and '.join(keys)}."
    require_columns(dataset, [*text_columns, LABEL], source, "text classification", advice)
    require_text(dataset, text_columns, source)


def check_numbers(dataset: datasets.Dataset, source: str, refused: float | None = None) -> None:
    """Check that the column ``label`` holds a finite number in every row.

    Args:
        dataset: rows as loaded.
        source: where they come from, for messages.
        refused: a number that means "not known".

    Raises:
        UserError: when it does not, or there is a row with the refused number.
    """
    kind = _label_type(dataset)
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise UserError(
            f"{source}: column {LABEL!r} holds {type_name(kind)}, but should hold the numbers "
            "to predict."
        )
    column = pc.cast(label_column(dataset), pa.float64())
    finite = pc.is_finite(column).fill_null(True).to_numpy()
    with Problems() as problems:
        check_present(dataset, source, problems)
        what = "a label that is not a finite number"
        problems.add_rows(source, dataset, ~finite, what, "Correct or remove them.")
        if refused is not None and pc.any(pc.equal(column, refused)).as_py():
            problems.add(f"{source}: there are rows with the label {refused:g}, {UNKNOWN_LABEL}")


def check_present(dataset: datasets.Dataset, source: str, problems: Problems) -> None:
    """Add a problem for rows without a label."""
    missing = label_column(dataset).is_null().to_numpy()
    advice = "Write one, or remove the rows."
    problems.add_rows(source, dataset, missing, f"no {LABEL}", advice)


def label_values(dataset: datasets.Dataset, source: str) -> list[Any]:
    """Return the distinct labels, without null.

    Args:
        dataset: rows with the column ``label``.
        source: where they come from, for messages.

    Raises:
        UserError: when their type is none of labels, such as lists.
    """
    kind = _label_type(dataset)
    if kind == JSON:
        with Problems() as problems:
            add_json_rows(problems, dataset, source, LABEL, lists=False)
    if pa.types.is_nested(kind) or pa.types.is_temporal(kind) or pa.types.is_binary(kind):
        raise UserError(
            f"{source}: column {LABEL!r} holds {type_name(kind)}, but should hold whole "
            "numbers or texts (labels), or numbers with a decimal point (regression)."
        )
    values: list[Any] = label_column(dataset).unique().drop_null().to_pylist()
    return values


def rows_with(dataset: datasets.Dataset, values: Sequence[Any]) -> npt.NDArray[np.bool_]:
    """Return which rows have one of these labels, ``[rows]``."""
    column = label_column(dataset)
    found: npt.NDArray[np.bool_] = pc.is_in(column, pa.array(values, column.type)).to_numpy()
    return found


def label_column(dataset: datasets.Dataset) -> pa.ChunkedArray:
    """Return the column ``label``."""
    return dataset.with_format("arrow", columns=[LABEL])[:].column(LABEL)


def _label_type(dataset: datasets.Dataset) -> pa.DataType:
    return dataset.features.arrow_schema.field(LABEL).type
