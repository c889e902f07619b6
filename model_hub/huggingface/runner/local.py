"""Training on this machine: Determined's training loop, with a folder instead of a master."""

import contextlib
import pathlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import determined as det
import numpy as np
import torch
from determined import core, pytorch
from determined.common import storage

from model_hub.errors import UserError
from model_hub.experiment.config import experiment_seed
from model_hub.experiment.trial_class import working_directory
from model_hub.huggingface.checkpoint import saving
from model_hub.huggingface.checkpoint.metadata import complete_export
from model_hub.huggingface.runner import run
from model_hub.huggingface.runner.console import Console
from model_hub.huggingface.runner.recorder import RunRecorder
from model_hub.huggingface.runner.run_folder import RunFolder
from model_hub.huggingface.runner.signals import (
    PreemptOnSignal,
    ReportingBatches,
    preempt_on_signals,
)
from model_hub.huggingface.training.resume.controller import ResumableController

# Batches between two reports if the YAML has no scheduling_unit. A master takes 100, with which the
# plot of a short run would have two points.
_REPORTING_PERIOD = 10


def train_experiment(
    trial_class: type[pytorch.PyTorchTrial],
    config: Mapping[str, Any],
    folder: RunFolder,
    distributed: core.DistributedContext,
    console: Console,
) -> run.RunResult:
    """Train on this machine, from the folder's newest checkpoint if there is one.

    ``config`` is the completed configuration, with a value for every hyperparameter; rank 0 of
    ``distributed`` writes to the folder.

    Raises:
        UserError: when something in the configuration is wrong.
    """
    checkpoints = folder.all_checkpoints()
    latest = max(checkpoints, key=lambda entry: entry.steps_completed, default=None)
    steps = latest.steps_completed if latest else 0
    recorder = RunRecorder(folder, config, console, writes=distributed.rank == 0)
    if recorder.writes:
        recorder.continue_from(checkpoints, steps if latest else None)
    with (
        preempt_on_signals(distributed) as preempt,
        core.Context(
            distributed=distributed,
            checkpoint=_LocalCheckpointContext(distributed, recorder),
            preempt=preempt,
            train=recorder,
        ) as core_context,
        contextlib.closing(recorder),
    ):
        seed = experiment_seed(config)
        _seed_everything(seed)
        context = _trial_context(core_context, config, seed, steps, recorder)
        with _invalid_hp_as_user_error():
            trial, periods = run.build_trial(trial_class, context)
        recorder.optimizers = context.optimizers
        searcher = config["searcher"]
        controller = _LocalController(
            trial_inst=trial,
            context=context,
            checkpoint_period=periods.checkpoint,
            validation_period=periods.validation,
            reporting_period=pytorch.Batch(
                ReportingBatches(int(config.get("scheduling_unit") or _REPORTING_PERIOD), preempt)
            ),
            smaller_is_better=bool(searcher["smaller_is_better"]),
            steps_completed=steps,
            latest_checkpoint=latest.uuid if latest else None,
            local_training=True,
            test_mode=False,
            searcher_metric_name=searcher.get("metric"),
            # Without a metric no checkpoint is the best.
            checkpoint_policy=periods.checkpoint_policy if searcher.get("metric") else "all",
            step_zero_validation=periods.validate_first,
            max_length=periods.max_length,
            global_batch_size=config["hyperparameters"].get("global_batch_size"),
            profiling_enabled=False,
        )
        controller.recorder = recorder
        controller.periods = periods
        controller.preempt = preempt
        with _invalid_hp_as_user_error():
            controller.run()
        # A run that is stopped at its last batch has not done its last validation.
        complete = (
            controller._steps_until_complete(periods.max_length) <= 0
            and controller._validation_is_current()
        )
        # Without a signal the trial itself has requested the stop, as early stopping does.
        stopped_by_trial = context.get_stop_requested() and preempt.received is None
        finished = complete or stopped_by_trial
        if finished and recorder.writes and saving.export_trial(trial, folder.model):
            complete_export(trial, folder.model)
        trained = controller.state.batches_trained if controller.state else steps
    return run.RunResult(trained, finished, preempt.received)


