"""The trial, periods and result of a training, on a cluster and on this machine."""

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
    """How long a trial trains, and when it validates and saves.

    Attributes:
        length: length of the training, in units of ``unit``.
        unit: ``epochs`` or ``batches``.
        validation: period between two validations.
        checkpoint: period between two checkpoints.
        checkpoint_policy: which validations are followed by a checkpoint: ``best``, ``all``, or
            ``none``.
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
        """The length as Determined's type."""
        return (pytorch.Epoch if self.unit == "epochs" else pytorch.Batch)(self.length)

    def total_batches(self, batches_per_epoch: int) -> int:
        """Return the length in batches."""
        return self.length * (batches_per_epoch if self.unit == "epochs" else 1)


@dataclasses.dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        steps_completed: number of batches trained.
        finished: False if it was stopped before its end.
        stop_signal: number of the signal that stopped it, or None.
    """

    steps_completed: int
    finished: bool
    stop_signal: int | None


def read_periods(config: Mapping[str, Any], hparams: Mapping[str, Any]) -> Periods:
    """Return the periods of a completed experiment configuration.

    Raises:
        UserError: when the length of the training is missing.
    """
    length = training_length(hparams, config)
    if length is None:
        raise UserError(
            "the length of the training is missing: write hyperparameters.num_train_epochs or "
            "hyperparameters.max_steps (old style: searcher.max_length)."
        )
    unit, count = length
    return Periods(
        length=count,
        unit=unit,
        validation=_period(config, "min_validation_period", hparams),
        checkpoint=_period(config, "min_checkpoint_period", hparams),
        checkpoint_policy=config["checkpoint_policy"],
        validate_first=bool(config["perform_initial_validation"]),
    )


def _period(config: Mapping[str, Any], key: str, hparams: Mapping[str, Any]) -> pytorch.TrainUnit:
    # The checks of the YAML before the training, here and by the master, have let it pass.
    return pytorch.TrainUnit._from_values(
        **config[key], global_batch_size=hparams.get("global_batch_size")
    )


def build_trial(
    trial_class: type[pytorch.PyTorchTrial], context: pytorch.PyTorchTrialContext
) -> tuple[pytorch.PyTorchTrial, Periods]:
    """Build the trial, and set the length of its learning-rate schedules if it was not known.

    The context has hyperparameters and a completed experiment configuration.

    Returns:
        The trial and the periods of its training.
    """
    config = context.get_experiment_config()
    optimizations = config["optimizations"]
    context._set_default_gradient_compression(bool(optimizations["gradient_compression"]))
    context._set_default_average_aggregated_gradients(
        bool(optimizations["average_aggregated_gradients"])
    )
    # Before the periods: the trial's error names everything that is missing, not only the length.
    trial = trial_class(context)
    periods = read_periods(config, context.get_hparams())
    unresolved = [
        wrapped._scheduler
        for wrapped in context.lr_schedulers
        if isinstance(wrapped._scheduler, optim.DeferredLRScheduler)
        and not wrapped._scheduler.resolved
    ]
    if unresolved or context._aggregation_frequency > 1:
        in_epochs = periods.unit == "epochs"
        total = periods.total_batches(_batches_per_epoch(trial, context) if in_epochs else 0)
        # Before Determined loads a checkpoint, whose state the schedules have to accept.
        for scheduler in unresolved:
            scheduler.resolve(total)
        _check_accumulation(total, context)
    return trial, periods


def _check_accumulation(total: int, context: pytorch.PyTorchTrialContext) -> None:
    """Warn of batches at the end that are too few for an update of the weights.

    Raises:
        UserError: when all batches together are too few.
    """
    frequency = context._aggregation_frequency
    if total < frequency > 1:
        raise UserError(
            f"hyperparameters.gradient_accumulation_steps (or optimizations.aggregation_frequency) "
            f"is {frequency}, but the whole training has {total} batches: no weight would be "
            "updated. Write a smaller number, or train longer."
        )
    if total % frequency and context.distributed.rank == 0:
        logger.warning(
            "the last %d of %d batches change nothing, because an update of the weights takes %d "
            "(hyperparameters.gradient_accumulation_steps).",
            total % frequency,
            total,
            frequency,
        )


def _batches_per_epoch(trial: pytorch.PyTorchTrial, context: pytorch.PyTorchTrialContext) -> int:
    """Return the batches of slot 0 in an epoch, including a last one that is not full."""
    loader = trial.build_training_data_loader()
    if isinstance(loader, pytorch.DataLoader):
        loader = loader.get_data_loader(
            repeat=True, skip=0, num_replicas=context.distributed.size, rank=0
        )
    return len(loader)
