# PYTHON_ARGCOMPLETE_OK: tells argcomplete's global completion that this program supports it.
"""The `model-hub` command: its parser, and what errors become."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

import model_hub
from model_hub import _terminal
from model_hub.commands.check import add_check
from model_hub.commands.export import add_export
from model_hub.commands.new import add_new
from model_hub.commands.predict import add_predict
from model_hub.commands.train import add_train
from model_hub.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    The exit code is 0 for success, 1 if a check has found errors, 2 for an error in configuration
    or data, and 128 plus the number of the signal for a training that a signal has stopped; such a
    training can be resumed.
    """
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        # Imported here, since only completion in a shell needs it. The call exits the process.
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
        # The reader of the output has exited (`model-hub train ... | head`). Python would fail
        # again when it flushes standard output.
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
        + "\ncompletion with TAB in this session of bash or zsh, or of fish:\n"
        '  eval "$(register-python-argcomplete model-hub)"\n'
        "  register-python-argcomplete --shell fish model-hub | source",
        formatter_class=_terminal.HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"model-hub {model_hub.__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    for add_command in (add_train, add_check, add_new, add_export, add_predict):
        add_command(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
