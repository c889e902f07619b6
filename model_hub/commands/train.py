"""The command `train`: its arguments, and the order of a run on this machine."""

import argparse
import functools
import os
import pathlib
import signal
import sys
import time

from model_hub import _terminal
from model_hub.commands.arguments import Commands, add_command, add_verbose
from model_hub.errors import UserError


def add_train(commands: Commands) -> None:
    """Add ``train``."""
    train = add_command(
        commands,
        "train",
        _run,
        summary="train on this machine",
        description="Train on this machine, from the same YAML that Determined reads.",
        examples=[
            "model-hub train squad.yaml",
            "model-hub train squad.yaml --config hyperparameters.learning_rate=1e-4",
            "model-hub train --resume runs/squad-20260102-030405",
            "torchrun --nproc_per_node=2 -m model_hub train squad.yaml",
        ],
    )
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
        "in the YAML start from it (default: the folder of CONFIG.yaml)",
    )
    train.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a key of the YAML, such as hyperparameters.learning_rate=1e-4; may be repeated",
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
    train.add_argument("--strict", action="store_true", help="treat unused keys as errors")
    add_verbose(train)


def _run(options: argparse.Namespace) -> int:
    # Imported here, since importing torch and transformers takes seconds and --help needs neither.
    from model_hub.experiment.config import apply_overrides, experiment_seed, fill_defaults
    from model_hub.experiment.document import read_config
    from model_hub.experiment.entrypoint import trial_spec
    from model_hub.experiment.search_space import pick_hyperparameters
    from model_hub.experiment.trial_class import import_trial, working_directory
    from model_hub.huggingface.config.config_findings import check_settings
    from model_hub.huggingface.config.parsing import with_whole_numbers
    from model_hub.huggingface.runner.console import (
        Console,
        run_interrupted,
        run_introduction,
        run_summary,
        warn_write_failed,
    )
    from model_hub.huggingface.runner.local import train_experiment
    from model_hub.huggingface.runner.log_setup import set_up_logging
    from model_hub.huggingface.runner.processes import distributed_processes, slots_of_this_run
    from model_hub.huggingface.runner.run_folder import RunFolder
    from model_hub.huggingface.tasks import UNSMOOTHED_MODES

    _check_options(options)
    set_up_logging(verbose=options.verbose, rank=int(os.environ.get("RANK", "0")))
    slots = slots_of_this_run()
    resumed = RunFolder(options.resume, slots) if options.resume else None
    if resumed is not None:
        config, spec, context_dir = resumed.read_run()
    else:
        config = read_config(options.config_file)
        context_dir = options.context_dir or options.config_file.parent
        spec = ""
    config = apply_overrides(config, options.config)
    check = functools.partial(
        check_settings, slots=slots, unsmoothed_modes=UNSMOOTHED_MODES, strict=options.strict
    )
    try:
        spec = spec or trial_spec(config.get("entrypoint"))
        trial_class = import_trial(spec, context_dir)
    except UserError as error:
        check(None, config, further=[str(error)] if "entrypoint" in config else [])
        raise
    with working_directory(context_dir):
        warnings = check(trial_class, config)
    config = fill_defaults(config)
    seed = experiment_seed(config)
    hparams, picked = pick_hyperparameters(config["hyperparameters"], seed)
    types = getattr(trial_class, "hyperparameter_types", ())
    config["hyperparameters"] = with_whole_numbers(types, hparams)
    name = str(config.get("name") or (options.config_file or options.resume).stem)
    with distributed_processes() as distributed:
        folder = resumed or RunFolder(
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
        # Every process raises it: the others would wait for rank 0, and fail with a traceback.
        problem = distributed.broadcast(problem)
        if problem:
            raise UserError(problem)
        searcher = config["searcher"]
        console = Console(
            enabled=distributed.rank == 0,
            searcher_metric=searcher.get("metric"),
            smaller_is_better=bool(searcher["smaller_is_better"]),
        )
        steps_before = folder.steps_completed()
        console.say(
            run_introduction(spec, distributed.size, seed, picked, folder, trained=steps_before)
        )
        for message in warnings:
            console.warn(message)
        began = time.monotonic()
        try:
            with working_directory(context_dir):
                result = train_experiment(trial_class, config, folder, distributed, console)
        except BaseException as error:
            if distributed.rank == 0:
                folder.discard_if_empty()
            if isinstance(error, KeyboardInterrupt):
                if distributed.rank == 0:
                    print(run_interrupted(folder), file=sys.stderr)
                return 128 + getattr(error, "signum", signal.SIGINT)
            reason = _terminal.why_write_failed(error, folder.path)
            if reason and isinstance(error, Exception):
                raise UserError(warn_write_failed(folder, reason)) from error
            raise
        console.say(run_summary(result, folder, time.monotonic() - began, trained=steps_before))
    return 0 if result.stop_signal is None or result.finished else 128 + result.stop_signal


def _check_options(options: argparse.Namespace) -> None:
    if options.resume is None and options.config_file is None:
        raise UserError("name either a CONFIG.yaml, or the folder of a run with --resume.")
    if options.resume is not None and options.config_file is not None:
        raise UserError(
            "--resume takes the configuration from the run's folder. Remove "
            f"{str(options.config_file)!r}, and change single keys with --config."
        )
    if options.resume is not None and options.output_dir is not None:
        raise UserError("--output-dir and --resume exclude each other: a run stays in its folder.")


def _default_folder(name: str) -> pathlib.Path:
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    return pathlib.Path("runs") / f"{safe}-{time.strftime('%Y%m%d-%H%M%S')}"
