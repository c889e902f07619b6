"""Checks of sections ``hyperparameters`` and ``data``, before anything is loaded."""

import dataclasses
import difflib
import fnmatch
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from determined import pytorch

from model_hub.errors import UserError
from model_hub.experiment.config import TRAINING_LENGTHS
from model_hub.huggingface.config import packages, parsing
from model_hub.huggingface.config.fields import FlexibleKwargs
from model_hub.huggingface.config.hparams import logger, misplaced_sample_limits
from model_hub.huggingface.config.names import MODEL_MODES, auto_model_class
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.config.parsing import key_in

# Names of other libraries, which are spelt too differently from ours to be found by similarity.
_OTHER_NAMES = {
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


def unknown_keys(
    section: str,
    given: Mapping[Any, Any],
    known_types: Iterable[type],
    other_types: Iterable[type] = (),
) -> list[tuple[str, str | None]]:
    """Return the keys that none of the dataclasses has, each with the most similar known name.

    A key that is not text (``1:``) is never known. A key of the other section (``other_types``)
    that is null is not set, so it makes no difference where it is.

    Returns:
        Pairs of a key as messages show it (``data.doc_strid``) and a known name or None.
    """
    known, of_other = field_names(known_types), field_names(other_types)
    found = []
    for name, value in given.items():
        if name in known or (value is None and name in of_other):
            continue
        alias = _OTHER_NAMES.get(name)
        near = [alias] if alias in known else difflib.get_close_matches(str(name), known, 1, 0.7)
        found.append((key_in(section, name), near[0] if near else None))
    return found


def field_names(dataclass_types: Iterable[type]) -> set[str]:
    """Return the names of all fields of some dataclasses."""
    return {field.name for cls in dataclass_types for field in dataclasses.fields(cls)}


def check_keys(
    hparams: Mapping[str, Any],
    data_config: Mapping[str, Any],
    hyperparameter_types: Iterable[type],
    data_types: Iterable[type],
    strict: bool = False,
) -> None:
    """Log a warning for each unknown key that resembles a known one.

    A key that resembles none may be one that the user's own trial reads; it is logged at level
    DEBUG. The known keys are the fields of the dataclasses.

    Raises:
        UserError: in strict mode, naming all unknown keys.
    """
    found = unknown_keys("hyperparameters", hparams, hyperparameter_types, data_types)
    found += unknown_keys("data", data_config, data_types, hyperparameter_types)
    messages = [
        f"{key} is not known" + (f"; did you mean {near}?" if near else "") for key, near in found
    ]
    if strict and messages:
        advice = (
            "Rename or remove what is not known, declare the trial's own keys in its "
            "hyperparameter_types or data_types, or run without --strict."
        )
        raise UserError("\n".join([*messages, advice]))
    for message, (_, near) in zip(messages, found, strict=True):
        logger.log(logging.WARNING if near else logging.DEBUG, message)


#: End of the message about trained weights in float16.
NO_HALF_GRADIENTS = (
    "hyperparameters.fp16 scales gradients, which torch does only for weights in float32. Remove "
    "one of them."
)


def check_settings(
    trial_class: type[pytorch.PyTorchTrial],
    hparams: Mapping[str, Any],
    data_config: Mapping[str, Any],
    *,
    slots: int,
    unsmoothed_modes: Mapping[str, str],
    strict: bool = False,
    searcher: Mapping[str, Any] | None = None,
) -> None:
    """Check the YAML before anything is loaded, and report all errors at once.

    Args:
        trial_class: the trial; its ``hyperparameter_types`` and ``data_types`` declare the keys
            that it reads. The keys of a trial without these are not checked.
        hparams: section ``hyperparameters``.
        data_config: section ``data``.
        slots: processes that share a batch.
        unsmoothed_modes: as for :func:`conflicting_hparams`.
        strict: whether unknown keys are errors.
        searcher: section ``searcher``, whose metric is compared with the trial's ``metric_names``;
            None leaves that to the first validation.

    Raises:
        UserError: naming all values of a wrong type or outside of their limits, a batch size that
            the slots cannot share, values that contradict each other, missing packages, and in
            strict mode all unknown keys.
    """
    hyperparameter_types = getattr(trial_class, "hyperparameter_types", ())
    data_types = getattr(trial_class, "data_types", ())
    problems = [
        message
        for values, types in ((hparams, hyperparameter_types), (data_config, data_types))
        for message in invalid_values(types, values)
    ]
    if not problems:
        problems += invalid_batch_size(hparams.get("global_batch_size"), slots)
        # In another trial these keys may have another meaning.
        if OptionKwargs in hyperparameter_types:
            problems += misplaced_sample_limits(hparams)
            problems += conflicting_hparams(hparams, unsmoothed_modes)
            problems += packages.missing_packages(hparams)
        problems += wrong_model_mode(trial_class, hparams.get("model_mode"))
    if searcher is not None:
        problems += unreported_metric(trial_class, searcher.get("metric"), hparams)
    if strict and hyperparameter_types:
        try:
            check_keys(hparams, data_config, hyperparameter_types, data_types, strict=True)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))


