# PYTHON_ARGCOMPLETE_OK: the shell may ask this program what can be completed.
"""The `model-hub` command: reads arguments and prints."""

import argparse
import os
import pathlib
import signal
import sys
from collections.abc import Sequence

import model_hub
from model_hub import _failure, _help, _model_commands, _train_command, _yaml
from model_hub._new import command
from model_hub.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code.

    0 is success, 1 errors that a check has found, 2 an error in configuration or data, 128 plus the
    number of a signal a training that was stopped by it and can be continued.
    """
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        # Put off: only a shell that completes a command line needs it. It ends the process.
        import argcomplete

        argcomplete.autocomplete(parser)
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        code: int = options.run(options)
        return code
    except UserError as error:
        if options.verbose:
            raise
        _failure.tell(error)
        return 2
    except BrokenPipeError:
        # Who read our output has gone (`model-hub train ... | head`); Python cannot write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            print("\nmodel-hub: stopped", file=sys.stderr)
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="model-hub",
        description="Fine-tune Hugging Face transformers from one YAML file.",
        epilog=_help.examples(
            "model-hub check squad.yaml",
            "model-hub train squad.yaml --config hyperparameters.learning_rate=1e-4",
            "model-hub COMMAND --help",
        )
        + "\ncompletion with TAB, for this session, in bash and zsh, and in fish:\n"
        '  eval "$(register-python-argcomplete model-hub)"\n'
        "  register-python-argcomplete --shell fish model-hub | source",
        formatter_class=_help.HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"model-hub {model_hub.__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    _train_command.add_train(commands)
    _add_check(commands)
    command.add_new(commands)
    _model_commands.add_export(commands)
    _model_commands.add_predict(commands)
    return parser


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    check = commands.add_parser(
        "check",
        help="find mistakes in a YAML before it is submitted",
        description="Find mistakes in an experiment's YAML in a few seconds, without network: "
        "misspelt keys, wrong values, missing files and columns, what a Determined master would "
        "refuse. Every finding is one line, FILE:LINE: error|warning: KEY ...; the exit code is 1 "
        "if there are errors, 2 if the file cannot be read.",
        epilog=_help.examples("model-hub check squad.yaml", "model-hub check squad.yaml --fix"),
        formatter_class=_help.HelpFormatter,
    )
    check.set_defaults(run=_check, verbose=False)
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


def _check(options: argparse.Namespace) -> int:
    from model_hub._check import engine, fix

    # A trial's module, which is imported, may ask for something of the Hub.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    file: pathlib.Path = options.config_file
    folder = options.context_dir or file.parent
    text = engine.read(file)
    if not folder.is_dir():
        raise UserError(f"there is no folder {str(folder)!r}.")
    if options.fix:
        result = fix.fixed(text, folder)
        if result.changes:
            _yaml.write(file, result.text)
        for line in result.changes:
            print(f"{file}: fixed: {line}")
        for line in result.kept:
            print(f"{file}: not fixed: {line}")
        text = result.text
    report = engine.check(text, folder)
    if options.strict:
        report = report.strict()
    for finding in report.findings:
        print(finding.shown(str(file)))
    print(f"{file}: {report.summary()}")
    return 1 if report.count("error") else 0


if __name__ == "__main__":
    sys.exit(main())
