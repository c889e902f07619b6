"""Where the rows of a dataset come from: their files and row numbers, for messages."""

import json
import pathlib
from typing import Any

import datasets

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
    # Consecutive rows are a slice of the table, without indices.
    for name, arguments, _ in getattr(dataset.data, "replays", ()):
        row += arguments[0] if name == "slice" else 0
    files = _origin(dataset).get("rows", {}).get(_arrow_file(dataset).stem, [])
    for name, count in files:
        if row < count:
            return f"row {row + 1}" + (f" of {name!r}" if len(files) > 1 else "")
        row -= count
    return f"row {row + 1}"


def columns_of_numbers(dataset: datasets.Dataset) -> list[str]:
    """Return the columns that came from csv files and have numbers or booleans in all cells."""
    return list(_origin(dataset).get("numbers", []))


def _arrow_file(dataset: datasets.Dataset) -> pathlib.Path:
    return pathlib.Path(dataset.cache_files[0]["filename"] if dataset.cache_files else "")


def _origin(dataset: datasets.Dataset) -> dict[str, Any]:
    """Return what :func:`convert` has written about a dataset; empty for others."""
    file = _arrow_file(dataset).parent / ORIGIN_FILE
    if not dataset.cache_files or not file.exists():
        return {}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
