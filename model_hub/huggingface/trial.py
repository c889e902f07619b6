"""`BaseTransformerTrial`: puts the other modules in order and owns no logic of its own."""

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import datasets
import torch
from determined import pytorch

from model_hub.huggingface.config import fields, parsing, validate
from model_hub.huggingface.config.hparams import accumulate_gradients, check_hparams
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.model import adalora, build, wrap
from model_hub.huggingface.training import device, optim, resume
from model_hub.huggingface.training.callbacks import (
    EarlyStoppingCallback,
    MetricScheduleCallback,
    NonFiniteLossCallback,
)
from model_hub.huggingface.training.loss import training_loss
from model_hub.utils import AttrDict

logger = logging.getLogger("model_hub")


class BaseTransformerTrial(pytorch.PyTorchTrial):
    """A trial that builds model, tokenizer, optimizer and schedule from the YAML.

    A subclass adds the data: ``build_training_data_loader``, ``build_validation_data_loader`` and
    ``evaluate_batch``. It may set ``hparams``, ``data_config`` or ``exp_config`` (any mapping)
    before it calls ``super().__init__(context)``; then these are used. It may also leave that call
    out, and call :meth:`check_hparams` and the functions of :mod:`model_hub.huggingface` itself.

    Args:
        context: the trial's context.

    Attributes:
        context: the trial's context.
        hparams: section ``hyperparameters`` of the YAML.
        data_config: section ``data``.
        exp_config: the whole YAML.
        config_kwargs: arguments of the model's configuration.
        tokenizer_kwargs: arguments of the tokenizer.
        model_kwargs: arguments of the model.
        config: the model's configuration.
        tokenizer: the tokenizer.
        model: the model, wrapped by the context.
        optimizer: the optimizer, wrapped by the context.
        lr_scheduler: the learning-rate schedule.
        grad_clip_fn: clips gradients in place; None if ``max_grad_norm`` is 0.
        hyperparameter_types: class attribute; dataclasses whose fields may stand under
            ``hyperparameters``. A subclass that reads keys of its own adds a dataclass of them, so
            that a misspelt key can be told from one that is meant.
        data_types: class attribute; the same for section ``data``.
        metric_names: class attribute; names of the validation metrics that the trial reports, a
            ``*`` at the end of one stands for any ending. ``model-hub check`` holds
            ``searcher.metric`` against them; without any, it does not look at that.
        model_modes: class attribute; those of ``hyperparameters.model_mode`` that the trial is made
            for. The other ones of :func:`auto_model_class`'s ten are an error before anything is
            loaded; without any, all are taken.

    Raises:
        UserError: when something in the YAML is missing or wrong.
    """

    hyperparameter_types: ClassVar[tuple[type, ...]] = fields.HYPERPARAMETER_TYPES
    data_types: ClassVar[tuple[type, ...]] = (fields.DatasetKwargs,)
    metric_names: ClassVar[tuple[str, ...]] = ()
    model_modes: ClassVar[tuple[str, ...]] = ()

    context: pytorch.PyTorchTrialContext
    hparams: AttrDict
    data_config: AttrDict
    exp_config: AttrDict

    def __new__(  # noqa: D102
        cls, context: pytorch.PyTorchTrialContext, *_: Any, **__: Any
    ) -> "BaseTransformerTrial":
        # Before any __init__: a subclass may load its data before it calls the one below.
        wrap.check_options(context)
        return super().__new__(cls)

    @classmethod
    def metrics_of(cls, hparams: Mapping[str, Any]) -> Sequence[str]:
        """Those of ``metric_names`` that the trial reports with these hyperparameters.

        Args:
            hparams: section ``hyperparameters``; in ``model-hub check`` it may hold ranges.
        """
        return cls.metric_names

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        self.context = context
        self.check_hparams()
        self.config_kwargs, self.tokenizer_kwargs, self.model_kwargs = (
            parsing.default_parse_config_tokenizer_model_kwargs(self.hparams)
        )
        optimizer_kwargs, scheduler_kwargs = parsing.default_parse_optimizer_lr_scheduler_kwargs(
            self.hparams
        )
        self.config, self.tokenizer, model = build.build_using_auto(
            self.config_kwargs,
            self.tokenizer_kwargs,
            self.hparams.model_mode,
            self.model_kwargs,
            use_pretrained_weights=self.hparams.use_pretrained_weights,
        )
        self.model = context.wrap_model(model)
        self.optimizer = context.wrap_optimizer(
            optim.build_default_optimizer(self.model, optimizer_kwargs)
        )
        self.lr_scheduler = optim.build_default_lr_scheduler(self.optimizer, scheduler_kwargs)
        context.wrap_lr_scheduler(
            self.lr_scheduler,  # type: ignore[arg-type] # Determined names torch's older base class.
            optim.step_mode(self.lr_scheduler),
        )
        self.grad_clip_fn: Callable[[Iterable[torch.Tensor]], Any] | None = (
            functools.partial(
                torch.nn.utils.clip_grad_norm_, max_norm=optimizer_kwargs.max_grad_norm
            )
            if optimizer_kwargs.max_grad_norm > 0
            else None
        )

    def check_hparams(self) -> None:
        """Reads the sections of the YAML that are not set yet, fills in and checks them.

        It also makes sure that the trial continues exactly after a stop (see ``training.resume``).

        ``num_training_steps`` is computed from the experiment's length if it is absent,
        ``use_pretrained_weights`` becomes true with a warning. Keys that look misspelt are warned
        of.

        Raises:
            UserError: naming all hyperparameters that are missing.
        """
        self.hparams = _attributed(self, "hparams", self.context.get_hparams)
        self.data_config = _attributed(self, "data_config", self.context.get_data_config)
        self.exp_config = _attributed(self, "exp_config", self.context.get_experiment_config)
        # Where old trial files find it; Determined has moved it since.
        vars(self.context.experimental).setdefault("wrap_reducer", self.context.wrap_reducer)
        (self._options,) = parsing.parse_dict_to_dataclasses((OptionKwargs,), self.hparams)
        accumulate_gradients(self.context, self._options, self.exp_config)
        if self._options.dataloader_pin_memory:
            device.enable_non_blocking_copies(self.context)
        resume.make_resume_exact(
            self, functools.partial(BaseTransformerTrial.build_callbacks, self)
        )
        if self.context.distributed.rank > 0:
            # Every slot finds the same; it is said once.
            logger.setLevel(logging.ERROR)
        validate.check_keys(
            self.hparams, self.data_config, self.hyperparameter_types, self.data_types
        )
        check_hparams(self.hparams, self.exp_config)
        wrap.hook_wrap_model(
            self.context, self._options, use_apex_amp=bool(self.hparams.get("use_apex_amp"))
        )

    @classmethod
    def check_data(
        cls,
        raw_datasets: Mapping[str, datasets.Dataset],
        hparams: AttrDict,
        data_config: AttrDict,
    ) -> None:
        """Checks raw rows before anything is built; ``model-hub check`` calls it.

        A subclass that needs certain columns says here which. This one takes any.

        Args:
            raw_datasets: the first rows of those of the splits ``train`` and ``validation`` that
                are local files; there may be one of them only.
            hparams: section ``hyperparameters``, with ranges where the YAML has such.
            data_config: section ``data``.

        Raises:
            UserError: when the rows are not what the trial needs.
        """

    def build_callbacks(self) -> dict[str, pytorch.PyTorchCallback]:
        """Callbacks of the trial; those of a subclass come on top of these.

        Returns:
            The one that warns of a loss that is no number, the one that steps the schedule after a
            validation, if it wants that (``reduce_lr_on_plateau``, ``greedy``), the one that
            stops early, and the one that keeps what AdaLoRA has weighed.
        """
        searcher = self.exp_config.get("searcher") or {}
        metric = searcher.get("metric")
        callbacks: dict[str, pytorch.PyTorchCallback] = {
            "loss_watch": NonFiniteLossCallback(self.context)
        }
        scheduler = getattr(self, "lr_scheduler", None)
        if scheduler is not None and optim.steps_on_metric(scheduler):
            callbacks["lr_scheduler"] = MetricScheduleCallback(scheduler, self.context, metric)
        if self._options.early_stopping_patience is not None:
            callbacks["early_stopping"] = EarlyStoppingCallback(
                self,
                metric,
                smaller_is_better=searcher.get("smaller_is_better") is not False,
                patience=self._options.early_stopping_patience,
                threshold=self._options.early_stopping_threshold,
            )
        for number, allocation in enumerate(adalora.callbacks_of(self.context)):
            callbacks[f"rank_allocation_{number}"] = allocation
        return callbacks

    def training_loss(self, batch: Any) -> torch.Tensor:
        """The model's loss on a batch, smoothed if ``label_smoothing_factor`` says so.

        Args:
            batch: arguments of the model, the labels among them.

        Returns:
            A scalar with its graph.

        Raises:
            UserError: when the model gives no loss, or there are no labels to smooth.
        """
        return training_loss(
            self.model,
            batch,
            model_mode=self.hparams.get("model_mode"),
            label_smoothing_factor=self._options.label_smoothing_factor,
        )

    def train_batch(
        self, batch: Any, epoch_idx: int, batch_idx: int
    ) -> torch.Tensor | dict[str, torch.Tensor]:
        """One training step: forward, backward, clipped update of the weights.

        Args:
            batch: arguments of the model, the labels among them.
            epoch_idx: number of the epoch, from 0.
            batch_idx: number of the batch since the beginning, from 0.

        Returns:
            The loss, a scalar.

        Raises:
            UserError: when the model gives no loss, or there are no labels to smooth.
        """
        loss = self.training_loss(batch)
        self.context.backward(loss)
        self.context.step_optimizer(self.optimizer, self.grad_clip_fn)
        return loss


def _attributed(trial: BaseTransformerTrial, name: str, read: Callable[[], Any]) -> AttrDict:
    """The section that the subclass has set, else the context's, with attributes for its keys."""
    value = getattr(trial, name, None)
    if isinstance(value, AttrDict):
        return value
    return AttrDict(read() if value is None else value)
