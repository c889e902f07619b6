"""A data file that the YAML names: its path, its type, and errors that name it."""

import dataclasses
import pathlib

from model_hub.errors import UserError

# Extension of a file -> name of the loader of ``datasets``.
LOADERS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".txt": "text",
    ".arrow": "arrow",
}


@dataclasses.dataclass(frozen=True)
class DataFile:
    """A data file.

    Attributes:
        key: the YAML key that names the file.
        path: the file to read; it may be a copy of the one that the YAML names.
        loader: name of the loader of ``datasets``.
        name: path of the file that the YAML names, for messages.
        line_word: what a line of ``path`` is in that file, for messages.
    """

    key: str
    path: pathlib.Path
    loader: str
    name: str
    line_word: str = "line"

    def error(self, message: str) -> UserError:
        """Return an error whose message begins with the YAML key and the file's name."""
        return UserError(f"{self.key}: {self.name!r}{message}")

    def line_error(self, number: int, reason: str) -> UserError:
        """Return an error about a line of the file, counted from 1."""
        return self.error(f", {self.line_word} {number}: {reason}.")


def find_file(key: str, file: str) -> DataFile:
    """Find a data file.

    Args:
        key: the YAML key that names the file, for messages.
        file: its path; ``~`` is the home folder.

    Raises:
        UserError: if the file does not exist, is empty, or has an unknown extension.
    """
    path = pathlib.Path(file).expanduser()
    if path.is_dir():
        raise UserError(
            f"{key}: {file!r} is a folder; name a file in it, or write data.dataset_name: {file} "
            "for a folder that save_to_disk wrote or that holds the files of a data set."
        )
    if not path.is_file():
        raise UserError(f"{key}: there is no file {file!r} (looked in {pathlib.Path.cwd()}).")
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        raise UserError(
            f"{key}: {file!r} has the extension {path.suffix!r}; write a file of type "
            f"{', '.join(sorted(LOADERS))}."
        )
    if path.stat().st_size == 0:
        raise UserError(f"{key}: {file!r} is empty.")
    return DataFile(key, path, loader, str(path))
