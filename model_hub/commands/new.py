"""The command `new`: arguments and printing."""

import argparse
import importlib.metadata
import pathlib
import shlex
from typing import TypeAlias

from model_hub import _terminal
from model_hub.errors import UserError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_new(commands: Commands) -> None:
    """Adds ``new``."""
    new = commands.add_parser(
        "new",
        help="start a project of your own",
        description="Write a folder to start from: the trial of an example, a YAML with comments, "
        "made-up sample data, and a small model without weights. It trains at once, in seconds, "
        "without network or GPU.",
        epilog=_terminal.format_examples(
            "model-hub new",
            "model-hub new token-classification my-ner && cd my-ner && model-hub train ner.yaml",
        ),
        formatter_class=_terminal.HelpFormatter,
    )
    new.set_defaults(run=_run_new, verbose=False)
    task = new.add_argument(
        "task", nargs="?", metavar="TASK", help="what to learn; without it, all tasks are listed"
    )
    # Read by argcomplete.
    task.completer = _task_names  # type: ignore[attr-defined]
    new.add_argument(
        "folder", nargs="?", metavar="DIR", type=pathlib.Path, help="a new or empty folder"
    )
    new.add_argument("--list", action="store_true", help="list all tasks")


def _task_names(**_: object) -> list[str]:
    from model_hub.new.tasks import TASKS

    return list(TASKS)


def _run_new(options: argparse.Namespace) -> int:
    # Put off: only this command needs the table of tasks.
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
    print(f"{options.folder} has all that a training needs; README.md says what is what. To train:")
    print(f"  cd {shlex.quote(str(options.folder))} && model-hub train {task.short_name}.yaml")
    if task.packages and not _is_installed(task.packages):
        print(f"Its metrics need a package more: pip install {task.packages}")
    return 0


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
