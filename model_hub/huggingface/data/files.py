"""Reading local data files into datasets, with errors that name the file and the line."""

import contextlib
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
from model_hub.errors import UserError
from model_hub.huggingface.data.file_errors import (
    check_cache,
    check_delimiter,
    check_encoding,
    first_broken_line,
)

# Extension of a file -> name of the loader of ``datasets``.
LOADERS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".txt": "text",
    ".arrow": "arrow",
}

SQUAD_FEATURES = datasets.Features(
    {
        "id": datasets.Value("string"),
        "title": datasets.Value("string"),
        "context": datasets.Value("string"),
        "question": datasets.Value("string"),
        "answers": {
            "text": datasets.List(datasets.Value("string")),
            "answer_start": datasets.List(datasets.Value("int32")),
        },
    }
)


def split_sources(data_config: Mapping[str, Any]) -> dict[str, str]:
    """Where the splits of :func:`model_hub.huggingface.default_load_dataset` come from.

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


def readable_file(key: str, file: str) -> tuple[pathlib.Path, str]:
    """The path of a data file, and the name of the loader of ``datasets`` for it.

    Args:
        key: the YAML key that names the file, for messages.
        file: its path.

    Raises:
        UserError: when the file does not exist, is empty, or has an unknown extension.
    """
    path = pathlib.Path(file).expanduser()
    if path.is_dir():
        raise UserError(
            f"{key}: {file!r} is a folder; name a file in it, or write data.dataset_name: {file} "
            "for a folder that save_to_disk has written or that holds the files of a data set."
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
    return path, loader


def load_file(key: str, file: str) -> datasets.Dataset:
    """Loads one local file.

    JSON may be one object a line, a list of objects, ``{"data": [...]}``, or the nested SQuAD
    layout (articles, paragraphs, questions), which becomes flat rows.

    Args:
        key: the YAML key that names the file, for messages.
        file: its path.

    Raises:
        UserError: when the file does not exist, is empty, has an unknown extension, or a broken
            line.
    """
    path, loader = readable_file(key, file)
    if loader == "json":
        # The JSON reader lets wrong bytes pass; they would be found when the row is used.
        check_encoding(key, path, path)
        if not is_json_lines(path):
            return _load_json_document(key, path)
    if loader == "csv":
        check_delimiter(key, path)
    return load(key, loader, path, path)


def load(
    key: str,
    loader: str,
    path: pathlib.Path,
    shown: pathlib.Path,
    features: datasets.Features | None = None,
    *,
    line_word: str = "line",
    cache_dir: pathlib.Path | None = None,
) -> datasets.Dataset:
    """Loads a file of a known type.

    Args:
        key: the YAML key that names the file, for messages.
        loader: name of the loader of ``datasets``.
        path: the file.
        shown: the file's name for messages; another one where ``path`` is a copy.
        features: types of the columns; None finds them.
        line_word: what a line of it is in the file that is shown.
        cache_dir: where ``datasets`` keeps what it has read; None is its default.

    Raises:
        UserError: when the file cannot be read; it names the line that is broken. Or when what is
            read cannot be kept.
    """
    try:
        with _without_error_logs():
            dataset = datasets.load_dataset(
                loader,
                data_files=os.fspath(path.resolve()),
                split="train",
                features=features,
                cache_dir=cache_dir and os.fspath(cache_dir),
            )
    except Exception as error:
        check_cache(cache_dir or pathlib.Path(datasets.config.HF_DATASETS_CACHE))
        if loader in ("csv", "json", "text"):
            check_encoding(key, path, shown)
            with path.open("rb") as lines:
                if not any(line.strip() for line in lines):
                    raise UserError(f"{key}: {str(shown)!r} is empty.") from error
        line = first_broken_line(loader, path)
        if line is not None:
            number, reason = line
            raise UserError(f"{key}: {str(shown)!r}, {line_word} {number}: {reason}.") from error
        cause = root_cause(error)
        if "corresponds to no data" in str(cause):
            raise UserError(f"{key}: {str(shown)!r} has no rows.") from error
        raise UserError(f"{key}: {str(shown)!r} cannot be read as {loader}: {cause}") from error
    if len(dataset) == 0:
        raise UserError(f"{key}: {str(shown)!r} has no rows.")
    return dataset


@contextlib.contextmanager
def _without_error_logs() -> Iterator[None]:
    """Keeps ``datasets`` from logging what it raises as well: it is told once, and by us."""
    verbosity = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)


def root_cause(error: BaseException) -> BaseException:
    """What an error of ``datasets``, which says little itself, was raised from in the end."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def is_json_lines(path: pathlib.Path) -> bool:
    """Whether the first line is a row; a whole document on one line is not."""
    with path.open("rb") as lines:
        first = next((line for line in lines if line.strip()), b"")
        alone = not any(line.strip() for line in lines)
    try:
        value = json.loads(first)
    except ValueError:
        # A list or object over several lines, or a first row that is broken.
        return not first.lstrip().startswith(b"[") and first.strip() != b"{" and not _parses(path)
    return isinstance(value, dict) and not (alone and isinstance(value.get("data"), list))


