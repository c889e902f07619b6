# PYTHON_ARGCOMPLETE_OK: the shell may ask this program what can be completed.
"""The `model-hub` command: reads arguments and prints."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

import model_hub
from model_hub import _terminal
from model_hub.commands import models, new, train
from model_hub.commands.check import add_check
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
        _terminal.print_error(error)
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
        epilog=_terminal.format_examples(
            "model-hub check squad.yaml",
            "model-hub train squad.yaml --config hyperparameters.learning_rate=1e-4",
            "model-hub COMMAND --help",
        )
        + "\ncompletion with TAB, for this session, in bash and zsh, and in fish:\n"
        '  eval "$(register-python-argcomplete model-hub)"\n'
        "  register-python-argcomplete --shell fish model-hub | source",
        formatter_class=_terminal.HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"model-hub {model_hub.__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    train.add_train(commands)
    add_check(commands)
    new.add_new(commands)
    models.add_export(commands)
    models.add_predict(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
