"""`BaseTransformerTrial`: what a trial does in order; the steps themselves are in other modules."""

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import datasets
import torch
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.config import fields, parsing
from model_hub.huggingface.config.config_findings import check_key_names
from model_hub.huggingface.config.hparams import check_hparams
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.data import load, loaders
from model_hub.huggingface.model import build
from model_hub.huggingface.training import optim
from model_hub.huggingface.training.callbacks import (
    EarlyStoppingCallback,
    MetricScheduleCallback,
    NonFiniteLossCallback,
)
from model_hub.huggingface.training.context import set_up_context
from model_hub.huggingface.training.loss import training_loss
from model_hub.huggingface.training.resume.controller import ResumableController
from model_hub.utils import AttrDict

logger = logging.getLogger("model_hub")


class BaseTransformerTrial(pytorch.PyTorchTrial):
    """A trial that builds model, tokenizer, optimizer and schedule from the YAML.

    A subclass calls ``super().__init__(context)``, sets ``train_dataset``, ``validation_dataset``
    and ``collator``, and defines ``evaluate_batch``. Every other method can be overridden:
    ``build_model`` to train another model, ``train_batch`` for another loss, the two
    ``build_..._data_loader`` for other loaders.

    A subclass may set ``hparams``, ``data_config`` or ``exp_config`` (any mapping) before it calls
    ``super().__init__(context)``; then these are used. It may instead skip
    ``super().__init__``, and call :meth:`check_hparams` and the functions of
    :mod:`model_hub.huggingface` itself.

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
        train_dataset: prepared training data; a subclass sets it.
        validation_dataset: prepared validation data; a subclass sets it.
        collator: makes a batch from a list of rows; a subclass sets it.
        hyperparameter_types: class attribute; dataclasses of the keys that may stand under
            ``hyperparameters``. A subclass that reads keys of its own adds a dataclass of them, so
            that its own keys are not reported as misspelt.
        data_types: class attribute; the same for section ``data``. The last one is the type of
            ``data_kwargs``.
        metric_names: class attribute; names of the validation metrics that the trial reports, where
            ``*`` at the end stands for any ending. ``searcher.metric`` has to be one of them; if
            there are none, it is not checked.
        model_modes: class attribute; the values of ``hyperparameters.model_mode`` that the trial
            supports. The others that :func:`auto_model_class` knows are an error before anything
            is loaded; if there are none, all are accepted.

    Raises:
        UserError: when something in the YAML is missing or wrong.
    """

    hyperparameter_types: ClassVar[tuple[type, ...]] = fields.HYPERPARAMETER_TYPES
    data_types: ClassVar[tuple[type, ...]] = (fields.DatasetKwargs,)
    metric_names: ClassVar[tuple[str, ...]] = ()
    model_modes: ClassVar[tuple[str, ...]] = ()
    trial_controller_class = ResumableController  # type: ignore[assignment]

    context: pytorch.PyTorchTrialContext
    hparams: AttrDict
    data_config: AttrDict
    exp_config: AttrDict
    train_dataset: datasets.Dataset
    validation_dataset: datasets.Dataset
    collator: Callable[[list[Any]], Any]
    _options: OptionKwargs

    def __new__(  # noqa: D102
        cls, context: pytorch.PyTorchTrialContext, *_: Any, **__: Any
    ) -> "BaseTransformerTrial":
        trial = super().__new__(cls)
        trial.context = context
        # In __new__, because a subclass may load data before it calls super().__init__.
        trial._options = set_up_context(context, context._hparams or {}, context._exp_conf or {})
        return trial

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        self.context = context
        self.check_hparams()
        self.config_kwargs, self.tokenizer_kwargs, self.model_kwargs = (
            parsing.default_parse_config_tokenizer_model_kwargs(self.hparams)
        )
        optimizer_kwargs, scheduler_kwargs = parsing.default_parse_optimizer_lr_scheduler_kwargs(
            self.hparams
        )
        self.model = context.wrap_model(self.build_model())
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
        """Read the sections of the YAML that are not set yet, fill in defaults and check them.

        If it is absent, ``num_training_steps`` is computed from the experiment's length, and
        ``use_pretrained_weights`` becomes true, with a warning. Unknown keys are reported as
        warnings. The context is set up for these hyperparameters (see
        :func:`model_hub.huggingface.training.context.set_up_context`).

        Raises:
            UserError: naming all hyperparameters that are missing, or all keys that are misspelt.
        """
        self.hparams = self._section("hparams", self.context.get_hparams)
        self.data_config = self._section("data_config", self.context.get_data_config)
        self.exp_config = self._section("exp_config", self.context.get_experiment_config)
        if self.context.distributed.rank > 0:
            # All slots find the same; the first one reports it.
            logger.setLevel(logging.ERROR)
        check_key_names(type(self), self.hparams, self.data_config)
        check_hparams(self.hparams, self.exp_config)
        self._options = set_up_context(self.context, self.hparams, self.exp_config)

    def _section(self, name: str, read: Callable[[], Any]) -> AttrDict:
        """Return the section that the subclass has set, else the context's, as an ``AttrDict``."""
        value = getattr(self, name, None)
        if isinstance(value, AttrDict):
            return value
        return AttrDict(read() if value is None else value)

    @functools.cached_property
    def data_kwargs(self) -> Any:
        """Section ``data`` as the last of ``data_types``, parsed when it is first read."""
        return self.parse_data(self.data_config)

    @classmethod
    def parse_data(cls, data_config: Mapping[str, Any]) -> Any:
        """Return section ``data`` as the last of ``data_types``.

        Raises:
            UserError: when a value has the wrong type or is out of range.
        """
        (kwargs,) = parsing.parse_dict_to_dataclasses(cls.data_types[-1:], data_config)
        return kwargs

    @property
    def metric(self) -> str | None:
        """The experiment's ``searcher.metric``."""
        searcher = self.context.get_experiment_config().get("searcher") or {}
        metric: str | None = searcher.get("metric")
        return metric

    def build_model(self, model_class: type | None = None) -> torch.nn.Module:
        """Set ``config`` and ``tokenizer`` and return the model, which is not wrapped yet.

        Override it to train another model. ``__init__`` wraps what it returns, then builds the
        optimizer of its weights.

        Args:
            model_class: the class to build; None takes the Auto class of ``model_mode``.
        """
        model: torch.nn.Module
        self.config, self.tokenizer, model = build.build_using_auto(
            self.config_kwargs,
            self.tokenizer_kwargs,
            self.hparams.model_mode,
            self.model_kwargs,
            use_pretrained_weights=self.hparams.use_pretrained_weights,
            model_class=model_class,
        )
        return model

    @classmethod
    def metrics_of(cls, hparams: Mapping[str, Any]) -> Sequence[str]:
        """Return those of ``metric_names`` that the trial reports with these hyperparameters.

        Args:
            hparams: section ``hyperparameters``; in ``model-hub check`` it may hold ranges.
        """
        return cls.metric_names

    @classmethod
    def load_data(cls, hparams: AttrDict, data_config: AttrDict) -> datasets.DatasetDict:
        """Return the raw splits; ``model-hub check`` calls it too.

        A subclass calls it in ``__init__``, within :func:`local_main_first`, so that one process of
        a machine reads the files. It overrides it if its data needs more than
        :func:`default_load_dataset`.

        Args:
            hparams: section ``hyperparameters``.
            data_config: section ``data``.
        """
        return load.default_load_dataset(data_config)

    @classmethod
    def check_data(
        cls,
        raw_datasets: Mapping[str, datasets.Dataset],
        hparams: AttrDict,
        data_config: AttrDict,
        metric: str | None = None,
    ) -> Any:
        """Check all raw rows before anything is built; ``model-hub check`` calls it too.

        A subclass that needs certain columns checks them here. The base class accepts any rows.

        Args:
            raw_datasets: the splits that :meth:`load_data` has returned.
            hparams: section ``hyperparameters``.
            data_config: section ``data``.
            metric: ``searcher.metric``.

        Raises:
            UserError: when the rows are not what the trial needs.
        """

    def task_metadata(self) -> dict[str, Any]:
        """Return what inference needs to know of the data besides the YAML.

        A subclass that has found out which columns to read returns their names here. Later data may
        have other columns as well.

        Returns:
            Keys of section ``data`` and their values. Checkpoints and exported models hold them.
        """
        # Trials copied from the examples of 0.38.1 have these attributes and no such method.
        text_columns = getattr(getattr(self, "task", None), "text_columns", None)
        tokens_column = getattr(getattr(self, "tagging", None), "tokens_column", None)
        found = {"text_columns": list(text_columns or ()), "tokens_column": tokens_column}
        return {name: value for name, value in found.items() if value}

    def build_training_data_loader(self) -> pytorch.DataLoader:
        """Return :func:`training_data_loader` of ``train_dataset``, shuffled anew every epoch."""
        return self._build_loader(loaders.training_data_loader, "train_dataset")

    def build_validation_data_loader(self) -> pytorch.DataLoader:
        """Return :func:`validation_data_loader` of ``validation_dataset``, in its order."""
        return self._build_loader(loaders.validation_data_loader, "validation_dataset")

    def _build_loader(
        self, build: Callable[..., pytorch.DataLoader], name: str
    ) -> pytorch.DataLoader:
        missing = [f"self.{n}" for n in (name, "collator") if not hasattr(self, n)]
        if missing:
            raise UserError(
                f"{type(self).__name__} has no {' and no '.join(missing)}: set it in __init__, or "
                "override build_training_data_loader and build_validation_data_loader."
            )
        return build(self.context, getattr(self, name), self.collator)

    def build_callbacks(self) -> dict[str, pytorch.PyTorchCallback]:
        """Return the trial's callbacks, by name.

        A trial has its :meth:`standard_callbacks` even if a subclass overrides this method without
        a call of ``super()``.
        """
        return self.standard_callbacks()

    def standard_callbacks(self) -> dict[str, pytorch.PyTorchCallback]:
        """Return the callbacks that every trial has, by name.

        They warn of a NaN or infinite loss, step a schedule that depends on a metric
        (``reduce_lr_on_plateau``, ``greedy``), and stop early.
        """
        # A trial that calls neither __init__ nor check_hparams of this class may have none.
        searcher = getattr(self, "exp_config", {}).get("searcher") or {}
        metric = searcher.get("metric")
        callbacks: dict[str, pytorch.PyTorchCallback] = {
            "loss_watch": NonFiniteLossCallback(self.context)
        }
        scheduler = getattr(self, "lr_scheduler", None)
        if scheduler is not None and optim.steps_on_metric(scheduler):
            callbacks["lr_scheduler"] = MetricScheduleCallback(scheduler, self.context, metric)
        if self._options.early_stopping_patience is not None:
            callbacks["early_stopping"] = EarlyStoppingCallback(
                self.context,
                metric,
                smaller_is_better=searcher.get("smaller_is_better") is not False,
                patience=self._options.early_stopping_patience,
                threshold=self._options.early_stopping_threshold,
            )
        return callbacks

    def training_loss(self, batch: Any) -> torch.Tensor:
        """Return the model's loss on a batch, smoothed by ``label_smoothing_factor``.

        Args:
            batch: arguments of the model, including the labels.

        Returns:
            A scalar tensor, attached to the autograd graph.
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
        """Run one training step: forward, backward, clipped update of the weights.

        Args:
            batch: arguments of the model, including the labels.
            epoch_idx: index of the epoch, from 0.
            batch_idx: index of the batch since the start of training, from 0.

        Returns:
            The loss, a scalar.

        Raises:
            UserError: when the model returns no loss, or there are no labels to smooth.
        """
        loss = self.training_loss(batch)
        self.context.backward(loss)
        self.context.step_optimizer(self.optimizer, self.grad_clip_fn)
        return loss
