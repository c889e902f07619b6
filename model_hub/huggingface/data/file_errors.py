"""Finds out why a data file cannot be loaded: encoding, delimiter, a broken line, or the cache."""

import csv
import errno
import io
import json
import pathlib
import tempfile

from model_hub.errors import UserError
from model_hub.huggingface.data.data_file import DataFile

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs"}


def check_delimiter(file: DataFile) -> None:
    """Check the header of a csv file; another delimiter would make it a single column.

    Raises:
        UserError: if the header is one column that contains semicolons or tabs.
    """
    with file.path.open(encoding="utf-8", errors="replace", newline="") as lines:
        header = next(csv.reader(lines), [])
    found = [name for sign, name in _OTHER_DELIMITERS.items() if sign in "".join(header)]
    if found and len(header) == 1:
        raise file.error(
            f" has one column, {header[0]!r}, whose names seem to be separated by {found[0]}; "
            "write the file with commas as the delimiter."
        )


def check_cache(folder: pathlib.Path) -> None:
    """Check that the cache of ``datasets`` can be written; its own error names the data file.

    Args:
        folder: the cache; created if it does not exist.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        # "~" is left of a path for a user without a name and without HOME, as in containers.
        if folder.parts[0].startswith("~"):
            raise FileNotFoundError(errno.ENOENT, f"no home is known for {folder.parts[0]!r}")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"the cache of data sets, {str(folder)!r}, cannot be written: {error.strerror}. Set "
            "the environment variable HF_HOME to a folder that can be written."
        ) from error


def check_encoding(file: DataFile) -> None:
    """Check that a file is UTF-8.

    Raises:
        UserError: if it is not; the message names the first wrong line.
    """
    with file.path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise file.error(
                    f", line {number}: not UTF-8 ({error.reason} at byte {error.start}); save the "
                    "file as UTF-8."
                ) from error


def first_broken_line(file: DataFile) -> tuple[int, str] | None:
    """Return the number (from 1) of the first line that breaks the format, and why it does."""
    if file.loader == "json":
        content = file.path.read_bytes()
        for number, line in enumerate(io.BytesIO(content), 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                reason = f"not JSON ({error.msg} at character {error.pos + 1})"
                return _broken_document(content, after=number) or (number, reason)
            if not isinstance(value, dict):
                return number, f"a row should be an object, but is {str(value)[:60]!r}"
    if file.loader == "csv":
        with file.path.open(encoding="utf-8", newline="") as lines:
            reader = csv.reader(lines)
            header = next(reader, [])
            for row in reader:
                if row and len(row) != len(header):
                    return reader.line_num, f"{len(row)} values for {len(header)} columns"
    return None


def _broken_document(content: bytes, after: int) -> tuple[int, str] | None:
    """Return where the content breaks if it is read as one document; None if it is JSON Lines.

    It is a document if reading it so gets beyond line ``after``, where reading it as JSON Lines
    failed, and does not end at a line that is a row: then a row before that line was cut off.
    """
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        lines = error.doc.split("\n")
        if error.lineno <= after:
            return None
        try:
            if isinstance(json.loads(lines[error.lineno - 1]), dict):
                return None
        except ValueError:
            pass
        return error.lineno, f"not JSON ({error.msg} at character {error.colno})"
    return None
