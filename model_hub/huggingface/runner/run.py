"""What a run is made of, on a cluster and on this machine alike; and the run on a cluster."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.config.hparams import training_length
from model_hub.huggingface.training import optim

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
    length = training_length(hparams, config)
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
        if isinstance(wrapped._scheduler, optim.DeferredLRScheduler)
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
