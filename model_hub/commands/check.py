"""``model-hub check``: arguments and printing."""

import argparse
import os
import pathlib

from model_hub import _terminal
from model_hub.errors import UserError
from model_hub.experiment import yaml_io


def add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command ``check``."""
    check = commands.add_parser(
        "check",
        help="find mistakes in a YAML before it is submitted",
        description="Find mistakes in an experiment's YAML in a few seconds, without network: "
        "misspelt keys, wrong values, missing files and columns, what a Determined master would "
        "refuse. Every finding is one line, FILE:LINE: error|warning: KEY ...; the exit code is 1 "
        "if there are errors, 2 if the file cannot be read.",
        epilog=_terminal.format_examples(
            "model-hub check squad.yaml", "model-hub check squad.yaml --fix"
        ),
        formatter_class=_terminal.HelpFormatter,
    )
    check.set_defaults(run=_run_check, verbose=False)
    check.add_argument(
        "config_file", metavar="CONFIG.yaml", type=pathlib.Path, help="the experiment"
    )
    check.add_argument(
        "context_dir",
        nargs="?",
        metavar="FOLDER",
        type=pathlib.Path,
        help="folder with the trial's code, in which relative paths of the YAML start (default: "
        "the folder of CONFIG.yaml)",
    )
    check.add_argument(
        "--fix",
        action="store_true",
        help="first rewrite deprecated keys of the file in the modern style; comments and all "
        "else stay as they are",
    )
    check.add_argument("--strict", action="store_true", help="warnings are errors")


def _run_check(options: argparse.Namespace) -> int:
    from model_hub.check.engine import check_config
    from model_hub.check.fix import fix_deprecated

    # A trial's module, which is imported, may ask for something of the Hub.
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
    report = check_config(text, folder)
    if options.strict:
        report = report.strict()
    for finding in report.findings:
        print(finding.format(str(file)))
    print(f"{file}: {report.summary()}")
    return 1 if report.count("error") else 0
