"""Loads local data files into datasets; errors name the file and the line."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import datasets

import model_hub
from model_hub.huggingface.data.data_file import DataFile, find_file
from model_hub.huggingface.data.file_errors import (
    check_cache,
    check_delimiter,
    check_encoding,
    first_broken_line,
)
from model_hub.huggingface.data.json_documents import document_rows, is_json_lines


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


def load_file(key: str, file: str) -> datasets.Dataset:
    """Load a local file.

    JSON may be one object a line, a list of objects, ``{"data": [...]}``, or the nested layout of
    SQuAD (articles, paragraphs, questions), which is flattened to rows.

    Args:
        key: the YAML key that names the file, for messages.
        file: its path.

    Raises:
        UserError: if the file does not exist, is empty, has an unknown extension, or a broken line.
    """
    found = find_file(key, file)
    if found.loader == "json":
        # The JSON loader accepts bytes that are not UTF-8; they would fail where the row is used.
        check_encoding(found)
        if not is_json_lines(found.path):
            return _load_json_document(found)
    if found.loader == "csv":
        check_delimiter(found)
    return load(found)


def load(
    file: DataFile,
    features: datasets.Features | None = None,
    *,
    cache_dir: pathlib.Path | None = None,
) -> datasets.Dataset:
    """Load a file by the loader of ``datasets`` for its type.

    Args:
        file: the file.
        features: types of the columns; None infers them.
        cache_dir: the cache of ``datasets``; None is its default.

    Raises:
        UserError: if the file cannot be read (the message names the line that is broken), or the
            cache cannot be written.
    """
    try:
        with _without_error_logs():
            dataset = datasets.load_dataset(
                file.loader,
                data_files=os.fspath(file.path.resolve()),
                split="train",
                features=features,
                cache_dir=cache_dir and os.fspath(cache_dir),
            )
    except Exception as error:
        check_cache(cache_dir or pathlib.Path(datasets.config.HF_DATASETS_CACHE))
        if file.loader in ("csv", "json", "text"):
            check_encoding(file)
            with file.path.open("rb") as lines:
                if not any(line.strip() for line in lines):
                    raise file.error(" is empty.") from error
        broken = first_broken_line(file)
        if broken is not None:
            raise file.line_error(*broken) from error
        cause = root_cause(error)
        if "corresponds to no data" in str(cause):
            raise file.error(" has no rows.") from error
        raise file.error(f" cannot be read as {file.loader}: {cause}") from error
    if len(dataset) == 0:
        raise file.error(" has no rows.")
    return dataset


@contextlib.contextmanager
def _without_error_logs() -> Iterator[None]:
    """Keep ``datasets`` from logging the errors that it also raises."""
    verbosity = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)


def root_cause(error: BaseException) -> BaseException:
    """Return the first error of a chain; those that ``datasets`` raises from it say little."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _load_json_document(file: DataFile) -> datasets.Dataset:
    """Load a document through a copy with one row a line in the cache of ``datasets``.

    The copy makes the result a dataset with files, whose preparation can be cached.
    """
    content = file.path.read_bytes()
    rows, features = document_rows(file, content)
    # The version too, since the way rows are made of the content can change with it.
    name = hashlib.sha256(model_hub.__version__.encode() + content).hexdigest()[:24]
    copy = pathlib.Path(datasets.config.HF_DATASETS_CACHE) / "model_hub" / f"{name}.jsonl"
    if not copy.exists():
        check_cache(copy.parent)
        part = copy.with_suffix(f".{uuid.uuid4().hex}")
        with part.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)
        # Replaced atomically, so that another process never sees half a file.
        os.replace(part, copy)
    return load(dataclasses.replace(file, path=copy, line_word="row"), features)
