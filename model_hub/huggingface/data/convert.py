"""Converts data files to Arrow files, in which a column has one type in all files and splits."""

import itertools
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import datasets
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from tqdm.auto import tqdm

from model_hub.errors import UserError
from model_hub.huggingface.data import json_types
from model_hub.huggingface.data.column_types import Column, InexactColumnError
from model_hub.huggingface.data.csv_reader import read_csv
from model_hub.huggingface.data.data_file import READ_ERRORS, DataFile, ReadOptions
from model_hub.huggingface.data.json_reader import Row, parse_spelled, read_json
from model_hub.huggingface.data.json_types import JsonKind
from model_hub.huggingface.data.origin import ORIGIN_FILE
from model_hub.huggingface.data.problems import Problems

_ROWS_AT_A_TIME = 1000
# Metadata of a field of a scratch file whose values have no type yet.
_CSV, _JSON = {b"values": b"csv"}, {b"values": b"json"}


def convert(
    files: Mapping[str, Sequence[DataFile]],
    options: ReadOptions,
    max_rows: Mapping[str, int],
    folder: pathlib.Path,
) -> None:
    """Write an Arrow file for each split, and :data:`ORIGIN_FILE`.

    Nothing is in memory as a whole, except for a json file that is one document.

    Args:
        files: the files of each split.
        options: how to read them.
        max_rows: the most rows to read, for some of the splits.
        folder: where to write.

    Raises:
        UserError: when a file cannot be read or has no rows, or a column holds values that no type
            has in common.
    """
    try:
        try:
            _Conversion(files, options, max_rows, folder, spelled=False).run()
        except InexactColumnError:
            # Again from the beginning, since the first numbers have lost their spelling.
            _Conversion(files, options, max_rows, folder, spelled=True).run()
    except InexactColumnError as error:
        raise UserError(
            f"{_keys(files)}: column {error.name!r} holds values of different types in different "
            "files. Write the same type in all of them."
        ) from None
    except (RecursionError, orjson.JSONEncodeError, pa.ArrowInvalid) as error:
        # Each of them has a limit; Arrow's, of 64, is the lowest.
        if "recursion" not in str(error).lower():
            raise
        raise UserError(
            f"{_keys(files)}: lists or objects are nested more than 60 deep. Write them as text."
        ) from error


def _keys(files: Mapping[str, Sequence[DataFile]]) -> str:
    return ", ".join(dict.fromkeys(file.key for split in files.values() for file in split))


