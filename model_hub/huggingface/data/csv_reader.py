"""Reads csv and tsv files as text, without guessing what a cell means."""

import csv
import itertools
import logging
import sys
from collections.abc import Iterator

import pyarrow as pa

from model_hub.huggingface.data.data_file import DataFile, ReadOptions

logger = logging.getLogger("model_hub")

# What data.delimiter may be guessed as, with the word for the log.
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_ROWS_TO_GUESS_FROM = 20


def read_csv(file: DataFile, options: ReadOptions, rows_at_a_time: int) -> Iterator[pa.Table]:
    """Yield the rows, all columns of the type string; empty cells are null.

    Blank lines are no rows. A column without a name is called ``Unnamed: `` and its number from 0,
    as by pandas.

    Args:
        file: the file.
        options: how to read it.
        rows_at_a_time: rows of each table but the last one.

    Raises:
        UserError: naming the line that has more or fewer cells than the header, or quotes that are
            not closed; or when two columns have the same name.
    """
    rows = _rows(file, options, options.delimiter or _guess_delimiter(file, options))
    _, header = next(rows, (0, []))
    names = [name or f"Unnamed: {number}" for number, name in enumerate(header)]
    file.check_columns(names)
    schema = pa.schema([(name, pa.string()) for name in names])
    while part := list(itertools.islice(rows, rows_at_a_time)):
        for line, row in part:
            if len(row) != len(names):
                raise file.line_error(
                    line,
                    f"{len(row)} values for the {len(names)} columns {', '.join(names)}; a value "
                    "with a delimiter in it has to be in quotes",
                )
        cells = zip(*(row for _, row in part), strict=True)
        columns = [pa.array([cell or None for cell in column], pa.string()) for column in cells]
        yield pa.Table.from_arrays(columns, schema=schema)


def _rows(file: DataFile, options: ReadOptions, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank, with the number of its first line, from 1."""
    # The largest cell; the module's default is 128 KiB, less than a long document.
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(
        file.lines(options.encoding),
        delimiter=delimiter,
        quotechar=options.quotechar or None,
        quoting=csv.QUOTE_MINIMAL if options.quotechar else csv.QUOTE_NONE,
        strict=True,
    )
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise file.line_error(
                line,
                f"quotes that are not closed or not doubled ({error}). Write a quote inside of a "
                "quoted value twice"
                + file.or_key(", or data.quotechar: '' if quotes are part of the text"),
            ) from error
        if row is None:
            return
        if row:
            yield line, row


def log_delimiter(file: DataFile, options: ReadOptions) -> None:
    """Log by what the columns of a csv file are divided, if it is not what is expected.

    Args:
        file: the file, of any format.
        options: how it is read.
    """
    if file.format != "csv" or options.delimiter:
        return
    delimiter = _guess_delimiter(file, options)
    if delimiter != ",":
        logger.info(
            "%s: the columns of %s are separated by %s%s",
            file.key,
            file.path,
            _DELIMITERS[delimiter],
            file.or_key(" (data.delimiter can name another)"),
        )


def _guess_delimiter(file: DataFile, options: ReadOptions) -> str:
    """Return the delimiter that divides the first rows into the most columns, alike in all."""
    if file.format == "tsv":
        return "\t"
    best, most = ",", 1
    for delimiter in _DELIMITERS:
        # The quotes are as wrong as the delimiter, so that errors are no news.
        rows = itertools.islice(
            csv.reader(
                file.lines(options.encoding),
                delimiter=delimiter,
                quotechar=options.quotechar or None,
                quoting=csv.QUOTE_MINIMAL if options.quotechar else csv.QUOTE_NONE,
            ),
            _ROWS_TO_GUESS_FROM,
        )
        counts = {len(row) for row in rows if row}
        if len(counts) == 1 and max(counts) > most:
            best, most = delimiter, max(counts)
    return best
