"""What is wrong in a data file: its encoding, its delimiter, or the first line that is broken.

Or what is not wrong in the file at all, but in the folder for what is read of it.
"""

import codecs
import csv
import errno
import io
import json
import pathlib
import tempfile

from model_hub.errors import UserError

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs"}


def check_delimiter(key: str, path: pathlib.Path) -> None:
    """A csv header that is one column with another delimiter in it would fail far from its cause.

    Args:
        key: the YAML key that names the file, for messages.
        path: the file.

    Raises:
        UserError: for such a header.
    """
    with path.open(encoding="utf-8", errors="replace", newline="") as lines:
        header = next(csv.reader(lines), [])
    found = [name for sign, name in _OTHER_DELIMITERS.items() if sign in "".join(header)]
    if found and len(header) == 1:
        raise UserError(
            f"{key}: {str(path)!r} has one column, {header[0]!r}, which looks as if {found[0]} "
            "stood between the columns; write the file with commas as the delimiter."
        )


def check_cache(folder: pathlib.Path) -> None:
    """Checks that what is read of data files can be kept: ``datasets`` names the file instead.

    Args:
        folder: the cache of ``datasets``; it is made, if it is not there.

    Raises:
        UserError: when nothing can be written into it.
    """
    try:
        # "~" stays for a user without a name and without HOME, as containers have them.
        if folder.parts[0].startswith("~"):
            raise FileNotFoundError(errno.ENOENT, f"no home is known for {folder.parts[0]!r}")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"the cache of data sets, {str(folder)!r}, cannot be written: {error.strerror}. Let "
            "the environment variable HF_HOME name a folder that can be."
        ) from error


def check_encoding(key: str, path: pathlib.Path, shown: pathlib.Path) -> None:
    """Checks that a file is UTF-8.

    Args:
        key: the YAML key that names the file, for messages.
        path: the file.
        shown: its name for messages.

    Raises:
        UserError: naming the first line that is not.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise UserError(
                        f"{key}: {str(shown)!r}, line {number}: not UTF-8 ({error.reason} at byte "
                        f"{error.start}); save the file as UTF-8."
                    ) from error


def first_broken_line(loader: str, path: pathlib.Path) -> tuple[int, str] | None:
    """Number (from 1) of the first line that is not what the format wants, and why."""
    if loader == "json":
        content = path.read_bytes()
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
    if loader == "csv":
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.reader(lines)
            header = next(reader, [])
            for row in reader:
                if row and len(row) != len(header):
                    return reader.line_num, f"{len(row)} values for {len(header)} columns"
    return None


def _broken_document(content: bytes, after: int) -> tuple[int, str] | None:
    """Where the content breaks if it is read as one document; None if that is not what it is.

    It is one if reading it so gets further than line ``after``, where reading it by rows ended, and
    does not end at a line that is a row by itself: then a row before it was cut off.
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
