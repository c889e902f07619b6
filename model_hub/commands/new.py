"""The command `new`."""

import argparse
import importlib.metadata
import pathlib
import shlex

from model_hub.commands.arguments import Commands, add_command
from model_hub.errors import UserError


def add_new(commands: Commands) -> None:
    """Add ``new``."""
    new = add_command(
        commands,
        "new",
        _run,
        summary="start a project",
        description="Write a folder to start from: a trial, a YAML with comments, made-up sample "
        "data, and a small model without weights. It trains in seconds, without network or GPU.",
        examples=[
            "model-hub new",
            "model-hub new token-classification my-ner && cd my-ner && model-hub train ner.yaml",
        ],
    )
    task = new.add_argument(
        "task", nargs="?", metavar="TASK", help="what to learn; without it, all tasks are listed"
    )
    # argcomplete reads this attribute.
    task.completer = _task_names  # type: ignore[attr-defined]
    new.add_argument(
        "folder", nargs="?", metavar="DIR", type=pathlib.Path, help="a new or empty folder"
    )
    new.add_argument("--list", action="store_true", help="list all tasks")


def _task_names(**_: object) -> list[str]:
    from model_hub.new.tasks import TASKS

    return list(TASKS)


def _run(options: argparse.Namespace) -> int:
    # Imported here, since only this command needs it.
    from model_hub.new.project import write_project
    from model_hub.new.tasks import TASKS, find_task

    if options.list or options.task is None:
        width = max(map(len, TASKS))
        for name, task in TASKS.items():
            print(f"{name:{width}}  {task.summary} ({task.module}.py)")
        return 0
    task = find_task(options.task)
    if options.folder is None:
        raise UserError(
            f"name the folder to write, for instance: model-hub new {task.name} "
            f"my-{task.short_name.replace('_', '-')}"
        )
    write_project(task, options.folder)
    print(f"{options.folder} is ready to train; README.md explains its files. To train:")
    print(f"  cd {shlex.quote(str(options.folder))} && model-hub train {task.short_name}.yaml")
    if task.packages and not _is_installed(task.packages):
        print(f"Its metrics need one more package: pip install {task.packages}")
    return 0


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
