"""Where the rows of a dataset come from: their files and row numbers, for messages."""

import itertools
import json
import pathlib
from typing import Any

import datasets
import numpy as np

#: The file beside the Arrow files with the number of rows of each data file (``rows``), and the
#: columns of csv files in which all cells are numbers or booleans, even if they are text here
#: (``numbers``).
ORIGIN_FILE = "origin.json"


def describe_row(dataset: datasets.Dataset, row: int) -> str:
    """Return where a row comes from, for messages: ``row 17``, or ``row 17 of 'b.csv'``.

    Args:
        dataset: rows as loaded, or some of them in any order.
        row: the row's index in the dataset, from 0.

    Returns:
        The row's number in its file, from 1, without the header and blank lines; the file too if
        there are several.
    """
    indices = dataset._indices
    if indices is not None:
        row = indices.column(0)[row].as_py()
    row += _offset(dataset)
    files = _origin(dataset).get("rows", {}).get(_split_of(dataset), [])
    for name, count in files:
        if row < count:
            return f"row {row + 1}" + (f" of {name!r}" if len(files) > 1 else "")
        row -= count
    return f"row {row + 1}"


def divide_by_file(dataset: datasets.Dataset) -> list[datasets.Dataset]:
    """Return the rows of each data file as a dataset, in their order.

    Args:
        dataset: rows as loaded, or some of them in any order; whenever the next row is of another
            file, a new dataset begins.
    """
    counts = [count for _, count in _origin(dataset).get("rows", {}).get(_split_of(dataset), [])]
    if len(counts) < 2:
        return [dataset]
    indices = dataset._indices
    rows = np.arange(len(dataset)) if indices is None else indices.column(0).to_numpy()
    files = np.searchsorted(np.cumsum(counts), rows + _offset(dataset), side="right")
    borders = [0, *(np.flatnonzero(np.diff(files)) + 1).tolist(), len(dataset)]
    return [dataset.select(range(*pair)) for pair in itertools.pairwise(borders)]


def columns_of_numbers(dataset: datasets.Dataset) -> list[str]:
    """Return the columns that came from csv files and have numbers or booleans in all cells."""
    return list(_origin(dataset).get("numbers", []))


def _arrow_file(dataset: datasets.Dataset) -> pathlib.Path:
    return pathlib.Path(dataset.cache_files[0]["filename"] if dataset.cache_files else "")


def _offset(dataset: datasets.Dataset) -> int:
    """Return the row of the Arrow file with which a dataset begins, from 0.

    Consecutive rows are selected by a slice of the table, which keeps no indices.
    """
    replays = getattr(dataset.data, "replays", [])
    return sum(arguments[0] for name, arguments, _ in replays if name == "slice")


def _split_of(dataset: datasets.Dataset) -> str:
    return _arrow_file(dataset).stem


def _origin(dataset: datasets.Dataset) -> dict[str, Any]:
    """Return what :func:`convert` has written about a dataset; empty for others."""
    file = _arrow_file(dataset).parent / ORIGIN_FILE
    if not dataset.cache_files or not file.exists():
        return {}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
