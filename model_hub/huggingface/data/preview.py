"""The first rows of a data file, read as training reads the whole."""

import csv
import itertools
import json
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any

import datasets
import pyarrow.parquet

from model_hub.errors import UserError
from model_hub.huggingface.data import file_errors, files

# A document has to be read whole, which takes seconds from here on.
_LARGE_DOCUMENT = 200_000_000
# Half a second for a csv file.
_READ_WHOLE = 30_000_000


def read_first_rows(key: str, file: str, count: int = 100) -> datasets.Dataset | None:
    """Loads the first rows of a local file; leaves nothing in the cache of ``datasets``.

    Args:
        key: the YAML key that names the file, for messages.
        file: its path.
        count: how many rows.

    Returns:
        The rows; None for a file whose beginning cannot be read in a second or two.

    Raises:
        UserError: as :func:`model_hub.huggingface.data.files.load_file` for what it reads.
    """
    path, loader = files.readable_file(key, file)
    if loader == "arrow":
        return None
    if loader == "parquet":
        return _parquet_rows(key, path, count)
    features, line_word = None, "line"
    if loader == "json" and not files.is_json_lines(path):
        if path.stat().st_size > _LARGE_DOCUMENT:
            return None
        rows, features = files.document_rows(key, path, path.read_bytes())
        # In a document, rows and lines differ.
        line_word = "row"
        head = "".join(json.dumps(row) + "\n" for row in rows[:count]).encode()
    elif loader == "csv":
        file_errors.check_delimiter(key, path)
        head = _csv_head(path, count)
    else:
        with path.open("rb") as lines:
            head = b"".join(itertools.islice(lines, count))
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / f"head{path.suffix.lower()}"
        copy.write_bytes(head)
        if loader == "json":
            file_errors.check_encoding(key, copy, path)
        dataset = files.load(
            key, loader, copy, path, features, line_word=line_word, cache_dir=pathlib.Path(folder)
        )
        # Into memory, as the files go.
        return datasets.Dataset(dataset.data.table.combine_chunks(), info=dataset.info)


def row_count(key: str, file: str) -> int | None:
    """How many rows a local file has; None where counting them takes long.

    Args:
        key: the YAML key that names the file, for messages.
        file: its path.

    Raises:
        UserError: when the file cannot be read.
    """
    path, loader = files.readable_file(key, file)
    if loader == "parquet":
        return int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)
    if loader == "arrow" or path.stat().st_size > _LARGE_DOCUMENT:
        return None
    if loader == "json" and not files.is_json_lines(path):
        return len(files.document_rows(key, path, path.read_bytes())[0])
    if loader == "csv":
        with path.open(encoding="utf-8", errors="replace", newline="") as lines:
            return sum(1 for row in csv.reader(lines) if row) - 1
    with path.open("rb") as binary_lines:
        return sum(1 for line in binary_lines if line.strip() or loader == "text")


def read_column(key: str, file: str, column: str) -> dict[Any, int] | None:
    """The values of a column, and the row (from 1) in which each stands first.

    Args:
        key: the YAML key that names the file, for messages.
        file: its path.
        column: name of a column of texts or whole numbers, or of lists of them, whose items are
            then taken.

    Returns:
        None where reading all of the file takes long, or it cannot be read so. The values of a csv
        file are texts.

    Raises:
        UserError: when a line of it is broken.
    """
    path, loader = files.readable_file(key, file)
    if loader in ("arrow", "text") or path.stat().st_size > _READ_WHOLE:
        return None
    rows: Iterable[Any]
    try:
        if loader == "parquet":
            rows = pyarrow.parquet.read_table(path, columns=[column])[column].to_pylist()
        elif loader == "csv":
            with path.open(encoding="utf-8", newline="") as lines:
                rows = [row[column] for row in csv.DictReader(lines)]
        elif files.is_json_lines(path):
            with path.open(encoding="utf-8") as lines:
                rows = [json.loads(line).get(column) for line in lines if line.strip()]
        else:
            rows = [r.get(column) for r in files.document_rows(key, path, path.read_bytes())[0]]
    except (OSError, ValueError, KeyError, AttributeError, csv.Error) as error:
        line = file_errors.first_broken_line(loader, path)
        if line is None:
            return None
        raise UserError(f"{key}: {str(path)!r}, line {line[0]}: {line[1]}.") from error
    first: dict[Any, int] = {}
    for number, value in enumerate(rows, 1):
        for item in value if isinstance(value, list) else [value]:
            first.setdefault(item, number)
    return first


def _csv_head(path: pathlib.Path, count: int) -> bytes:
    """The lines of the header and the first rows, which may have line breaks in quotes."""
    with path.open(encoding="utf-8", errors="replace", newline="") as text:
        reader = csv.reader(text)
        for _ in itertools.islice(reader, count + 1):
            pass
        number = reader.line_num
    with path.open("rb") as lines:
        return b"".join(itertools.islice(lines, number))


def _parquet_rows(key: str, path: pathlib.Path, count: int) -> datasets.Dataset:
    try:
        file = pyarrow.parquet.ParquetFile(path)
        batch = next(file.iter_batches(batch_size=count), None)
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{key}: {str(path)!r} cannot be read as parquet: {error}") from error
    if batch is None:
        raise UserError(f"{key}: {str(path)!r} has no rows.")
    return datasets.Dataset(pyarrow.Table.from_batches([batch]))
