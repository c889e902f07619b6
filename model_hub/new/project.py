"""Writes the folder of a new project."""

import json
import pathlib
import random
from collections.abc import Sequence

from model_hub.errors import UserError
from model_hub.new.sample_data import Row, different_rows
from model_hub.new.tasks import Task, read_example
from model_hub.new.templates import experiment_yaml, readme_text
from model_hub.new.tiny_models import FAMILIES, row_texts, write_tiny_model

_VALIDATION_ROWS = 50
_IGNORED = "# Files that training writes.\nruns/\n__pycache__/\n"


def write_project(task: Task, folder: pathlib.Path) -> None:
    """Write all files; they are always the same for a task, except for the README's title.

    Raises:
        UserError: if the folder is not empty or cannot be written.
    """
    trial = f"{task.module}.py"
    rows = different_rows(task.make_row, random.Random(task.name), task.rows + _VALIDATION_ROWS)
    train, validation = (
        _to_text(part, task.extension) for part in (rows[: task.rows], rows[task.rows :])
    )
    title = folder.resolve().name
    files = {
        f"{task.short_name}.yaml": experiment_yaml(task),
        f"train.{task.extension}": train,
        f"validation.{task.extension}": validation,
        "README.md": readme_text(task, title, train.partition("\n")[0], _VALIDATION_ROWS),
        ".detignore": _IGNORED,
        ".gitignore": _IGNORED,
        trial: read_example(f"{task.example.partition('/')[0]}/{trial}").decode("utf-8"),
    }
    try:
        _create_folder(folder)
        for name, text in files.items():
            (folder / name).write_bytes(text.encode("utf-8"))
        texts = row_texts(rows[: task.rows])
        write_tiny_model(folder / "model", FAMILIES[task.family], texts, task.chat_template)
    except OSError as error:
        raise UserError(f"cannot write the folder {str(folder)!r}: {error}") from error


def _create_folder(folder: pathlib.Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(
            f"the folder {str(folder)!r} is not empty. Name an empty folder or one that does not "
            "exist yet."
        )
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{str(folder)!r} is a file. Name a folder that does not exist yet.")
    folder.mkdir(parents=True, exist_ok=True)


def _to_text(rows: Sequence[Row], extension: str) -> str:
    if extension == "txt":
        return "".join(row["text"] + "\n" for row in rows)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
