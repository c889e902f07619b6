"""What a run is made of, on a cluster and on this machine alike; and the run on a cluster."""

import contextlib
import dataclasses
import logging
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import determined as det
import torch
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface import _config, _schedule, _settings

logger = logging.getLogger("model_hub")


@dataclasses.dataclass(frozen=True)
class Periods:
    """How long a trial trains, and when it validates, saves and reports.

    Attributes:
        length: how long the training is, in units of ``unit``.
        unit: ``epochs`` or ``batches``.
        validation: time between two validations.
        checkpoint: time between two checkpoints.
        checkpoint_policy: ``best``, ``all`` or ``none``: which validations are followed by one.
        validate_first: whether to validate before the first batch.
    """

    length: int
    unit: str
    validation: pytorch.TrainUnit
    checkpoint: pytorch.TrainUnit
    checkpoint_policy: str
    validate_first: bool

    @property
    def max_length(self) -> pytorch.Batch | pytorch.Epoch:
        """The length as Determined takes it."""
        return (pytorch.Epoch if self.unit == "epochs" else pytorch.Batch)(self.length)

    def total_batches(self, batches_per_epoch: int) -> int:
        """The length in batches."""
        return self.length * (batches_per_epoch if self.unit == "epochs" else 1)


@dataclasses.dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        steps_completed: batches trained.
        finished: False if it was stopped before its end.
        stop_signal: the signal that stopped it, or None.
        metrics: results of the last validation.
    """

    steps_completed: int
    finished: bool
    stop_signal: int | None
    metrics: dict[str, Any]


def read_periods(config: Mapping[str, Any], hparams: Mapping[str, Any]) -> Periods:
    """The periods that a completed experiment configuration asks for.

    Raises:
        UserError: when the length of the training or the checkpoint policy is not as it should be.
    """
    length = _config.training_length(hparams, config)
    if length is None:
        raise UserError(
            "the length of the training is not said: write hyperparameters.num_train_epochs or "
            "hyperparameters.max_steps (old style: searcher.max_length)."
        )
    unit, count = length
    policy = config["checkpoint_policy"]
    if policy not in ("best", "all", "none"):
        raise UserError(f"checkpoint_policy is {policy!r}, but should be best, all or none.")
    return Periods(
        length=count,
        unit=unit,
        validation=_period(config, "min_validation_period", hparams),
        checkpoint=_period(config, "min_checkpoint_period", hparams),
        checkpoint_policy=policy,
        validate_first=bool(config["perform_initial_validation"]),
    )


def _period(config: Mapping[str, Any], key: str, hparams: Mapping[str, Any]) -> pytorch.TrainUnit:
    # That it is a period, the master has checked, or here `check_top_level`.
    return pytorch.TrainUnit._from_values(
        **config[key], global_batch_size=hparams.get("global_batch_size")
    )


def build_trial(
    trial_class: type[pytorch.PyTorchTrial], context: pytorch.PyTorchTrialContext
) -> tuple[pytorch.PyTorchTrial, Periods]:
    """Makes the trial, and gives its learning-rate schedule its length if that is still open.

    Args:
        trial_class: the trial.
        context: with hyperparameters and a completed experiment configuration.

    Returns:
        The trial and the periods of its training.
    """
    # The trial comes first: it complains of all that is missing, not of the length alone.
    trial = trial_class(context)
    periods = read_periods(context.get_experiment_config(), context.get_hparams())
    waiting = [
        wrapped._scheduler
        for wrapped in context.lr_schedulers
        if isinstance(wrapped._scheduler, _schedule.DeferredLRScheduler)
        and not wrapped._scheduler.resolved
    ]
    if waiting or context._aggregation_frequency > 1:
        in_epochs = periods.unit == "epochs"
        total = periods.total_batches(_batches_per_epoch(trial, context) if in_epochs else 0)
        # Before Determined loads a checkpoint: the schedule's state has to find the schedule.
        for scheduler in waiting:
            scheduler.resolve(total)
        _check_accumulation(total, context)
    return trial, periods


def _check_accumulation(total: int, context: pytorch.PyTorchTrialContext) -> None:
    """Says which batches at the end change no weights, as their group is not full.

    Raises:
        UserError: when these are all.
    """
    group = context._aggregation_frequency
    if total < group > 1:
        raise UserError(
            f"hyperparameters.gradient_accumulation_steps (or optimizations.aggregation_frequency) "
            f"is {group}, but the whole training has {total} batches: it would not change a "
            "weight. Write a smaller number, or train longer."
        )
    if total % group and context.distributed.rank == 0:
        logger.warning(
            "the last %d of %d batches change nothing, as it takes %d for an update of the weights "
            "(hyperparameters.gradient_accumulation_steps).",
            total % group,
            total,
            group,
        )


def _batches_per_epoch(trial: pytorch.PyTorchTrial, context: pytorch.PyTorchTrialContext) -> int:
    """As Determined counts them: the chief's share, the last one of an epoch included."""
    loader = trial.build_training_data_loader()
    if isinstance(loader, pytorch.DataLoader):
        loader = loader.get_data_loader(
            repeat=True, skip=0, num_replicas=context.distributed.size, rank=0
        )
    return len(loader)


