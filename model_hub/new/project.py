"""Writes the folder of a new project."""

import json
import pathlib
import random
from collections.abc import Sequence

from model_hub.errors import UserError
from model_hub.new.sample_data import Row, different_rows
from model_hub.new.tasks import Task
from model_hub.new.templates import experiment_yaml, readme_text
from model_hub.new.tiny_models import FAMILIES, row_texts, write_tiny_model

_PACKAGE = pathlib.Path(__file__).parents[1]
# setup.py puts them there when a wheel is built. In a checkout, and so in an editable install, they
# are where they are written.
_PACKED = _PACKAGE / "new" / "trials"
_CHECKOUT = _PACKAGE.parent / "examples" / "huggingface"


def trial_source(task: Task) -> bytes:
    """The text of the trial's file.

    Raises:
        UserError: when this installation does not have it.
    """
    name = f"{task.module}.py"
    for path in (_PACKED / name, _CHECKOUT / task.folder / name):
        if path.is_file():
            return path.read_bytes()
    raise UserError(
        f"this installation of model-hub has no {name}: it was built without the folder "
        "examples/huggingface. Install it from a complete copy of its repository."
    )


VALIDATION_ROWS = 50
_NOT_SENT = "# What trainings write.\nruns/\n__pycache__/\n"


def write_project(task: Task, folder: pathlib.Path) -> None:
    """Writes all files; the same task gives the same bytes, but for the folder's name.

    Args:
        task: the task.
        folder: it must be empty, or not be there.

    Raises:
        UserError: when there is something, or it cannot be written.
    """
    trial = trial_source(task)
    rows = different_rows(task.write, random.Random(task.name), task.rows + VALIDATION_ROWS)
    train, validation = rows[: task.rows], rows[task.rows :]
    texts = {
        f"{task.short_name}.yaml": experiment_yaml(task),
        f"train.{task.extension}": _lines(train, task.extension),
        f"validation.{task.extension}": _lines(validation, task.extension),
        "README.md": readme_text(
            task,
            folder.resolve().name,
            _lines(train[:1], task.extension).rstrip("\n"),
            VALIDATION_ROWS,
        ),
        ".detignore": _NOT_SENT,
        ".gitignore": _NOT_SENT,
    }
    try:
        _make_empty(folder)
        for name, text in texts.items():
            (folder / name).write_bytes(text.encode("utf-8"))
        (folder / f"{task.module}.py").write_bytes(trial)
        write_tiny_model(
            folder / "model", FAMILIES[task.family], row_texts(list(train)), task.chat_template
        )
    except OSError as error:
        raise UserError(f"cannot write the folder {str(folder)!r}: {error}") from error


def _make_empty(folder: pathlib.Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(
            f"the folder {str(folder)!r} is not empty. Name one that is, or that is not there yet."
        )
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{str(folder)!r} is a file. Name a folder that is not there yet.")
    folder.mkdir(parents=True, exist_ok=True)


def _lines(rows: Sequence[Row], extension: str) -> str:
    if extension == "txt":
        return "".join(row["text"] + "\n" for row in rows)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
