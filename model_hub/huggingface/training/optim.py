"""Optimizer and learning-rate schedule, as transformers' ``Trainer`` builds them."""

import math
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import transformers
from determined import pytorch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from model_hub.errors import UserError
from model_hub.huggingface.config.fields import LRSchedulerKwargs, OptimizerKwargs
from model_hub.huggingface.config.names import optimizer_name, scheduler_name
from model_hub.huggingface.config.parsing import check_limits

if TYPE_CHECKING:
    from transformers.training_args import OptimizerNames


def build_default_optimizer(
    model: torch.nn.Module, optimizer_kwargs: OptimizerKwargs
) -> torch.optim.Optimizer:
    """Return the optimizer that transformers' ``Trainer`` builds for the same settings.

    ``Trainer`` itself chooses the parameter groups (no weight decay on biases and normalisation
    layers), the class and its arguments, for every ``optim`` that it knows.

    Raises:
        UserError: for an unknown ``optim``, one whose package is not installed, or a number outside
            of its limits.
    """
    # Put off: transformers.Trainer takes seconds to import, and only building needs it.
    from transformers import Trainer

    check_limits(optimizer_kwargs)
    optim = optimizer_name(optimizer_kwargs)
    arguments = types.SimpleNamespace(
        optim=optim,
        optim_args=optimizer_kwargs.optim_args,
        optim_target_modules=optimizer_kwargs.optim_target_modules,
        learning_rate=optimizer_kwargs.learning_rate,
        weight_decay=optimizer_kwargs.weight_decay,
        adam_beta1=optimizer_kwargs.adam_beta1,
        adam_beta2=optimizer_kwargs.adam_beta2,
        adam_epsilon=optimizer_kwargs.adam_epsilon,
        warmup_steps=0,
        gradient_accumulation_steps=1,
    )

    class OptimizerOfTrainer(Trainer):
        """A ``Trainer`` with only the attributes that ``create_optimizer`` reads."""

        def __init__(self) -> None:
            self.args = arguments  # type: ignore[assignment]
            self.model = model
            self.optimizer = None
            self.optimizer_cls_and_kwargs = _default_adafactor(optim, optimizer_kwargs)

    try:
        return OptimizerOfTrainer().create_optimizer(model)
    except (ImportError, TypeError, ValueError) as error:
        # A missing package, an unknown argument or a wrong value.
        raise UserError(
            f"hyperparameters.optim: {optim.value} cannot be built from these settings: {error}"
        ) from error


def _default_adafactor(
    optim: "OptimizerNames", optimizer_kwargs: OptimizerKwargs
) -> tuple[Any, dict[str, Any]] | None:
    """Return Adafactor with two options of the old library that ``Trainer`` does not have."""
    relative, scale = optimizer_kwargs.relative_step, optimizer_kwargs.scale_parameter
    if optim.value != "adafactor" or not (relative or scale):
        return None
    # With relative steps Adafactor itself sets the learning rate.
    learning_rate = None if relative else optimizer_kwargs.learning_rate
    return transformers.Adafactor, {
        "lr": learning_rate,
        "scale_parameter": scale,
        "relative_step": relative,
    }


class DeferredLRScheduler(LRScheduler):
    """A schedule whose length is known only when the training data is loaded.

    :meth:`resolve` builds the real schedule and has to be called before any other method. Until
    then the optimizer keeps its learning rate.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, build: Callable[[int], LRScheduler]
    ) -> None:
        # LRScheduler.__init__ is not called: it would change the optimizer's parameter groups,
        # which the real schedule initializes.
        self.optimizer = optimizer
        self._build = build
        self._scheduler: LRScheduler | None = None

    def resolve(self, num_training_steps: int) -> LRScheduler:
        """Build the schedule for this many steps, if it is not built yet, and return it."""
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
        """Step the real schedule."""
        self._real().step(*args, **kwargs)

    def get_last_lr(self) -> list[float | torch.Tensor]:
        """Return the learning rates of the parameter groups."""
        return self._real().get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the real schedule."""
        return self._real().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of the real schedule."""
        self._real().load_state_dict(state_dict)


def num_warmup_steps(scheduler_kwargs: LRSchedulerKwargs, num_training_steps: int) -> int:
    """Return the warm-up in batches, as ``TrainingArguments.get_warmup_steps`` computes it."""
    if scheduler_kwargs.num_warmup_steps >= 1:
        return int(scheduler_kwargs.num_warmup_steps)
    share = scheduler_kwargs.num_warmup_steps or scheduler_kwargs.warmup_ratio
    return math.ceil(num_training_steps * share)


def build_default_lr_scheduler(
    optimizer: torch.optim.Optimizer, scheduler_kwargs: LRSchedulerKwargs
) -> LRScheduler:
    """Return the learning-rate schedule that ``Trainer`` builds for the same settings.

    Args:
        optimizer: the optimizer, before its first step.
        scheduler_kwargs: the settings; with ``num_training_steps=None`` the result is a
            :class:`DeferredLRScheduler`, unless the schedule depends on a metric.

    Raises:
        UserError: for an unknown ``lr_scheduler_type``, arguments that it does not take, or a
            number outside of its limits.
    """
    # Imported here because transformers.optimization imports peft, which takes seconds.
    from transformers.optimization import AdafactorSchedule, get_scheduler

    check_limits(scheduler_kwargs)
    kind = scheduler_name(scheduler_kwargs.lr_scheduler_type)
    if any(group.get("relative_step") for group in optimizer.param_groups):
        return AdafactorSchedule(optimizer)

    def build(num_training_steps: int) -> LRScheduler:
        warmup = num_warmup_steps(scheduler_kwargs, num_training_steps)
        kwargs = scheduler_kwargs.lr_scheduler_kwargs
        try:
            scheduler: LRScheduler = get_scheduler(
                kind, optimizer, warmup, num_training_steps, kwargs
            )
        except (TypeError, ValueError) as error:
            raise UserError(
                f"hyperparameters.lr_scheduler_kwargs: {kwargs} does not suit "
                f"hyperparameters.lr_scheduler_type {kind.value!r}: {error}"
            ) from error
        return scheduler

    if scheduler_kwargs.num_training_steps is not None:
        return build(scheduler_kwargs.num_training_steps)
    if kind.value in ("reduce_lr_on_plateau", "greedy"):
        return build(0)  # They depend on a metric and have no length.
    return DeferredLRScheduler(optimizer, build)


def steps_on_metric(scheduler: LRScheduler) -> bool:
    """Return whether the schedule is stepped after a validation, by a metric."""
    # Imported here because transformers.optimization imports peft, which takes seconds.
    from transformers.optimization import GreedyLR

    return isinstance(scheduler, (ReduceLROnPlateau, GreedyLR))


def step_mode(scheduler: LRScheduler) -> pytorch.LRScheduler.StepMode:
    """Return the step mode of a schedule for ``context.wrap_lr_scheduler``.

    Most are stepped after every batch. Those that depend on a metric
    (``lr_scheduler_type: reduce_lr_on_plateau`` or ``greedy``) are stepped after a validation, by a
    callback of :meth:`BaseTransformerTrial.standard_callbacks`.
    """
    modes = pytorch.LRScheduler.StepMode
    return modes.MANUAL_STEP if steps_on_metric(scheduler) else modes.STEP_EVERY_BATCH
