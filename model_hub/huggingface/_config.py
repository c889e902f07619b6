"""What the YAML may say: its fields are parsed and checked here, and stand in ``_fields``."""

import dataclasses
import difflib
import logging
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

from determined import pytorch

from model_hub import utils
from model_hub.errors import UserError
from model_hub.huggingface import _names
from model_hub.huggingface._fields import (
    HYPERPARAMETER_TYPES,
    ConfigKwargs,
    DatasetKwargs,
    FlexibleKwargs,
    LRSchedulerKwargs,
    ModelKwargs,
    OptimizerKwargs,
    TokenizerKwargs,
    TrialKwargs,
)
from model_hub.huggingface._options import OptionKwargs
from model_hub.huggingface._types import key_in, typed_values

__all__ = [
    "HYPERPARAMETER_TYPES",
    "ConfigKwargs",
    "DatasetKwargs",
    "FlexibleKwargs",
    "LRSchedulerKwargs",
    "ModelKwargs",
    "OptimizerKwargs",
    "OptionKwargs",
    "TokenizerKwargs",
    "TrialKwargs",
    "accumulate_gradients",
    "check_hparams",
    "check_keys",
    "default_parse_config_tokenizer_model_kwargs",
    "default_parse_optimizer_lr_scheduler_kwargs",
    "missing_hparams",
    "parse_dict_to_dataclasses",
    "training_length",
    "typed_values",
    "unknown_keys",
]

logger = logging.getLogger("model_hub")

# What people write who come from elsewhere; too far from ours in letters to be found by distance.
_ELSEWHERE = {
    "lr": "learning_rate",
    "batch_size": "global_batch_size",
    "per_device_train_batch_size": "global_batch_size",
    "per_gpu_train_batch_size": "global_batch_size",
    "epochs": "num_train_epochs",
    "num_epochs": "num_train_epochs",
    "warmup_steps": "num_warmup_steps",
    "scheduler": "lr_scheduler_type",
    "model_name_or_path": "pretrained_model_name_or_path",
    "optimizer": "optim",
    "stride": "doc_stride",
    "max_length": "max_seq_length",
}


def parse_dict_to_dataclasses(
    dataclass_types: Sequence[type], args: Mapping[str, Any], as_dict: bool = False
) -> list[Any]:
    """Fills one object per dataclass with those keys of ``args`` that it has.

    The same key may fill several; keys that none of them has are no error here. A key that is null
    where its type has no place for null counts as absent.

    Args:
        dataclass_types: the dataclasses.
        args: for instance the ``hyperparameters`` of an experiment.
        as_dict: return ``AttrDict`` with exactly the set and the defaulted fields instead.

    Returns:
        One object (or ``AttrDict``) per type, in their order.

    Raises:
        UserError: when a value has the wrong type or a required field is not there; it names the
            YAML keys.
    """
    parsed: list[Any] = []
    for cls in dataclass_types:
        fields = [field for field in dataclasses.fields(cls) if field.init]
        given = {field.name: args[field.name] for field in fields if field.name in args}
        if hasattr(cls, "yaml_section"):
            given = typed_values(cls, given)
        flexible = issubclass(cls, FlexibleKwargs)
        missing = [
            field.name
            for field in fields
            if field.name not in given
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ]
        if missing and not flexible:
            section = getattr(cls, "yaml_section", None)
            raise UserError(f"missing: {', '.join(key_in(section, name) for name in missing)}.")
        value = cls(**given)
        if as_dict:
            value = (
                value.as_dict()
                if flexible
                else utils.AttrDict({f.name: getattr(value, f.name) for f in fields})
            )
        parsed.append(value)
    return parsed


