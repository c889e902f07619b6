"""Reading local data files into datasets, with errors that name the file and the line."""

import codecs
import contextlib
import csv
import hashlib
import io
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

# Extension of a file -> name of the loader of ``datasets``.
LOADERS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".txt": "text",
    ".arrow": "arrow",
}

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs"}

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
    if loader == "json":
        # The JSON reader lets wrong bytes pass; they would be found when the row is used.
        _check_encoding(key, path)
        if not _is_json_lines(path):
            return _load_json_document(key, path)
    if loader == "csv":
        _check_delimiter(key, path)
    return _load(key, loader, path, path)


def _check_delimiter(key: str, path: pathlib.Path) -> None:
    """A header that is one column with another delimiter in it would fail far from its cause."""
    with path.open(encoding="utf-8", errors="replace", newline="") as lines:
        header = next(csv.reader(lines), [])
    found = [name for sign, name in _OTHER_DELIMITERS.items() if sign in "".join(header)]
    if found and len(header) == 1:
        raise UserError(
            f"{key}: {str(path)!r} has one column, {header[0]!r}, which looks as if {found[0]} "
            "stood between the columns; write the file with commas as the delimiter."
        )


def _load(
    key: str,
    loader: str,
    path: pathlib.Path,
    shown: pathlib.Path,
    features: datasets.Features | None = None,
) -> datasets.Dataset:
    try:
        with _without_error_logs():
            dataset = datasets.load_dataset(
                loader, data_files=os.fspath(path.resolve()), split="train", features=features
            )
    except Exception as error:
        if loader in ("csv", "json", "text"):
            _check_encoding(key, path)
            with path.open("rb") as lines:
                if not any(line.strip() for line in lines):
                    raise UserError(f"{key}: {str(shown)!r} is empty.") from error
        line = _first_broken_line(loader, path)
        if line is not None:
            number, reason = line
            # A copy has one row a line.
            where = "line" if path == shown else "row"
            raise UserError(f"{key}: {str(shown)!r}, {where} {number}: {reason}.") from error
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


def _check_encoding(key: str, path: pathlib.Path) -> None:
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
                        f"{key}: {str(path)!r}, line {number}: not UTF-8 ({error.reason} at byte "
                        f"{error.start}); save the file as UTF-8."
                    ) from error


def _first_broken_line(loader: str, path: pathlib.Path) -> tuple[int, str] | None:
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


def _is_json_lines(path: pathlib.Path) -> bool:
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


def _load_json_document(key: str, path: pathlib.Path) -> datasets.Dataset:
    """Rows of a whole-file JSON, through a JSON Lines copy in the cache of ``datasets``.

    The copy makes the result a dataset with files, whose preparation can be cached.
    """
    content = path.read_bytes()
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
    # How rows are made of the content can change with the version.
    name = hashlib.sha256(model_hub.__version__.encode() + content).hexdigest()[:24]
    copy = pathlib.Path(datasets.config.HF_DATASETS_CACHE) / "model_hub" / f"{name}.jsonl"
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        part = copy.with_suffix(f".{uuid.uuid4().hex}")
        with part.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        # In one step, so that another process never sees half a file.
        os.replace(part, copy)
    return _load(key, "json", copy, path, features)


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
