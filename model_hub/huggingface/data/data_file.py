"""The data files that the YAML names: their paths, formats, and errors that name them."""

import bz2
import codecs
import contextlib
import contextvars
import dataclasses
import glob
import gzip
import io
import lzma
import os
import pathlib
import zlib
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any, BinaryIO, cast

import pyarrow as pa
import xxhash

from model_hub.errors import UserError

#: Extension of a file -> its format.
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".txt": "text",
    ".arrow": "arrow",
}
_OPENERS: dict[str, Callable[[pathlib.Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": lambda path: io.BufferedReader(pa.input_stream(path, compression="zstd")),
}
_TYPES = f"{', '.join(sorted(FORMATS))}, or one of these followed by {', '.join(_OPENERS)}"
# Files that datasets.Dataset.save_to_disk writes.
_SAVED = ("dataset_dict.json", "state.json")
_HASH_CHUNK = 1 << 22
#: What reading a file raises when it cannot be opened or decompressed.
READ_ERRORS = (OSError, EOFError, lzma.LZMAError, zlib.error)


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How to read files.

    Attributes:
        delimiter: what separates the columns of csv files; None guesses it from the first rows.
        quotechar: what encloses cells of csv files that contain delimiters, quotes or line breaks;
            an empty string takes quotes as part of the text.
        encoding: the text encoding of csv, json and text files, by Python's name.
        typed_columns: columns of csv files that get the type of their cells if all are whole
            numbers or numbers and nothing is lost; cells of other columns are text. None means all
            columns, which may be booleans too.
    """

    delimiter: str | None = None
    quotechar: str = '"'
    encoding: str = "utf-8"
    typed_columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: when delimiter or quotechar is not one character, or the encoding unknown.
        """
        for name, least in (("delimiter", 1), ("quotechar", 0)):
            value = getattr(self, name)
            if value is not None and not (least <= len(value) <= 1 and value not in ("\r", "\n")):
                raise UserError(
                    f"data.{name} is {value!r}, but should be one character, for instance "
                    f"{';' if name == 'delimiter' else chr(34)!r}."
                )
        if self.quotechar and self.quotechar == self.delimiter:
            raise UserError(
                f"data.quotechar and data.delimiter are both {self.quotechar!r}, but should differ."
            )
        try:
            # Encodes a text, since codecs.lookup also finds codecs that are not for text.
            "a".encode(self.encoding)
        except (LookupError, ValueError):
            raise UserError(
                f"data.encoding is {self.encoding!r}, which Python does not know. Write a name "
                "such as utf-8, utf-16 or cp1252."
            ) from None


@dataclasses.dataclass(frozen=True)
class DataFile:
    """A data file.

    Attributes:
        key: the YAML key that names the file.
        path: its path.
        format: a value of :data:`FORMATS`.
    """

    key: str
    path: pathlib.Path
    format: str

    def error(self, message: str) -> UserError:
        """Return an error whose message begins with the YAML key and the file's name."""
        return UserError(f"{self.key}: {str(self.path)!r}{message}")

    def line_error(self, number: int, reason: str, unit: str = "line") -> UserError:
        """Return an error about a line (or row) of the file, counted from 1."""
        return self.error(f", {unit} {number}: {reason}.")

    def or_key(self, advice: str) -> str:
        """Return advice about keys of section ``data``, empty for a file named elsewhere."""
        return advice if self.key.startswith("data.") else ""

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise an error if two columns have the same name."""
        for number, name in enumerate(names):
            if name in names[:number]:
                raise self.error(f" has two columns with the name {name!r}. Rename one of them.")

    def open(self) -> BinaryIO:
        """Open the file for reading bytes, decompressed."""
        opener = _OPENERS.get(self.path.suffix.lower())
        return cast(BinaryIO, opener(self.path) if opener else self.path.open("rb"))

    def lines(self, encoding: str) -> Iterator[str]:
        """Yield the lines with their line breaks, decoded.

        A byte order mark at the beginning is left out.

        Raises:
            UserError: naming the first line that cannot be decoded, or when the file cannot be
                decompressed.
        """
        # utf-8-sig is utf-8 with an optional byte order mark.
        name = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
        try:
            with self.open() as binary, io.TextIOWrapper(binary, name, newline="") as text:
                yield from text
        except UnicodeError as error:
            raise self._encoding_error(encoding, error) from error
        except READ_ERRORS as error:
            raise self.error(f" cannot be read: {error}.") from error

    def _encoding_error(self, encoding: str, error: UnicodeError) -> UserError:
        advice = "Save the file as UTF-8" + self.or_key(
            ", or write its encoding in data.encoding, for instance cp1252 or utf-16"
        )
        with self.open() as binary:
            if binary.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                return self.error(f" begins like UTF-16, not {encoding}. {advice}.")
        with self.open() as binary:
            for number, line in enumerate(binary, 1):
                try:
                    line.decode(encoding)
                except UnicodeDecodeError as found:
                    reason = f"not {encoding} ({found.reason} at byte {found.start})"
                    return self.line_error(number, f"{reason}. {advice}")
        return self.error(f" is not {encoding} ({error}). {advice}.")

    def digest(self) -> str:
        """Return a hash of the file's bytes, as hexadecimal digits.

        Within :func:`known_digests`, files that have one there are not read.
        """
        path = os.fspath(self.path.resolve())
        known = _digests.get({})
        if path not in known:
            found = xxhash.xxh3_128()
            try:
                with self.path.open("rb") as binary:
                    while chunk := binary.read(_HASH_CHUNK):
                        found.update(chunk)
            except OSError as error:
                raise self.error(f" cannot be read: {error}.") from error
            known[path] = found.hexdigest()
        return known[path]


# By path; outside of known_digests nothing is remembered, since the file may change.
_digests: contextvars.ContextVar[MutableMapping[str, str]] = contextvars.ContextVar("digests")


@contextlib.contextmanager
def known_digests(digests: MutableMapping[str, str]) -> Iterator[None]:
    """Take the hashes of files from ``digests``, and add those that are not in it.

    Args:
        digests: hashes by absolute path.
    """
    token = _digests.set(digests)
    try:
        yield
    finally:
        _digests.reset(token)


def find_files(key: str, names: str | Sequence[str]) -> list[DataFile]:
    """Find data files.

    Args:
        key: the YAML key that names them, for messages.
        names: a path, a pattern with ``*`` (``**`` for folders of any depth), ``?`` or ``[]``, a
            folder, or a list of these; ``~`` is the home folder.

    Returns:
        The files in the order of the list; those of a pattern or a folder sorted by name.

    Raises:
        UserError: when a file does not exist, is empty, or has an unknown extension.
    """
    names = [names] if isinstance(names, str) else list(names)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise UserError(f"{key} is {names!r}, but should be a path or a list of paths.")
    return [_data_file(key, path) for name in names for path in _paths(key, name)]


def _paths(key: str, name: str) -> list[pathlib.Path]:
    path = pathlib.Path(name).expanduser()
    if path.is_dir():
        if any((path / saved).is_file() for saved in _SAVED):
            raise UserError(
                f"{key}: {name!r} is a folder that save_to_disk wrote; write data.dataset_name: "
                f"{name} instead."
            )
        found = sorted(p for p in path.iterdir() if p.is_file() and _format(p) is not None)
        if not found:
            raise UserError(f"{key}: the folder {name!r} has no file of type {_TYPES}.")
        return found
    if not path.exists() and glob.has_magic(name):
        found = sorted(map(pathlib.Path, glob.glob(os.fspath(path), recursive=True)))
        found = [p for p in found if p.is_file()]
        if not found:
            raise UserError(f"{key}: no file matches {name!r} (looked in {pathlib.Path.cwd()}).")
        return found
    if not path.is_file():
        raise UserError(f"{key}: there is no file {name!r} (looked in {pathlib.Path.cwd()}).")
    return [path]


def _data_file(key: str, path: pathlib.Path) -> DataFile:
    kind = _format(path)
    if kind is None:
        raise UserError(
            f"{key}: {str(path)!r} has the extension {path.suffix!r}; write a file of type "
            f"{_TYPES}."
        )
    if path.stat().st_size == 0:
        raise UserError(f"{key}: {str(path)!r} is empty.")
    return DataFile(key, path, kind)


def _format(path: pathlib.Path) -> str | None:
    """Return the format of a file by its extension; None if it is not known."""
    name = pathlib.Path(path.stem) if path.suffix.lower() in _OPENERS else path
    return FORMATS.get(name.suffix.lower())