class _LocalController(ResumableController):
    """Determined's training loop, with a recorder of every batch."""

    recorder: RunRecorder
    periods: run.Periods
    preempt: PreemptOnSignal

    def _train_batch(self, batch: Any, epoch_idx: int, batch_idx: int) -> Any:
        metrics = super()._train_batch(batch=batch, epoch_idx=epoch_idx, batch_idx=batch_idx)
        self.recorder.record_batch(
            (batch_idx + 1) / self._batches_per_epoch(),
            metrics.get("loss"),
            self.trial.get_batch_length(batch) * self.context.distributed.size,
        )
        return metrics

    def _batches_per_epoch(self) -> int:
        assert self.context._epoch_len is not None  # Set with the loaders, before the loop.
        return self.context._epoch_len

    def _run(self) -> None:
        trained = self.state.batches_trained if self.state else 0
        total = self.periods.total_batches(self._batches_per_epoch())
        self.recorder.epochs = trained / self._batches_per_epoch()
        self.recorder.console.start(total, trained)
        self.recorder.start_clock()
        self.preempt.training = True
        super()._run()

    def _validate(self) -> dict[str, Any]:
        metrics: dict[str, Any] = super()._validate()
        self.recorder.start_clock()
        return metrics

    def _check_searcher_metric(self, val_metrics: dict[str, Any]) -> Any:
        if self.searcher_metric_name not in val_metrics:
            found = [name for name in val_metrics if name not in ("batches", "epochs")]
            raise UserError(
                f"searcher.metric is {self.searcher_metric_name!r}, but the trial reports "
                f"{', '.join(found)}. Write one of these."
            )
        return super()._check_searcher_metric(val_metrics)

    def _save(self, path: pathlib.Path) -> None:
        # Determined copies the working directory into a checkpoint. With data and runs in it, that
        # can have any size; the run's folder has a copy of the code only.
        with working_directory(self.recorder.folder.code):
            super()._save(path)


class _LocalCheckpointContext(core.DummyCheckpointContext):
    """Stores checkpoints in the run's folder."""

    def __init__(self, distributed: core.DistributedContext, recorder: RunRecorder) -> None:
        manager = storage.SharedFSStorageManager(str(recorder.folder.checkpoints))
        super().__init__(distributed, manager)
        self._recorder = recorder

    @contextlib.contextmanager
    def restore_path(self, storage_id: str, *_: Any, **__: Any) -> Iterator[pathlib.Path]:
        # The files are local; Determined's method warns that there is nothing to download.
        yield self._recorder.folder.checkpoints / storage_id

    def _report_checkpoint(
        self, storage_id: str, resources: Any = None, metadata: dict[str, Any] | None = None
    ) -> None:
        self._recorder.record_checkpoint(storage_id, int((metadata or {})["steps_completed"]))


@contextlib.contextmanager
def _invalid_hp_as_user_error() -> Iterator[None]:
    """Raise a ``UserError`` for ``InvalidHP``, since there is no search to continue."""
    try:
        yield
    except det.InvalidHP as error:
        raise UserError(f"the trial rejects its hyperparameters (InvalidHP): {error}") from error


def _trial_context(
    core_context: core.Context,
    config: Mapping[str, Any],
    seed: int,
    steps_completed: int,
    recorder: RunRecorder,
) -> pytorch.PyTorchTrialContext:
    context = pytorch.PyTorchTrialContext(
        core_context=core_context,
        trial_seed=seed,
        hparams=config["hyperparameters"],
        slots_per_trial=core_context.distributed.size,
        num_gpus=torch.cuda.device_count(),
        exp_conf=dict(config),
        aggregation_frequency=int(config["optimizations"]["aggregation_frequency"]),
        steps_completed=steps_completed,
        managed_training=True,
        debug_enabled=False,
        # The recorder writes one file per run; Determined would start a new file every second.
        enable_tensorboard_logging=False,
    )
    if recorder.writes:
        context._tbd_writer = recorder.writer
    return context


def _seed_everything(seed: int) -> None:
    """Seed all generators as Determined seeds a trial, the same on all slots."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
