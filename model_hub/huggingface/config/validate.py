"""Messages about values of ``hyperparameters`` and ``data`` that are wrong or do not agree."""

import dataclasses
import difflib
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from determined import pytorch

from model_hub.errors import UserError
from model_hub.experiment.config import TRAINING_LENGTHS
from model_hub.huggingface.config import parsing
from model_hub.huggingface.config.fields import FlexibleKwargs
from model_hub.huggingface.config.names import MODEL_MODES, auto_model_class

#: End of the message about trained weights in float16.
NO_HALF_GRADIENTS = (
    "hyperparameters.fp16 scales gradients, which torch does only for weights in float32. Remove "
    "one of them."
)


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
    """Return a message if the trial declares ``model_modes`` and ``mode`` is another known mode.

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