def default_parse_config_tokenizer_model_kwargs(
    hparams: Mapping[str, Any],
) -> tuple[utils.AttrDict, utils.AttrDict, utils.AttrDict]:
    """Reads the arguments of config, tokenizer and model from the hyperparameters.

    ``config_name``, ``tokenizer_name`` and ``model_name`` replace
    ``pretrained_model_name_or_path`` for that one.

    Returns:
        ``(config_kwargs, tokenizer_kwargs, model_kwargs)``.
    """
    kwargs = parse_dict_to_dataclasses(
        (ConfigKwargs, TokenizerKwargs, ModelKwargs), hparams, as_dict=True
    )
    for parsed, name in zip(kwargs, ("config_name", "tokenizer_name", "model_name"), strict=True):
        if hparams.get(name):
            parsed.pretrained_model_name_or_path = hparams[name]
    config_kwargs, tokenizer_kwargs, model_kwargs = kwargs
    return config_kwargs, tokenizer_kwargs, model_kwargs


def default_parse_optimizer_lr_scheduler_kwargs(
    hparams: Mapping[str, Any],
) -> tuple[OptimizerKwargs, LRSchedulerKwargs]:
    """Reads the settings of optimizer and learning-rate schedule from the hyperparameters.

    Raises:
        UserError: when a value has the wrong type, ``num_training_steps`` is not there, or there is
            no optimizer or schedule of that name.
    """
    optimizer_kwargs, scheduler_kwargs = parse_dict_to_dataclasses(
        (OptimizerKwargs, LRSchedulerKwargs), hparams
    )
    # Here already, as the model, which can take minutes to load, is built before they are.
    _names.optimizer_name(optimizer_kwargs)
    _names.scheduler_name(scheduler_kwargs.lr_scheduler_type)
    return optimizer_kwargs, scheduler_kwargs


def unknown_keys(
    section: str, given: Iterable[Any], known_types: Iterable[type]
) -> list[tuple[str, str | None]]:
    """The keys that none of the dataclasses has, each with the known name that is nearest to it.

    Args:
        section: ``hyperparameters`` or ``data``, for the message.
        given: the keys of that section; one that is no text (``1:``) is never known.
        known_types: dataclasses whose fields may stand there.

    Returns:
        Pairs of a message's subject (``data.doc_strid``) and the nearest name or None.
    """
    known = {field.name for cls in known_types for field in dataclasses.fields(cls)}
    found = []
    for name in given:
        if name in known:
            continue
        alias = _ELSEWHERE.get(name)
        near = [alias] if alias in known else difflib.get_close_matches(str(name), known, 1, 0.7)
        found.append((key_in(section, name), near[0] if near else None))
    return found


def check_keys(
    hparams: Mapping[str, Any],
    data_config: Mapping[str, Any],
    hyperparameter_types: Iterable[type],
    data_types: Iterable[type],
    strict: bool = False,
) -> None:
    """Warns of keys that nobody reads, with the nearest name that somebody does.

    A key far from every known name may be one that the user's own trial reads; it is only mentioned
    at level DEBUG.

    Raises:
        UserError: in strict mode, naming all unknown keys.
    """
    found = unknown_keys("hyperparameters", hparams, hyperparameter_types)
    found += unknown_keys("data", data_config, data_types)
    messages = [
        f"{subject} is not known" + (f"; did you mean {near}?" if near else "")
        for subject, near in found
    ]
    if strict and messages:
        raise UserError(
            "\n".join(messages)
            + "\nRename or remove "
            + ("it" if len(messages) == 1 else "them")
            + ", declare the trial's own keys in its hyperparameter_types or data_types, or run"
            " without --strict."
        )
    for message, (_, near) in zip(messages, found, strict=True):
        logger.log(logging.WARNING if near else logging.DEBUG, message)


def accumulate_gradients(
    context: pytorch.PyTorchTrialContext,
    options: OptionKwargs,
    experiment_config: Mapping[str, Any],
) -> None:
    """Sets what ``gradient_accumulation_steps`` asks for: Determined knows it by another name.

    Raises:
        UserError: when ``optimizations.aggregation_frequency`` says something else.
    """
    steps = options.gradient_accumulation_steps
    if steps is None:
        return
    frequency = (experiment_config.get("optimizations") or {}).get("aggregation_frequency")
    if frequency not in (None, 1, steps):
        raise UserError(
            f"hyperparameters.gradient_accumulation_steps is {steps}, but "
            f"optimizations.aggregation_frequency is {frequency}; they mean the same. Remove one "
            "of them."
        )
    context._aggregation_frequency = steps