class _Conversion:
    """One pass over all files, which also finds the types, and one over what it has written.

    Args:
        spelled: read the numbers of json files as they are written.
    """

    def __init__(
        self,
        files: Mapping[str, Sequence[DataFile]],
        options: ReadOptions,
        max_rows: Mapping[str, int],
        folder: pathlib.Path,
        *,
        spelled: bool,
    ) -> None:
        self._files = files
        self._options = options
        self._max_rows = max_rows
        self._folder = folder
        self._spelled = spelled
        self._columns: dict[str, Column] = {}
        # The names of a split's columns in their order, with the features that a file declares.
        self._features: dict[str, dict[str, object]] = {split: {} for split in files}

    def run(self) -> None:
        rows = {}
        with Problems() as problems:
            for split in self._files:
                with problems.part():
                    rows[split] = self._read_split(split)
        typed = self._options.typed_columns
        types = {
            name: column.arrow_type(
                find_numbers=typed is None or name in typed, find_booleans=typed is None
            )
            for name, column in self._columns.items()
        }
        numbers = [
            name
            for name, column in self._columns.items()
            if column.cells is not None
            and not column.cells.empty
            and not json_types.is_string(column.cells.arrow_type())
        ]
        origin = {"rows": rows, "numbers": numbers}
        (self._folder / ORIGIN_FILE).write_text(json.dumps(origin), encoding="utf-8")
        features = {name: self._feature(name, kind) for name, kind in types.items()}
        for split in self._files:
            self._write_split(split, types, features)

    def _scratch(self, split: str) -> str:
        return os.fspath(self._folder / f"{split}.scratch")

    def _read_split(self, split: str) -> list[tuple[str, int]]:
        """Read the files of a split into its scratch file; return each with its number of rows."""
        left = self._max_rows.get(split)
        counts = []
        with pa.OSFile(self._scratch(split), "wb") as sink:
            for file in self._files[split]:
                count = 0
                for table in self._tables(file, split):
                    part = table if left is None else table.slice(0, left - count)
                    with pa.ipc.new_stream(sink, part.schema) as stream:
                        stream.write_table(part)
                    count += len(part)
                    if count == left:
                        break
                if not count:
                    raise file.error(" has no rows.")
                counts.append((file.path.name, count))
                left = None if left is None else left - count
                if left == 0:
                    break
        return counts

    def _tables(self, file: DataFile, split: str) -> Iterator[pa.Table]:
        """Yield the rows of a file, after taking note of its columns."""
        with tqdm(
            desc=f"Reading {file.path.name}", unit=" rows", disable=_no_bars(), delay=1, leave=False
        ) as bar:
            for table in self._read(file, split):
                for field, column in zip(table.schema, table.columns, strict=True):
                    known = self._columns.setdefault(field.name, Column(field.name))
                    self._features[split].setdefault(field.name, None)
                    values = column.combine_chunks()
                    if field.metadata == _CSV:
                        known.add_cells(values)
                    elif field.metadata == _JSON:
                        known.json = known.json or JsonKind()
                        for text in values.drop_null().to_pylist():
                            known.json.add(parse_spelled(text))
                    else:
                        known.add_typed(field.type)
                yield table
                bar.update(len(table))

    def _read(self, file: DataFile, split: str) -> Iterator[pa.Table]:
        if file.format in ("csv", "tsv"):
            for table in read_csv(file, self._options, _ROWS_AT_A_TIME):
                fields = [field.with_metadata(_CSV) for field in table.schema]
                yield pa.Table.from_arrays(table.columns, schema=pa.schema(fields))
        elif file.format == "json":
            for rows in read_json(file, self._options, _ROWS_AT_A_TIME, spelled=self._spelled):
                yield self._json_table(file, rows)
        elif file.format == "text":
            lines = file.lines(self._options.encoding)
            while part := list(itertools.islice(lines, _ROWS_AT_A_TIME)):
                yield pa.table({"text": [line.rstrip("\r\n") for line in part]})
        else:
            for table in _arrow_tables(file):
                file.check_columns(table.column_names)
                if b"huggingface" in (table.schema.metadata or {}):
                    declared = datasets.Features.from_arrow_schema(table.schema)
                    self._features[split] = {**declared, **self._features[split]}
                yield _without_dictionaries(table)

    def _json_table(self, file: DataFile, rows: Sequence[Row]) -> pa.Table:
        fields, arrays = [], []
        for name in dict.fromkeys(name for row in rows for name in row):
            values = [row.get(name) for row in rows]
            metadata = None
            try:
                if self._spelled and not all(v is None or type(v) is str for v in values):
                    metadata = _JSON
                    values = [None if v is None else json_types.to_json(v) for v in values]
                array = json_types.infer_array(values)
                fields.append(pa.field(name, array.type, metadata=metadata))
            except UnicodeEncodeError as error:
                raise file.error(
                    f": column {name!r} holds a text with {error.object[error.start]!r}, half of "
                    "a character; write the whole character."
                ) from error
            except json_types.MIXED as error:
                raise InexactColumnError(name) from error
            arrays.append(array)
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def _feature(self, name: str, kind: pa.DataType) -> object:
        try:
            return datasets.Features.from_arrow_schema(pa.schema([(name, kind)]))[name]
        except ValueError as error:
            raise UserError(
                f"{_keys(self._files)}: column {name!r} holds {kind}, which datasets do not "
                "support. Remove the column, or save it with another type."
            ) from error

    def _write_split(
        self, split: str, types: Mapping[str, pa.DataType], found: Mapping[str, object]
    ) -> None:
        names = list(self._features[split])
        features = datasets.Features({name: found[name] for name in names})
        for name, declared in self._features[split].items():
            if (
                declared is not None
                and datasets.Features({name: declared}).arrow_schema.field(name).type == types[name]
            ):
                features[name] = declared
        schema = features.arrow_schema
        scratch = self._scratch(split)
        with (
            pa.memory_map(scratch) as source,
            pa.OSFile(os.fspath(self._folder / f"{split}.arrow"), "wb") as sink,
            pa.ipc.new_stream(sink, schema) as stream,
        ):
            while source.tell() < source.size():
                table = pa.ipc.open_stream(source).read_all()
                columns = [_column(table, name, types[name]) for name in names]
                stream.write_table(pa.Table.from_arrays(columns, schema=schema))
        os.remove(scratch)


def _no_bars() -> bool | None:
    """Return whether there are no progress bars; None leaves it to whether there is a terminal."""
    return True if datasets.utils.are_progress_bars_disabled() else None


def _arrow_tables(file: DataFile) -> Iterator[pa.Table]:
    """Yield the rows of a parquet or Arrow file.

    Raises:
        UserError: when it cannot be read.
    """
    try:
        with file.open() as binary:
            if file.format == "parquet":
                parquet = pa.parquet.ParquetFile(binary)
                for batch in parquet.iter_batches(batch_size=_ROWS_AT_A_TIME):
                    yield pa.Table.from_batches([batch], schema=parquet.schema_arrow)
                return
            is_file = binary.read(6) == b"ARROW1"
            binary.seek(0)
            if is_file:
                reader = pa.ipc.open_file(binary)
                batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
            else:
                batches = reader = pa.ipc.open_stream(binary)
            for batch in batches:
                yield pa.Table.from_batches([batch], schema=reader.schema)
    except (*READ_ERRORS, pa.ArrowException) as error:
        raise file.error(f" cannot be read as {file.format}: {error}.") from error


def _without_dictionaries(table: pa.Table) -> pa.Table:
    """Return the table with the values of dictionary-encoded columns (pandas' categories)."""
    for number, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            column = table.column(number).cast(field.type.value_type)
            table = table.set_column(number, field.name, column)
    return table


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    """Return a column of a scratch file in its type; nulls if the file has no such column."""
    if name not in table.column_names:
        return pa.nulls(len(table), kind)
    field, column = table.schema.field(name), table.column(name)
    if field.metadata == _JSON:
        values = (None if text is None else parse_spelled(text) for text in column.to_pylist())
        return json_types.to_array(values, kind)
    if field.type == kind:
        return column
    if field.metadata == _CSV and pa.types.is_boolean(kind):
        return pc.equal(pc.utf8_lower(column), "true")
    if kind == json_types.JSON:
        return json_types.to_array(column.to_pylist(), kind)
    try:
        return column.cast(kind)
    except pa.ArrowInvalid as error:  # Of unsigned integers that are too large.
        raise InexactColumnError(name) from error
