"""Write rows of predictions into JSON Lines, csv or parquet."""

import contextlib
import csv
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from model_hub.errors import UserError

Write = Callable[[Sequence[Mapping[str, Any]]], None]


def check_output(output: pathlib.Path, input_file: str) -> None:
    """Check the path of the output before a model is loaded.

    Raises:
        UserError: for an unknown extension, a missing folder, or the input file itself.
    """
    if output.suffix.lower() not in _WRITERS:
        raise UserError(f"--output is {str(output)!r}; write a file of type {', '.join(_WRITERS)}.")
    if output.is_dir():
        raise UserError(f"--output: {str(output)!r} is a folder; name a file.")
    if not output.absolute().parent.is_dir():
        raise UserError(f"--output: there is no folder {str(output.parent)!r}.")
    if output.exists() and os.path.realpath(output) == os.path.realpath(input_file):
        raise UserError(
            f"--output is {str(output)!r}, which is the --input file. Write another one."
        )


@contextlib.contextmanager
def open_writer(output: pathlib.Path, columns: Mapping[str, pa.DataType]) -> Iterator[Write]:
    """Give a function that adds rows; the file appears at the end of the ``with`` block.

    The extension of the file decides its format. In csv, lists are written as JSON.

    Raises:
        UserError: when it cannot be written.
    """
    part = output.with_name(f".{output.name}.part")
    try:
        with _WRITERS[output.suffix.lower()](part, columns) as write:
            yield write
        os.replace(part, output)
    except OSError as error:
        raise UserError(f"--output: cannot write {str(output)!r} ({error.strerror}).") from error
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _json_lines(path: pathlib.Path, columns: Mapping[str, pa.DataType]) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:

        def write(rows: Sequence[Mapping[str, Any]]) -> None:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

        yield write


@contextlib.contextmanager
def _csv(path: pathlib.Path, columns: Mapping[str, pa.DataType]) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)

        def write(rows: Sequence[Mapping[str, Any]]) -> None:
            writer.writerows([_cell(row[name]) for name in columns] for row in rows)

        yield write


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


@contextlib.contextmanager
def _parquet(path: pathlib.Path, columns: Mapping[str, pa.DataType]) -> Iterator[Write]:
    schema = pa.schema(list(columns.items()))
    with pyarrow.parquet.ParquetWriter(path, schema) as file:
        yield lambda rows: file.write_table(pa.Table.from_pylist(list(rows), schema=schema))


_WRITERS = {".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}