def slots_of_this_run() -> int:
    """How many processes train together, as torch's launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def _search_goes_on(config: Mapping[str, Any]) -> Iterator[None]:
    """Tells a search that values which it has chosen cannot work, so that it tries others.

    So does a GPU whose memory is too small, if the search has chosen what the size depends on.
    Other errors, such as a file that is not there, end every trial, and the search with them.
    """
    searched = [
        name for name, space in (config.get("hyperparameters") or {}).items() if _varies(space)
    ]
    try:
        yield
    except UserError as error:
        # Its message names the keys, of which one may be the head of others: peft, peft.r.
        if any(re.search(rf"\bhyperparameters\.{re.escape(n)}\b", str(error)) for n in searched):
            raise det.InvalidHP(str(error)) from error
        raise
    except torch.OutOfMemoryError as error:
        if not _DECIDE_ABOUT_MEMORY.isdisjoint(searched):
            raise det.InvalidHP(
                f"the GPU's memory is too small for these values: {error}"
            ) from error
        raise


# Hyperparameters by which a training may need more memory than there is.
_DECIDE_ABOUT_MEMORY = frozenset(
    {"global_batch_size", "pretrained_model_name_or_path", "model_name", "gradient_checkpointing",
     "peft", "freeze", "bf16", "fp16", "dtype", "attn_implementation", "optim"}
)  # fmt: skip


def _varies(space: Any) -> bool:
    """Whether a hyperparameter, or one of those below it, is a range and not one value."""
    if not isinstance(space, Mapping):
        return False
    kind = space.get("type")
    if isinstance(kind, str):
        return kind != "const"
    return any(_varies(below) for below in space.values())


def run_on_cluster(trial_class: type[pytorch.PyTorchTrial], info: det.ClusterInfo) -> None:
    """Trains as the experiment's configuration says, on the slots that Determined has given.

    Args:
        trial_class: the trial.
        info: ``determined.get_cluster_info()``.

    Raises:
        UserError: when something in the configuration is wrong.
    """
    config, hparams = info.trial._config, info.trial.hparams
    optimizations = config["optimizations"]
    with (
        pytorch.init(
            hparams=hparams,
            exp_conf=config,
            aggregation_frequency=int(optimizations["aggregation_frequency"]),
        ) as context,
        _search_goes_on(config),
    ):
        _settings.check_settings(
            trial_class,
            hparams,
            config.get("data") or {},
            slots=slots_of_this_run(),
            searcher=config.get("searcher"),
        )
        context._set_default_gradient_compression(bool(optimizations["gradient_compression"]))
        context._set_default_average_aggregated_gradients(
            bool(optimizations["average_aggregated_gradients"])
        )
        trial, periods = build_trial(trial_class, context)
        pytorch.Trainer(trial, context).fit(
            max_length=periods.max_length,
            checkpoint_period=periods.checkpoint,
            validation_period=periods.validation,
            reporting_period=pytorch.Batch(int(config["scheduling_unit"])),
            checkpoint_policy=periods.checkpoint_policy,
            latest_checkpoint=info.latest_checkpoint,
            step_zero_validation=periods.validate_first,
            profiling_enabled=bool((config.get("profiling") or {}).get("enabled")),
        )