def invalid_values(dataclass_types: Iterable[type], values: Mapping[str, Any]) -> list[str]:
    """Return a message for each value that the types, limits or ``__post_init__`` do not allow.

    Values that are null count as missing and pass: the trial checks whether a key is missing.
    """
    # A dict, because several dataclasses with the same field give the same message.
    problems: dict[str, None] = {}
    for cls in dataclass_types:
        typed: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.init and values.get(field.name) is not None:
                try:
                    given = {field.name: values[field.name]}
                    typed.update(parsing.typed_values(cls, given))
                except UserError as error:
                    problems[str(error)] = None
        # First key by key, for one message each; then together, to find contradictions.
        found = [m for item in typed.items() for m in _rejected_by_dataclass(cls, dict([item]))]
        problems.update(dict.fromkeys(found or _rejected_by_dataclass(cls, typed)))
    return list(problems)


def _rejected_by_dataclass(cls: type, given: Mapping[str, Any]) -> list[str]:
    """Return the error of the dataclass's ``__post_init__``, if its required fields are given."""
    if not hasattr(cls, "__post_init__"):
        return []
    if not issubclass(cls, FlexibleKwargs) and not set(parsing.required_fields(cls)) <= set(given):
        return []
    try:
        cls(**given)
    except UserError as error:
        return [str(error)]
    return []


def unreported_metric(
    trial_class: type[pytorch.PyTorchTrial], metric: Any, hparams: Mapping[str, Any]
) -> list[str]:
    """Return a message if the trial declares ``metric_names`` and ``metric`` is none of them."""
    names: Sequence[str] = getattr(trial_class, "metric_names", ())
    if names and hasattr(trial_class, "metrics_of"):
        names = trial_class.metrics_of(hparams)
    if not names or not isinstance(metric, str):
        return []
    if any(fnmatch.fnmatchcase(metric, name) for name in names):
        return []
    near = difflib.get_close_matches(metric.lower(), [n for n in names if "*" not in n], 1, 0.6)
    return [
        f"searcher.metric is {metric!r}, which {trial_class.__name__} does not report"
        f"{f'; did you mean {near[0]}? It' if near else '; it'} reports {', '.join(names)}"
    ]


def wrong_model_mode(trial_class: type[pytorch.PyTorchTrial], mode: Any) -> list[str]:
    """Return a message if the trial declares ``model_modes`` and ``mode`` is another of the ten.

    Other Auto classes pass, because some of them build the same models.
    """
    modes: Sequence[str] = getattr(trial_class, "model_modes", ())
    modes = [modes] if isinstance(modes, str) else modes
    if not modes or not isinstance(mode, str):
        return []
    try:
        wanted = [auto_model_class(name) for name in modes]
    except UserError as error:
        return [f"{trial_class.__name__}.model_modes: {str(error).partition(': ')[2].rstrip('.')}"]
    try:
        given = auto_model_class(mode)
    except UserError:
        return []  # Building the model reports it.
    known = [auto_model_class(name) for name in MODEL_MODES]
    if given in wanted or given not in known:
        return []
    return [
        f"hyperparameters.model_mode is {mode!r}, but {trial_class.__name__} is made for "
        f"{' and '.join(modes)}; write model_mode: {modes[0]}"
    ]


def conflicting_hparams(
    hparams: Mapping[str, Any], unsmoothed_modes: Mapping[str, str]
) -> list[str]:
    """Return a message for hyperparameters that exclude each other, or do not suit the task.

    Ranges are not checked. ``unsmoothed_modes`` is ``UNSMOOTHED_MODES`` of
    ``model_hub.huggingface.tasks``, which this package may not import.
    """
    found = []
    factor = hparams.get("label_smoothing_factor")
    reason = unsmoothed_modes.get(str(hparams.get("model_mode")))
    if reason is not None and isinstance(factor, float) and factor:
        found.append(
            f"hyperparameters.label_smoothing_factor is {factor}, but {reason}. Remove the key."
        )
    quantized = [name for name in ("load_in_4bit", "load_in_8bit") if hparams.get(name) is True]
    if len(quantized) == 2:
        found.append(
            "hyperparameters.load_in_4bit and hyperparameters.load_in_8bit are both true; write "
            "one of them."
        )
    elif quantized and not hparams.get("peft"):
        found.append(
            f"hyperparameters.{quantized[0]} is true, but quantized weights cannot be "
            "trained. Write hyperparameters.peft to train an adapter, or remove the key."
        )
    # The weights of an adapter are in float32 nevertheless, or `check_trained_weights` finds them.
    halves = hparams.get("fp16") is True and hparams.get("dtype") == "float16"
    if halves and not hparams.get("peft"):
        found.append(f"hyperparameters.dtype is float16, but {NO_HALF_GRADIENTS}")
    return found


def unused_lengths(config: Mapping[str, Any]) -> list[str]:
    """Return a message for each length of the training that another one overrides."""
    lengths = [
        f"{section}.{name}"
        for section, name in TRAINING_LENGTHS
        if (config.get(section) or {}).get(name) is not None
    ]
    return [
        f"{name} has no effect, because {lengths[0]} sets the length; remove one of them"
        for name in lengths[1:]
    ]


def invalid_batch_size(batch: Any, slots: int) -> list[str]:
    """Return a message if a ``global_batch_size`` cannot be shared equally by the slots."""
    if not isinstance(batch, int) or isinstance(batch, bool):
        return []
    if batch < 1:
        return [f"hyperparameters.global_batch_size is {batch}, but should be at least 1."]
    if batch % max(slots, 1):
        fitting = max(batch - batch % slots, slots)
        return [
            f"hyperparameters.global_batch_size is {batch}, which {slots} slots cannot share "
            f"equally. Write a multiple of {slots}, for instance {fitting}."
        ]
    return []
