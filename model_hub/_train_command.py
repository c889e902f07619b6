"""The command `train`: arguments, the order of a run on this machine, and how it ends."""

import argparse
import os
import pathlib
import signal
import sys
import time
from typing import TypeAlias

from model_hub import _failure, _help
from model_hub.errors import UserError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_train(commands: Commands) -> None:
    """Adds ``train``."""
    train = commands.add_parser(
        "train",
        help="train on this machine",
        description="Train on this machine from the YAML that Determined reads.",
        epilog=_help.examples(
            "model-hub train squad.yaml",
            "model-hub train squad.yaml --config hyperparameters.learning_rate=1e-4",
            "model-hub train --resume runs/squad-20260102-030405",
            "torchrun --nproc_per_node=2 -m model_hub train squad.yaml",
        ),
        formatter_class=_help.HelpFormatter,
    )
    train.set_defaults(run=_run_train)
    train.add_argument(
        "config_file",
        nargs="?",
        metavar="CONFIG.yaml",
        type=pathlib.Path,
        help="the experiment; not with --resume",
    )
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


def _run_train(options: argparse.Namespace) -> int:
    # Put off: importing torch and transformers takes seconds, which --help need not wait for.
    from model_hub.huggingface import (
        _console,
        _experiment,
        _local,
        _run,
        _run_folder,
        _settings,
    )

    _check_options(options)
    _console.set_up_logging(verbose=options.verbose, rank=int(os.environ.get("RANK", "0")))
    slots = _run.slots_of_this_run()
    resumed = _run_folder.RunFolder(options.resume, slots) if options.resume else None
    if resumed is not None:
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
        searcher=config["searcher"],
    )
    name = str(config.get("name") or (options.config_file or options.resume).stem)
    with _local.distributed_processes() as distributed:
        folder = resumed or _run_folder.RunFolder(
            distributed.broadcast(options.output_dir or _default_folder(name)), slots
        )
        problem = ""
        if distributed.rank == 0:
            try:
                if resumed is None:
                    folder.create(config, trial=spec, context_dir=context_dir)
                else:
                    folder.write_config(config)
            except UserError as error:
                problem = str(error)
        # All processes hear of it; the others would wait for the first, and fail with a traceback.
        problem = distributed.broadcast(problem)
        if problem:
            raise UserError(problem)
        searcher = config["searcher"]
        console = _console.Console(
            enabled=distributed.rank == 0,
            searcher_metric=searcher.get("metric"),
            smaller_is_better=bool(searcher["smaller_is_better"]),
        )
        before = folder.steps_completed()
        console.say(
            _console.introduction(spec, distributed.size, seed, picked, folder, trained=before)
        )
        for message in _settings.lengths_not_read(config):
            console.warn(message)
        began = time.monotonic()
        try:
            with _local.working_directory(context_dir):
                result = _local.train_experiment(
                    _local.Experiment(trial_class, config, seed), folder, distributed, console
                )
        except BaseException as error:
            if distributed.rank == 0:
                folder.discard_if_empty()
            if isinstance(error, KeyboardInterrupt):
                if distributed.rank == 0:
                    print(_console.interrupted(folder), file=sys.stderr)
                return 128 + getattr(error, "signum", signal.SIGINT)
            reason = _failure.cannot_write(error, folder.path)
            if reason and isinstance(error, Exception):
                raise UserError(_console.cannot_write(folder, reason)) from error
            raise
        console.say(_console.summary(result, folder, time.monotonic() - began, trained=before))
    return 0 if result.stop_signal is None or result.finished else 128 + result.stop_signal


def _check_options(options: argparse.Namespace) -> None:
    if options.resume is None and options.config_file is None:
        raise UserError("name either a CONFIG.yaml, or with --resume the folder of a run.")
    if options.resume is not None and options.config_file is not None:
        raise UserError(
            f"--resume takes the configuration from its folder. Leave {str(options.config_file)!r} "
            "out, and change single keys with --config."
        )
    if options.resume is not None and options.output_dir is not None:
        raise UserError("--output-dir and --resume exclude each other: a run stays in its folder.")


def _default_folder(name: str) -> pathlib.Path:
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    return pathlib.Path("runs") / f"{safe}-{time.strftime('%Y%m%d-%H%M%S')}"
