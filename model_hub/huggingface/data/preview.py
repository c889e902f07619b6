"""Reads the beginning of a data file as training reads the whole."""

import csv
import dataclasses
import itertools
import json
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any

import datasets
import pyarrow.parquet

from model_hub.huggingface.data import file_errors, files
from model_hub.huggingface.data.data_file import DataFile, find_file
from model_hub.huggingface.data.json_documents import document_rows, is_json_lines

# Size in bytes from which it takes seconds to read a JSON document, which is always read whole.
_LARGE_DOCUMENT = 200_000_000
# Size in bytes up to which all rows are read; half a second for a csv file.
_READ_WHOLE = 30_000_000


def read_first_rows(key: str, file: str, count: int = 100) -> datasets.Dataset | None:
    """Load the first rows of a local file without leaving anything in the cache of ``datasets``.

    Args:
        key: the YAML key that names the file, for messages.
        file: its path.
        count: number of rows.

    Returns:
        The rows; None for a file whose beginning cannot be read in a second or two.

    Raises:
        UserError: as :func:`model_hub.huggingface.data.files.load_file`, for what is read.
    """
    found = find_file(key, file)
    if found.loader == "arrow":
        return None
    if found.loader == "parquet":
        return _parquet_rows(found, count)
    features, line_word = None, "line"
    if found.loader == "json" and not is_json_lines(found.path):
        if found.path.stat().st_size > _LARGE_DOCUMENT:
            return None
        rows, features = document_rows(found, found.path.read_bytes())
        line_word = "row"
        head = "".join(json.dumps(row) + "\n" for row in rows[:count]).encode()
    elif found.loader == "csv":
        file_errors.check_delimiter(found)
        head = _csv_head(found.path, count)
    else:
        with found.path.open("rb") as lines:
            head = b"".join(itertools.islice(lines, count))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"head{found.path.suffix.lower()}"
        path.write_bytes(head)
        copy = dataclasses.replace(found, path=path, line_word=line_word)
        if found.loader == "json":
            file_errors.check_encoding(copy)
        dataset = files.load(copy, features, cache_dir=pathlib.Path(folder))
        # Into memory, since the folder is deleted.
        return datasets.Dataset(dataset.data.table.combine_chunks(), info=dataset.info)


def read_column(key: str, file: str, column: str) -> dict[Any, int] | None:
    """Return the different values of a column, each with the first row (from 1) that has it.

    Args:
        key: the YAML key that names the file, for messages.
        file: its path.
        column: name of a column of texts or integers, or of lists of them, whose items count as
            the values.

    Returns:
        The values, which are texts for a csv file; None if the file has no such column, or cannot
        be read in about a second.

    Raises:
        UserError: if a line of the file is broken.
    """
    found = find_file(key, file)
    if found.loader in ("arrow", "text") or found.path.stat().st_size > _READ_WHOLE:
        return None
    rows: Iterable[Any]
    try:
        if found.loader == "parquet":
            rows = pyarrow.parquet.read_table(found.path, columns=[column])[column].to_pylist()
        elif found.loader == "csv":
            with found.path.open(encoding="utf-8", newline="") as lines:
                rows = [row[column] for row in csv.DictReader(lines)]
        elif is_json_lines(found.path):
            with found.path.open(encoding="utf-8") as lines:
                rows = [json.loads(line).get(column) for line in lines if line.strip()]
        else:
            rows = [row.get(column) for row in document_rows(found, found.path.read_bytes())[0]]
    except (OSError, ValueError, KeyError, AttributeError, csv.Error) as error:
        broken = file_errors.first_broken_line(found)
        if broken is None:
            return None
        raise found.line_error(*broken) from error
    first: dict[Any, int] = {}
    for number, value in enumerate(rows, 1):
        for item in value if isinstance(value, list) else [value]:
            first.setdefault(item, number)
    return first


def _csv_head(path: pathlib.Path, count: int) -> bytes:
    """Return the lines of the header and the first rows, which may have line breaks in quotes."""
    with path.open(encoding="utf-8", errors="replace", newline="") as text:
        reader = csv.reader(text)
        for _ in itertools.islice(reader, count + 1):
            pass
        number = reader.line_num
    with path.open("rb") as lines:
        return b"".join(itertools.islice(lines, number))


def _parquet_rows(file: DataFile, count: int) -> datasets.Dataset:
    try:
        parquet = pyarrow.parquet.ParquetFile(file.path)
        batch = next(parquet.iter_batches(batch_size=count), None)
    except (OSError, pyarrow.ArrowException) as error:
        raise file.error(f" cannot be read as parquet: {error}") from error
    if batch is None:
        raise file.error(" has no rows.")
    return datasets.Dataset(pyarrow.Table.from_batches([batch]))
