"""Arguments that several commands share."""

import argparse
from collections.abc import Callable
from typing import TypeAlias

from model_hub import _terminal

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    description: str,
    examples: list[str],
) -> argparse.ArgumentParser:
    """Add a command to the parser.

    ``run`` gets the parsed arguments and returns the exit code. ``summary`` is the command's line
    in the list of commands; its own help has ``description`` and ``examples``.
    """
    command = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=_terminal.format_examples(*examples),
        formatter_class=_terminal.HelpFormatter,
    )
    command.set_defaults(run=run, verbose=False)
    return command


def positive(text: str) -> int:
    """Return a whole number of at least 1; for ``type`` of an argument."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def add_verbose(command: argparse.ArgumentParser) -> None:
    """Add ``--verbose``."""
    command.add_argument(
        "--verbose", action="store_true", help="show details of the progress, and tracebacks"
    )


def add_checkpoint(
    command: argparse.ArgumentParser, metavar: str, sources: str, *, which: str | None
) -> None:
    """Add the arguments that name a checkpoint, and ``--verbose``.

    ``sources`` is what the checkpoint may also be. ``which`` is the default of ``--which``; None
    stands for the run's final model.
    """
    command.add_argument(
        "checkpoint",
        metavar=metavar,
        help=f"{sources}the folder of a run, the folder of a checkpoint, or the UUID of a "
        "checkpoint on a cluster",
    )
    default = which or "the final model in model/, or else the best"
    command.add_argument(
        "--which",
        choices=("best", "latest"),
        default=which,
        help="of a run, take the checkpoint with the best searcher.metric, or the latest one "
        f"(default: {default})",
    )
    command.add_argument(
        "--master",
        metavar="URL",
        help="address of the cluster's master (default: the environment variable DET_MASTER)",
    )
    add_verbose(command)
