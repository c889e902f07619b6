"""The command `check`."""

import argparse
import os
import pathlib

from model_hub.commands.arguments import Commands, add_command, positive
from model_hub.errors import UserError
from model_hub.experiment import yaml_io

_PREVIEWED = 3


def add_check(commands: Commands) -> None:
    """Add ``check``."""
    check = add_command(
        commands,
        "check",
        _run,
        summary="find mistakes in a YAML before it is submitted",
        description="Find mistakes in an experiment's YAML in a few seconds, without network: "
        "misspelt keys, wrong values, missing files and columns, and what a Determined master "
        "would reject. Prints one line for each, FILE:LINE: error|warning: KEY ...; the exit code "
        "is 1 if there are errors, 2 if the file cannot be read.",
        examples=["model-hub check squad.yaml", "model-hub check squad.yaml --fix"],
    )
    check.add_argument(
        "config_file", metavar="CONFIG.yaml", type=pathlib.Path, help="the experiment"
    )
    check.add_argument(
        "context_dir",
        nargs="?",
        metavar="FOLDER",
        type=pathlib.Path,
        help="folder with the trial's code, which relative paths in the YAML start from (default: "
        "the folder of CONFIG.yaml)",
    )
    check.add_argument(
        "--fix",
        action="store_true",
        help="first replace deprecated keys in the file by their successors; comments and all else "
        "stay unchanged",
    )
    check.add_argument(
        "--rows",
        type=positive,
        metavar="N",
        help="read only the first N rows of each split of the data (default: all)",
    )
    check.add_argument("--strict", action="store_true", help="treat warnings as errors")
    check.add_argument(
        "--preview",
        nargs="?",
        type=int,
        const=_PREVIEWED,
        metavar="N",
        help="also print the first N rows of the training data as the model sees them, with the "
        f"learned tokens between « and » (default: {_PREVIEWED}); for language models and chats",
    )


def _run(options: argparse.Namespace) -> int:
    # Imported here, since only this command needs it.
    from model_hub.check.engine import check_config
    from model_hub.check.fix import fix_deprecated

    # The trial's module is imported, and could ask the Hub for something.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    file: pathlib.Path = options.config_file
    folder = options.context_dir or file.parent
    text = yaml_io.read_yaml(file)
    if not folder.is_dir():
        raise UserError(f"there is no folder {str(folder)!r}.")
    if options.fix:
        result = fix_deprecated(text, folder)
        if result.changes:
            yaml_io.write_text_file(file, result.text)
        for line in result.changes:
            print(f"{file}: fixed: {line}")
        for line in result.kept:
            print(f"{file}: not fixed: {line}")
        text = result.text
    report = check_config(text, folder, options.rows)
    if options.strict:
        report = report.strict()
    for finding in report.findings:
        print(finding.format(str(file)))
    print(f"{file}: {report.summary()}")
    if report.count("error"):
        return 1
    if options.preview is not None:
        from model_hub.check.preview import preview_rows

        for row in preview_rows(text, folder, options.preview):
            print(f"\n{row}")
    return 0
