"""Hyperparameters that depend on the rest of the YAML: lengths, batches, what is missing."""

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from determined import pytorch

from model_hub import utils
from model_hub.errors import UserError
from model_hub.experiment import yaml_io
from model_hub.experiment.config import records_per_epoch, searcher_max_length
from model_hub.huggingface.config.fields import LRSchedulerKwargs, TrialKwargs
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.config.parsing import parse_dict_to_dataclasses, typed_values

logger = logging.getLogger("model_hub")


def keep_options(context: pytorch.PyTorchTrialContext, hparams: Mapping[str, Any]) -> OptionKwargs:
    """Parse the options of a trial and keep them on its context for :func:`options_of`.

    Raises:
        UserError: naming the options that have a wrong value.
    """
    options: OptionKwargs
    (options,) = parse_dict_to_dataclasses((OptionKwargs,), hparams)
    context._model_hub_options = options  # type: ignore[attr-defined]
    return options


def options_of(context: pytorch.PyTorchTrialContext) -> OptionKwargs:
    """Return the options that were kept; parse the context's hyperparameters if there are none."""
    options: OptionKwargs | None = getattr(context, "_model_hub_options", None)
    return keep_options(context, context.get_hparams()) if options is None else options


def conflicting_accumulation(steps: Any, experiment_config: Mapping[str, Any]) -> list[str]:
    """Return a message if the YAML accumulates gradients over two different numbers of batches.

    ``steps`` is ``hyperparameters.gradient_accumulation_steps``; a range is not checked.
    """
    frequency = yaml_io.get_path(experiment_config, "optimizations", "aggregation_frequency")
    if steps is None or isinstance(steps, Mapping) or frequency in (None, 1, steps):
        return []
    return [
        f"hyperparameters.gradient_accumulation_steps is {steps}, but "
        f"optimizations.aggregation_frequency is {frequency}; they mean the same. Remove one "
        "of them."
    ]


def accumulate_gradients(
    context: pytorch.PyTorchTrialContext,
    options: OptionKwargs,
    experiment_config: Mapping[str, Any],
) -> None:
    """Set Determined's aggregation frequency to ``gradient_accumulation_steps``.

    Raises:
        UserError: when ``optimizations.aggregation_frequency`` is another number.
    """
    steps = options.gradient_accumulation_steps
    if steps is None:
        return
    for message in conflicting_accumulation(steps, experiment_config):
        raise UserError(message)
    context._aggregation_frequency = steps


def training_length(
    hparams: Mapping[str, Any], experiment_config: Mapping[str, Any]
) -> tuple[str, int] | None:
    """Return the length of the training: ``("batches", n)``, ``("epochs", n)``, or None if not set.

    The first of these that is set counts: ``hyperparameters.max_steps``,
    ``hyperparameters.num_train_epochs``, ``searcher.max_length`` (old style),
    ``searcher.max_time`` with ``searcher.time_metric`` in batches or epochs,
    ``hyperparameters.num_training_steps``.

    Raises:
        UserError: when one of them is not a whole number above 0.
    """
    (trial,) = parse_dict_to_dataclasses((TrialKwargs,), hparams)
    steps = typed_values(
        LRSchedulerKwargs, {"num_training_steps": hparams.get("num_training_steps")}
    )["num_training_steps"]
    if trial.max_steps is not None:
        return "batches", trial.max_steps
    if trial.num_train_epochs is not None:
        return "epochs", trial.num_train_epochs
    searcher = experiment_config.get("searcher") or {}
    if searcher.get("max_length") is not None:
        unit, count = searcher_max_length(experiment_config)
        if unit == "epochs":
            return unit, count
        batch = trial.global_batch_size or 1
        return "batches", max(utils.compute_num_training_steps(experiment_config, batch), 1)
    time, metric = searcher.get("max_time"), searcher.get("time_metric")
    if metric in ("batches", "epochs") and time is not None:
        if not yaml_io.is_whole(time, 1):
            raise UserError(
                f"searcher.max_time is {yaml_io.in_yaml(time)}, but should be a whole number above "
                f"0: searcher.time_metric is {metric}."
            )
        return metric, time
    return None if steps is None else ("batches", steps)


def missing_hparams(hparams: Mapping[str, Any], experiment_config: Mapping[str, Any]) -> list[str]:
    """Return the hyperparameters that are needed and not set, each with its meaning.

    Raises:
        UserError: when the length of the training, or of an epoch, is not a length.
    """
    missing = []
    if not hparams.get("model_mode"):
        missing.append("hyperparameters.model_mode (for instance question-answering)")
    if not hparams.get("pretrained_model_name_or_path"):
        parts = [n for n in ("config_name", "tokenizer_name", "model_name") if not hparams.get(n)]
        if hparams.get("use_pretrained_weights") is False and "model_name" in parts:
            parts.remove("model_name")
        if parts:
            missing.append(
                "hyperparameters.pretrained_model_name_or_path (a name on the Hugging Face Hub or "
                "a folder)"
            )
    if hparams.get("num_training_steps") is None:
        length = training_length(hparams, experiment_config)
        if length is None:
            missing.append(
                "the length of training: hyperparameters.num_train_epochs or "
                "hyperparameters.max_steps (old style: searcher.max_length)"
            )
        elif length[0] == "epochs":
            records_per_epoch(experiment_config)
    if not hparams.get("global_batch_size"):
        missing.append("hyperparameters.global_batch_size (samples per training step)")
    return missing


def check_hparams(hparams: MutableMapping[str, Any], experiment_config: Mapping[str, Any]) -> None:
    """Fill in, in place, what follows from other hyperparameters, and check that none is missing.

    ``num_training_steps`` is computed from the experiment's length where that is possible before
    the data is loaded; otherwise it becomes None, and the schedule takes its length from the
    training loader. ``use_pretrained_weights`` becomes true, with a warning.

    Raises:
        UserError: naming every missing hyperparameter, or one that belongs in section ``data``.
    """
    for message in misplaced_sample_limits(hparams):
        raise UserError(message)
    missing = missing_hparams(hparams, experiment_config)
    if missing:
        raise UserError("missing from the configuration: " + "; ".join(missing) + ".")
    if hparams.get("num_training_steps") is None:
        unit, count = training_length(hparams, experiment_config) or ("epochs", 0)
        if unit == "batches":
            hparams["num_training_steps"] = count
        else:
            records = records_per_epoch(experiment_config)
            steps = 0
            # records_per_epoch counts all rows, the loader only those within max_train_samples.
            limited = yaml_io.get_path(experiment_config, "data", "max_train_samples")
            if records and hparams.get("num_train_epochs") is None and not limited:
                steps = count * int(records / int(hparams.get("global_batch_size") or 1))
            # A batch larger than an epoch gives 0, and with it a learning rate of 0.
            hparams["num_training_steps"] = steps or None
    if hparams.get("use_pretrained_weights") is None:
        logger.warning(
            "hyperparameters.use_pretrained_weights is not set; assuming true, so the model starts "
            "from pretrained weights."
        )
        hparams["use_pretrained_weights"] = True


def misplaced_sample_limits(hparams: Mapping[str, Any]) -> list[str]:
    """Return a message for each limit of the rows that is in ``hyperparameters``."""
    return [
        f"hyperparameters.{name} is a key of section data; write data.{name} instead."
        for name in ("max_train_samples", "max_eval_samples")
        if hparams.get(name) is not None
    ]
