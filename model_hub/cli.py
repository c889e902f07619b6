# PYTHON_ARGCOMPLETE_OK: the shell may ask this program what can be completed.
"""The `model-hub` command: reads arguments and prints."""

import argparse
import os
import pathlib
import signal
import sys
import time
from collections.abc import Sequence

import model_hub
from model_hub import _model_commands
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
    try:
        code: int = options.run(options)
        return code
    except UserError as error:
        if options.verbose:
            raise
        rank = int(os.environ.get("RANK", "0"))
        prefix = f"[rank {rank}] " if rank else ""
        print(f"{prefix}model-hub: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Who read our output has gone (`model-hub train ... | head`); Python cannot write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print("model-hub: stopped at once; what was not saved is lost", file=sys.stderr)
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="model-hub",
        description="Fine-tune Hugging Face transformers from one YAML file.",
        epilog="example: model-hub train squad.yaml --config hyperparameters.learning_rate=1e-4\n"
        "completion with TAB, in bash and zsh, for this session: "
        'eval "$(register-python-argcomplete model-hub)"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"model-hub {model_hub.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train = commands.add_parser(
        "train",
        help="train on this machine",
        description="Train on this machine from the YAML that Determined reads. To train with "
        "several processes: torchrun --nproc_per_node=2 -m model_hub train CONFIG.yaml",
        epilog="example: model-hub train squad.yaml --config hyperparameters.learning_rate=1e-4",
    )
    train.set_defaults(run=_train)
    train.add_argument("config_file", nargs="?", metavar="CONFIG.yaml", type=pathlib.Path)
    train.add_argument(
        "context_dir",
        nargs="?",
        metavar="FOLDER",
        type=pathlib.Path,
        help="folder with the trial's code, the working directory of the training; relative paths "
        "in the YAML start there (default: the folder of CONFIG.yaml)",
    )
    train.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set or change a key of the YAML, for instance hyperparameters.learning_rate=1e-4; "
        "may be repeated",
    )
    train.add_argument(
        "--output-dir",
        type=pathlib.Path,
        metavar="FOLDER",
        help="folder of the run (default: runs/NAME-DATE-TIME)",
    )
    train.add_argument(
        "--resume", type=pathlib.Path, metavar="FOLDER", help="continue the run in this folder"
    )
    train.add_argument("--strict", action="store_true", help="keys that nobody reads are errors")
    train.add_argument(
        "--verbose", action="store_true", help="show what happens inside, and tracebacks"
    )
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
        epilog="example: model-hub check squad.yaml --fix",
    )
    check.set_defaults(run=_check, verbose=False)
    check.add_argument("config_file", metavar="CONFIG.yaml", type=pathlib.Path)
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
            file.write_bytes(result.text.encode("utf-8"))
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


def _train(options: argparse.Namespace) -> int:
    # Put off: importing torch and transformers takes seconds, which --help need not wait for.
    from model_hub.huggingface import (
        _console,
        _experiment,
        _local,
        _run,
        _run_folder,
        _settings,
    )

    _console.set_up_logging(verbose=options.verbose, rank=int(os.environ.get("RANK", "0")))
    slots = _run.slots_of_this_run()
    resumed = _run_folder.RunFolder(options.resume, slots) if options.resume else None
    if (resumed is None) == (options.config_file is None):
        raise UserError("name either a CONFIG.yaml, or with --resume the folder of a run.")
    if resumed is not None:
        if options.output_dir is not None:
            raise UserError(
                "--output-dir and --resume exclude each other: a run stays in its folder."
            )
        config, spec, context_dir = resumed.read_run()
    else:
        config = _experiment.read_config(options.config_file)
        context_dir = options.context_dir or options.config_file.parent
        spec = ""
    config = _experiment.with_defaults(_experiment.override(config, options.config))
    spec = spec or _experiment.trial_spec(config.get("entrypoint"))
    seed = _experiment.experiment_seed(config)
    config["hyperparameters"], picked = _experiment.pick_hyperparameters(
        config["hyperparameters"], seed
    )
    trial_class = _experiment.import_trial(spec, context_dir)
    _settings.check_settings(
        trial_class,
        config["hyperparameters"],
        config["data"],
        slots=slots,
        strict=options.strict,
    )
    name = str(config.get("name") or (options.config_file or options.resume).stem)
    with _local.distributed_processes() as distributed:
        folder = resumed or _run_folder.RunFolder(
            distributed.broadcast(options.output_dir or _default_folder(name)), slots
        )
        if distributed.rank == 0 and resumed is None:
            folder.create(config, trial=spec, context_dir=context_dir)
        elif distributed.rank == 0:
            folder.write_config(config)
        searcher = config["searcher"]
        console = _console.Console(
            enabled=distributed.rank == 0,
            searcher_metric=searcher.get("metric"),
            smaller_is_better=bool(searcher["smaller_is_better"]),
        )
        console.say(_console.introduction(spec, distributed.size, seed, picked, folder))
        began = time.monotonic()
        try:
            with _local.working_directory(context_dir):
                result = _local.train_experiment(
                    _local.Experiment(trial_class, config, seed), folder, distributed, console
                )
        except BaseException:
            if distributed.rank == 0:
                folder.discard_if_empty()
            raise
        console.say(_console.summary(result, folder, time.monotonic() - began))
    return 0 if result.stop_signal is None or result.finished else 128 + result.stop_signal


def _default_folder(name: str) -> pathlib.Path:
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    return pathlib.Path("runs") / f"{safe}-{time.strftime('%Y%m%d-%H%M%S')}"


if __name__ == "__main__":
    sys.exit(main())
