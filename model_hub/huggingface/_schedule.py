"""The learning-rate schedule, as transformers' ``Trainer`` builds and steps it."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from determined import pytorch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from transformers.optimization import AdafactorSchedule, GreedyLR, get_scheduler

from model_hub.errors import UserError
from model_hub.huggingface._fields import LRSchedulerKwargs
from model_hub.huggingface._names import scheduler_name


class DeferredLRScheduler(LRScheduler):
    """A schedule whose length is known only once the training data is there.

    :meth:`resolve` builds the real one, before anything else is asked of it. Until then the
    optimizer keeps its learning rate.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, build: Callable[[int], LRScheduler]
    ) -> None:
        # LRScheduler.__init__ is left out on purpose: it would change the optimizer's groups,
        # which the real schedule has to find untouched.
        self.optimizer = optimizer
        self._build = build
        self._scheduler: LRScheduler | None = None

    def resolve(self, num_training_steps: int) -> LRScheduler:
        """Builds the schedule for this many steps, once; returns it."""
        if self._scheduler is None:
            self._scheduler = self._build(num_training_steps)
        return self._scheduler

    @property
    def resolved(self) -> bool:
        """Whether the length is known."""
        return self._scheduler is not None

    def _real(self) -> LRScheduler:
        if self._scheduler is None:
            raise UserError(
                "the length of the learning-rate schedule is not known: run the trial through "
                "'python3 -m model_hub.huggingface.train', or write records_per_epoch (the number "
                "of training samples, if there is no max_train_samples) or "
                "hyperparameters.num_training_steps."
            )
        return self._scheduler

    def step(self, *args: Any, **kwargs: Any) -> None:
        """One step of the real schedule."""
        self._real().step(*args, **kwargs)

    def get_last_lr(self) -> list[float | torch.Tensor]:
        """Learning rates of the parameter groups."""
        return self._real().get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """State of the real schedule."""
        return self._real().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads the state of the real schedule."""
        self._real().load_state_dict(state_dict)


def num_warmup_steps(scheduler_kwargs: LRSchedulerKwargs, num_training_steps: int) -> int:
    """Warm-up in batches, as ``TrainingArguments.get_warmup_steps`` computes it from a share."""
    steps = scheduler_kwargs.num_warmup_steps or scheduler_kwargs.warmup_ratio
    if steps < 0 or not 0 <= scheduler_kwargs.warmup_ratio <= 1:
        raise UserError(
            "hyperparameters.num_warmup_steps should be 0 or more and hyperparameters.warmup_ratio "
            f"between 0 and 1, but they are {scheduler_kwargs.num_warmup_steps} and "
            f"{scheduler_kwargs.warmup_ratio}."
        )
    if scheduler_kwargs.num_warmup_steps >= 1:
        return int(scheduler_kwargs.num_warmup_steps)
    return math.ceil(num_training_steps * steps)


def build_default_lr_scheduler(
    optimizer: torch.optim.Optimizer, scheduler_kwargs: LRSchedulerKwargs
) -> LRScheduler:
    """The learning-rate schedule that transformers' ``Trainer`` builds for the same settings.

    Args:
        optimizer: the optimizer, before its first step.
        scheduler_kwargs: the settings; with ``num_training_steps=None`` the result waits for
            :meth:`DeferredLRScheduler.resolve`.

    Raises:
        UserError: for an unknown ``lr_scheduler_type`` or arguments that it does not take.
    """
    kind = scheduler_name(scheduler_kwargs.lr_scheduler_type)
    if any(group.get("relative_step") for group in optimizer.param_groups):
        return AdafactorSchedule(optimizer)

    def build(num_training_steps: int) -> LRScheduler:
        warmup = num_warmup_steps(scheduler_kwargs, num_training_steps)
        further = scheduler_kwargs.lr_scheduler_kwargs
        try:
            scheduler: LRScheduler = get_scheduler(
                kind, optimizer, warmup, num_training_steps, further
            )
        except (TypeError, ValueError) as error:
            raise UserError(
                f"hyperparameters.lr_scheduler_kwargs: {further} does not suit "
                f"hyperparameters.lr_scheduler_type {kind.value!r}: {error}"
            ) from error
        return scheduler

    if scheduler_kwargs.num_training_steps is not None:
        return build(scheduler_kwargs.num_training_steps)
    if kind.value in ("reduce_lr_on_plateau", "greedy"):
        return build(0)  # They look at a metric and have no length.
    return DeferredLRScheduler(optimizer, build)


def wants_metric(scheduler: LRScheduler) -> bool:
    """Whether the schedule takes its step after a validation, from a metric."""
    return isinstance(scheduler, (ReduceLROnPlateau, GreedyLR))


def step_mode(scheduler: LRScheduler) -> pytorch.LRScheduler.StepMode:
    """How ``context.wrap_lr_scheduler`` is to step a schedule, for trials that wrap their own.

    Most take a step after every batch. Those that look at a metric
    (``lr_scheduler_type: reduce_lr_on_plateau`` or ``greedy``) take theirs after a validation, from
    the callback in :meth:`BaseTransformerTrial.build_callbacks`.
    """
    modes = pytorch.LRScheduler.StepMode
    return modes.MANUAL_STEP if wants_metric(scheduler) else modes.STEP_EVERY_BATCH


class MetricScheduleCallback(pytorch.PyTorchCallback):
    """Steps a schedule that wants a metric after every validation, as ``Trainer`` does.

    Args:
        scheduler: the schedule.
        context: tells whether the training has begun.
        metric: name of the metric, ``searcher.metric`` of the YAML.
    """

    def __init__(
        self, scheduler: LRScheduler, context: pytorch.PyTorchTrialContext, metric: str | None
    ) -> None:
        self._scheduler: Any = scheduler
        self._context = context
        self._metric = metric

    def on_validation_end(self, metrics: Mapping[str, Any]) -> None:
        """Takes a step; not after a validation of the untrained model.

        Raises:
            UserError: when the metric is not among those that the trial reports.
        """
        # After a stop at the last batch, the last validation is the first thing done.
        begun = (
            self._context.get_initial_batch() > 0 or self._context._current_batch_idx is not None
        )
        if not begun:
            return
        if self._metric is None or self._metric not in metrics:
            raise UserError(
                f"searcher.metric is {self._metric!r}, but the trial reports {', '.join(metrics)}. "
                "Write one of these: the schedule of hyperparameters.lr_scheduler_type follows it."
            )
        self._scheduler.step(float(metrics[self._metric]))
