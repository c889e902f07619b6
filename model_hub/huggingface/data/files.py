"""Loads data files into datasets through the cache; errors name the file and the line."""

import dataclasses
import errno
import itertools
import os
import pathlib
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
from datasets.fingerprint import Hasher

import model_hub
from model_hub.errors import UserError
from model_hub.huggingface.data.convert import convert
from model_hub.huggingface.data.csv_reader import log_delimiter
from model_hub.huggingface.data.data_file import DataFile, ReadOptions, find_files
from model_hub.huggingface.data.origin import ORIGIN_FILE


def split_sources(data_config: Mapping[str, Any]) -> dict[str, str]:
    """Return where the splits of :func:`model_hub.huggingface.default_load_dataset` come from.

    Args:
        data_config: section ``data`` of the YAML.

    Returns:
        By name of the split the YAML key and its value, for messages.
    """
    name = data_config.get("dataset_name")
    if name:
        train, validation = (f"data.dataset_name {name!r}, {s}" for s in ("train", "validation"))
    else:
        train = validation = f"data.train_file {data_config.get('train_file')!r}"
    file = data_config.get("validation_file")
    return {"train": train, "validation": f"data.validation_file {file!r}" if file else validation}


def load_file(
    key: str, names: str | Sequence[str], options: ReadOptions | None = None
) -> datasets.Dataset:
    """Load local files as one dataset.

    Args:
        key: the YAML key that names them, for messages.
        names: paths, patterns or folders; see :func:`find_files`.
        options: how to read them; None is the default.

    Raises:
        UserError: as :func:`load_files`.
    """
    return load_files({"train": find_files(key, names)}, options)["train"]


def load_files(
    files: Mapping[str, Sequence[DataFile]],
    options: ReadOptions | None = None,
    max_rows: Mapping[str, int] | None = None,
) -> datasets.DatasetDict:
    """Load the files of several splits.

    They are converted to Arrow files in the cache of ``datasets``, which are found again as long as
    the contents of all files are the same, and which are not read into memory. A column has one
    type in all files and splits. JSON may be one object a line, a list of objects,
    ``{"data": [...]}``, or the nested layout of SQuAD, which is flattened to rows.

    Args:
        files: the files of each split.
        options: how to read them; None is the default.
        max_rows: the most rows to read, for some of the splits.

    Raises:
        UserError: naming the file and the line that cannot be read.
    """
    options = options or ReadOptions()
    key = Hasher.hash(
        (
            # The version, since the same contents may be read differently by another.
            model_hub.__version__,
            dataclasses.astuple(options),
            sorted((max_rows or {}).items()),
            [
                (split, [(file.path.name, file.format, file.digest()) for file in part])
                for split, part in files.items()
            ],
        )
    )
    cache = pathlib.Path(datasets.config.HF_DATASETS_CACHE) / "model_hub"
    folder = cache / key
    names = [ORIGIN_FILE, *(f"{split}.arrow" for split in files)]
    if not _has_files(folder, names):
        _check_cache(cache)
        part = cache / f"{key}.{uuid.uuid4().hex}"
        part.mkdir()
        try:
            convert(files, options, max_rows or {}, part)
            if folder.exists() and not _has_files(folder, names):
                shutil.rmtree(folder)  # Something has deleted files of the cache.
            # Renamed when it is whole, so that another process never sees half of it.
            os.rename(part, folder)
        except OSError as error:
            if not _has_files(folder, names):
                raise UserError(
                    f"the cache of data sets, {str(cache)!r}, cannot be written: {error.strerror}."
                ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
    # Also where the cache had the rows, since it may have got them in a `model-hub check`.
    for file in itertools.chain(*files.values()):
        log_delimiter(file, options)
    return datasets.DatasetDict(
        {
            split: datasets.Dataset(
                datasets.table.MemoryMappedTable.from_file(os.fspath(folder / f"{split}.arrow")),
                # As datasets says that rows are lines of text files.
                datasets.DatasetInfo(
                    builder_name="text" if all(f.format == "text" for f in part) else None
                ),
                fingerprint=Hasher.hash((key, split)),
            )
            for split, part in files.items()
        }
    )


def _has_files(folder: pathlib.Path, names: Sequence[str]) -> bool:
    """Return whether a folder has files of these names that are not empty."""
    return all((folder / n).is_file() and (folder / n).stat().st_size > 0 for n in names)


def _check_cache(folder: pathlib.Path) -> None:
    """Create the cache and check that it can be written.

    Raises:
        UserError: if it cannot.
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