def training_length(
    hparams: Mapping[str, Any], experiment_config: Mapping[str, Any]
) -> tuple[str, int] | None:
    """How long the experiment trains: ``("batches", n)``, ``("epochs", n)``, or None if unsaid.

    The first of these that is there counts: ``hyperparameters.max_steps``,
    ``hyperparameters.num_train_epochs``, ``searcher.max_length`` (old style),
    ``searcher.max_time`` with ``searcher.time_metric`` in batches or epochs,
    ``hyperparameters.num_training_steps``.

    Raises:
        UserError: when one of them is no whole number above 0.
    """
    (trial,) = parse_dict_to_dataclasses((TrialKwargs,), hparams)
    steps = typed_values(
        LRSchedulerKwargs, {"num_training_steps": hparams.get("num_training_steps")}
    )["num_training_steps"]
    lengths = {
        "max_steps": trial.max_steps,
        "num_train_epochs": trial.num_train_epochs,
        "num_training_steps": steps,
    }
    for name, value in lengths.items():
        if value is not None and value < 1:
            raise UserError(f"hyperparameters.{name} is {value}, but should be at least 1.")
    if trial.max_steps is not None:
        return "batches", trial.max_steps
    if trial.num_train_epochs is not None:
        return "epochs", trial.num_train_epochs
    searcher = experiment_config.get("searcher") or {}
    if searcher.get("max_length") is not None:
        unit, count = utils.searcher_max_length(experiment_config)
        if unit == "epochs":
            return unit, count
        batch = trial.global_batch_size or 1
        return "batches", max(utils.compute_num_training_steps(experiment_config, batch), 1)
    time, metric = searcher.get("max_time"), searcher.get("time_metric")
    if metric in ("batches", "epochs") and time is not None:
        if not utils.is_whole(time, 1):
            raise UserError(
                f"searcher.max_time is {utils.in_yaml(time)}, but should be a whole number above "
                f"0: searcher.time_metric is {metric}."
            )
        return metric, time
    return None if steps is None else ("batches", steps)


def missing_hparams(hparams: Mapping[str, Any], experiment_config: Mapping[str, Any]) -> list[str]:
    """The hyperparameters that are needed and are not there, each with what it is.

    Raises:
        UserError: when the length of the training, or of an epoch, is there but is no length.
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
            utils.records_per_epoch(experiment_config)
    if not hparams.get("global_batch_size"):
        missing.append("hyperparameters.global_batch_size (samples a training step)")
    return missing


def check_hparams(hparams: MutableMapping[str, Any], experiment_config: Mapping[str, Any]) -> None:
    """Fills in what can be derived and complains of all that is missing at once.

    ``num_training_steps`` is computed from the experiment's length where that is possible before
    the data is there; otherwise it becomes None, and the schedule takes its length from the
    training loader. ``use_pretrained_weights`` becomes true, with a warning.

    Raises:
        UserError: naming every missing hyperparameter.
    """
    missing = missing_hparams(hparams, experiment_config)
    if missing:
        raise UserError("missing from the configuration: " + "; ".join(missing) + ".")
    if hparams.get("num_training_steps") is None:
        unit, count = training_length(hparams, experiment_config) or ("epochs", 0)
        if unit == "batches":
            hparams["num_training_steps"] = count
        else:
            records = utils.records_per_epoch(experiment_config)
            steps = 0
            # It counts the samples of all rows, the loader will count those of the first few.
            sections = (hparams, experiment_config.get("data") or {})
            limited = any(section.get("max_train_samples") for section in sections)
            if records and hparams.get("num_train_epochs") is None and not limited:
                steps = count * int(records / int(hparams.get("global_batch_size") or 1))
            # A batch larger than an epoch gives 0, and with it a learning rate of 0.
            hparams["num_training_steps"] = steps or None
    if hparams.get("use_pretrained_weights") is None:
        logger.warning(
            "hyperparameters.use_pretrained_weights is not set; taking true, so the model starts "
            "from pretrained weights."
        )
        hparams["use_pretrained_weights"] = True