def _parses(path: pathlib.Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def document_rows(
    key: str, path: pathlib.Path, content: bytes
) -> tuple[list[dict[str, Any]], datasets.Features | None]:
    """Rows of a whole-file JSON, and their types where the layout says them.

    Args:
        key: the YAML key that names the file, for messages.
        path: the file.
        content: what it holds.

    Raises:
        UserError: when it is no JSON, or holds no rows.
    """
    try:
        document = json.loads(content)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{key}: {str(path)!r}, line {error.lineno}: not JSON ({error.msg})."
        ) from error
    rows = document.get("data") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(
            f"{key}: {str(path)!r} should hold one object a line, a list of objects, or an object "
            "whose 'data' is such a list."
        )
    if not rows:
        raise UserError(f"{key}: {str(path)!r} has no rows.")
    features = None
    if "paragraphs" in rows[0]:
        features = SQUAD_FEATURES
        rows = _flat_rows(key, path, rows)
    return rows, features


def _load_json_document(key: str, path: pathlib.Path) -> datasets.Dataset:
    """Rows of a whole-file JSON, through a JSON Lines copy in the cache of ``datasets``.

    The copy makes the result a dataset with files, whose preparation can be cached.
    """
    content = path.read_bytes()
    rows, features = document_rows(key, path, content)
    # How rows are made of the content can change with the version.
    name = hashlib.sha256(model_hub.__version__.encode() + content).hexdigest()[:24]
    copy = pathlib.Path(datasets.config.HF_DATASETS_CACHE) / "model_hub" / f"{name}.jsonl"
    if not copy.exists():
        check_cache(copy.parent)
        part = copy.with_suffix(f".{uuid.uuid4().hex}")
        with part.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        # In one step, so that another process never sees half a file.
        os.replace(part, copy)
    # The copy has one row a line.
    return load(key, "json", copy, path, features, line_word="row")


def _flat_rows(
    key: str, path: pathlib.Path, articles: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, article in enumerate(articles, 1):
        try:
            rows.extend(flatten_squad([article]))
        except (AttributeError, KeyError, TypeError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise UserError(
                f"{key}: {str(path)!r} looks like nested SQuAD, but in article {number} {what}; "
                "it should be data > paragraphs > {context, qas > {id, question, answers > {text, "
                "answer_start}}}."
            ) from error
    return rows


def flatten_squad(articles: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Flat rows of the nested layout in which SQuAD v1.1 and v2.0 are published.

    Args:
        articles: the list under ``data``.

    Yields:
        Rows with id, title, context, question and answers ``{text: [...], answer_start: [...]}``;
        an unanswerable question has empty lists.
    """
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = [] if question.get("is_impossible") else question.get("answers", [])
                yield {
                    "id": str(question["id"]),
                    "title": article.get("title", ""),
                    "context": paragraph["context"],
                    "question": question["question"],
                    "answers": {
                        "text": [answer["text"] for answer in answers],
                        "answer_start": [answer["answer_start"] for answer in answers],
                    },
                }
