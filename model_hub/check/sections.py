"""Sections ``hyperparameters`` and ``data`` against what the trial reads; lengths; the metric."""

import dataclasses
import fnmatch
import math
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from model_hub._hub import is_secret
from model_hub.check import peft
from model_hub.check.deprecated import get_path
from model_hub.check.document import Document, problem_of
from model_hub.check.findings import ERROR, WARNING, Path, Problem, dotted
from model_hub.check.messages import parse_unquoted
from model_hub.check.schema.ranges import is_range, possible_values
from model_hub.check.trial import TrialClass, is_ours
from model_hub.errors import UserError
from model_hub.experiment.search_space import pick_hyperparameters
from model_hub.experiment.yaml_io import in_yaml, is_whole
from model_hub.huggingface.config import names, parsing, validate
from model_hub.huggingface.config.fields import HYPERPARAMETER_TYPES, DatasetKwargs, OptimizerKwargs
from model_hub.huggingface.config.hparams import (
    accumulate_gradients,
    conflicting_sample_limits,
    missing_hparams,
)
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.tasks import UNSMOOTHED_MODES
from model_hub.huggingface.trial import BaseTransformerTrial

# Least, most, whether the most itself may be, and the words for it.
_Limit = tuple[float, float, bool, str]
_NO_LESS_THAN_0: _Limit = (0, math.inf, False, "a finite number of 0 or more")
_DECAY: _Limit = (0, 1, False, "at least 0 and below 1")
_COUNT: _Limit = (1, math.inf, False, "at least 1")

_LIMITS: dict[str, dict[str, _Limit]] = {
    "hyperparameters": {
        "learning_rate": _NO_LESS_THAN_0,
        "weight_decay": _NO_LESS_THAN_0,
        "adam_beta1": _DECAY,
        "adam_beta2": _DECAY,
        "adam_epsilon": _NO_LESS_THAN_0,
        "num_warmup_steps": _NO_LESS_THAN_0,
        "warmup_ratio": (0, 1, True, "between 0 and 1"),
    },
    "data": {
        "max_seq_length": _COUNT,
        "n_best_size": _COUNT,
        "max_answer_length": _COUNT,
        "preprocessing_num_workers": _COUNT,
        "doc_stride": (0, math.inf, False, "at least 0"),
    },
}


def limit_problems(
    section: str, values: Mapping[str, Any], dataclass_types: Iterable[type]
) -> Iterator[Problem]:
    """Numbers outside of their limits, and a stride that is as long as its window.

    Args:
        section: ``hyperparameters`` or ``data``.
        values: the section.
        dataclass_types: what the trial reads; a key that none of these has may mean anything.
    """
    known = {field.name for cls in dataclass_types for field in dataclasses.fields(cls)}
    for name, limit in _LIMITS[section].items():
        if name not in known:
            continue
        least, most, included, words = limit
        for where, value in possible_values(values.get(name), (section, name)):
            if not _is_limit_number(value):
                continue
            # Written so that it finds .nan as well.
            if not (least <= value < most or (included and value == most)):
                verb = "may become" if is_range(values[name]) else "is"
                yield Problem(
                    where,
                    f"{dotted((section, name))} {verb} {in_yaml(value)}, but should be {words}",
                )
                break
    if {"doc_stride", "max_seq_length"} <= known:
        yield from _stride(section, values, dataclass_types)


def _stride(
    section: str, values: Mapping[str, Any], dataclass_types: Iterable[type]
) -> Iterator[Problem]:
    fields = {field.name: field for cls in dataclass_types for field in dataclasses.fields(cls)}
    stride, length = (
        values.get(name, fields[name].default) for name in ("doc_stride", "max_seq_length")
    )
    if _is_limit_number(stride) and _is_limit_number(length) and stride >= length > 0:
        said = "doc_stride" in values
        yield Problem(
            (section, "doc_stride" if said else "max_seq_length"),
            f"{section}.doc_stride is {stride}{'' if said else ' if it is not set'}, but should be "
            f"less than {section}.max_seq_length, {length}: it is the number of tokens that two "
            f"windows share. Common is a third of the length, {length // 3}",
        )


def _is_limit_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


Config = Mapping[str, Any]

# Of metrics by these names it is known which way is better.
_SMALLER_IS_BETTER = ("loss", "eval_loss", "validation_loss", "perplexity", "mse", "wer", "cer")
_LARGER_IS_BETTER = (
    "accuracy", "f1", "exact", "exact_match", "precision", "recall", "bleu", "rouge*",
    "matthews_correlation", "pearson", "spearmanr", "combined_score", "*_accuracy", "accuracy_*",
    "*_f1", "best_f1", "best_exact",
)  # fmt: skip


def key_problems(
    document: Document, config: Config, trial_class: TrialClass | None
) -> Iterator[Problem]:
    """What is wrong with single keys: their names, and types and ranges of their values.

    Args:
        document: the YAML.
        config: its value; ``hyperparameters``, ``data``, ``searcher`` and others are mappings.
        trial_class: None where it could not be imported; then the keys that every trial has are
            looked at.
    """
    if not is_ours(trial_class):
        return
    hparam_types, data_types = _types_read(trial_class)
    yield from _unknown(config, trial_class, hparam_types, data_types)
    for section, dataclass_types in (("hyperparameters", hparam_types), ("data", data_types)):
        yield from _values(document, config, section, dataclass_types)
    yield from _names_known(config)


def value_limit_problems(config: Config, trial_class: TrialClass | None) -> Iterator[Problem]:
    """Numbers of the right type that nothing can be built with; arguments as above."""
    if is_ours(trial_class):
        hparam_types, data_types = _types_read(trial_class)
        yield from limit_problems("hyperparameters", config["hyperparameters"], hparam_types)
        yield from limit_problems("data", config["data"], data_types)
        yield from peft.peft_problems(config["hyperparameters"].get("peft"))


def consistency_problems(
    document: Document, config: Config, trial_class: TrialClass | None
) -> Iterator[Problem]:
    """What is missing, or does not go together; arguments as for :func:`key_problems`."""
    if not is_ours(trial_class):
        return
    yield from _batch(config)
    yield from _lengths(document, config)
    messages = conflicting_sample_limits(config["hyperparameters"], config["data"])
    messages += validate.conflicting_hparams(config["hyperparameters"], UNSMOOTHED_MODES)
    for message in messages:
        yield problem_of(document, message)
    if trial_class is not None:
        yield from _mode(config, trial_class)
        yield from _metric(config, trial_class)


def _types_read(trial_class: TrialClass | None) -> tuple[tuple[type, ...], tuple[type, ...]]:
    """The dataclasses of hyperparameters and of data that a trial reads."""
    return (
        getattr(trial_class, "hyperparameter_types", HYPERPARAMETER_TYPES),
        getattr(trial_class, "data_types", (DatasetKwargs,)),
    )


def _unknown(
    config: Config,
    trial_class: TrialClass | None,
    hparam_types: tuple[type, ...],
    data_types: tuple[type, ...],
) -> Iterator[Problem]:
    """Misspelt keys are errors; others may be the trial's own, if it does not say which it has."""
    data_said = trial_class is not None and data_types is not BaseTransformerTrial.data_types
    for section, dataclass_types, said, other, other_types in (
        ("hyperparameters", hparam_types, True, "data", data_types),
        ("data", data_types, data_said, "hyperparameters", hparam_types),
    ):
        elsewhere = {field.name for cls in other_types for field in dataclasses.fields(cls)}
        for name in config[section]:
            for subject, near in validate.unknown_keys(section, [name], dataclass_types):
                path: Path = (section, name if isinstance(name, str) else in_yaml(name))
                if name in elsewhere:
                    move = f"it is a key of section {other}: move it there"
                    yield Problem(path, f"{subject} is not known; {move}", WARNING)
                elif near:
                    message = f"{subject} is not known; did you mean {near}?"
                    yield Problem(path, message, ERROR if said else WARNING)
                elif said:
                    yield Problem(
                        path,
                        f"{subject} is not known; remove it, or if the trial reads it, declare it "
                        f"in the trial's {'data' if section == 'data' else 'hyperparameter'}_types",
                        WARNING,
                    )


def _values(
    document: Document, config: Config, section: str, dataclass_types: tuple[type, ...]
) -> Iterator[Problem]:
    plain: dict[str, Any] = {}
    wrong = False
    for name, given in config[section].items():
        path: Path = (section, str(name))
        values = possible_values(given, path) if section == "hyperparameters" else [(path, given)]
        for where, value in values:
            found = validate.invalid_values(dataclass_types, {name: value})
            for message in found[:1]:
                wrong = True
                if is_range(given) and given["type"] in ("int", "double", "log"):
                    message = message.replace(" is ", " may become ", 1)
                named = document.path_in(message)
                inside = named if named[: len(where)] == where else where
                yield Problem(inside, message.rstrip("."))
            if found:
                break
            advice = parse_unquoted(value) if document.is_quoted(where) else ""
            if advice and not is_secret(str(name), value) and _is_number(dataclass_types, name):
                yield Problem(where, f"{dotted(where)} is the text {value!r}{advice}", WARNING)
        if not is_range(given):
            plain[name] = given
    if not wrong:
        for message in validate.invalid_values(dataclass_types, plain):
            yield problem_of(document, message)


def _is_number(dataclass_types: tuple[type, ...], name: str) -> bool:
    """Whether the key takes numbers and no text."""
    return bool(validate.invalid_values(dataclass_types, {name: "no number"}))


def _names_known(config: Config) -> Iterator[Problem]:
    """Modes, optimizers and schedules that transformers does not have."""
    checks: dict[str, Callable[[Any], Any]] = {
        "model_mode": names.auto_model_class,
        "optim": lambda name: names.optimizer_name(OptimizerKwargs(optim=name)),
        "lr_scheduler_type": names.scheduler_name,
    }
    for name, check in checks.items():
        path = ("hyperparameters", name)
        for where, value in possible_values(config["hyperparameters"].get(name), path):
            if isinstance(value, str):
                try:
                    check(value)
                except UserError as error:
                    yield Problem(where, str(error).rstrip("."))


def _batch(config: Config) -> Iterator[Problem]:
    slots = get_path(config, "resources", "slots_per_trial")
    slots = slots if is_whole(slots, 1) else 1
    path: Path = ("hyperparameters", "global_batch_size")
    given = config["hyperparameters"].get("global_batch_size")
    candidates = list(possible_values(given, path))
    if is_range(given) and given["type"] == "int":
        candidates = [(path, number) for number in range(given["minval"], given["maxval"] + 1)]
    for where, value in candidates:
        for message in validate.invalid_batch_size(value, slots):
            if is_range(given):
                values = f"type: categorical, vals: [{slots * 4}, {slots * 8}]"
                message = message.replace(" is ", " may become ", 1).partition(". ")[0]
                message += f"; write multiples of {slots}, for instance {values}"
            yield Problem(where, message.rstrip("."))
            return


def _lengths(document: Document, config: Config) -> Iterator[Problem]:
    """Is the length of the training there, once, and right?"""
    try:
        hparams, _ = pick_hyperparameters(config["hyperparameters"], 0)
    except UserError as error:
        yield problem_of(document, str(error))
        return
    try:
        for message in missing_hparams(hparams, config):
            if any(f".{name} " in message and is_whole(hparams[name], 0) for name in hparams):
                continue  # It is 0, which has been told.
            text = f"missing from the configuration: {message}"
            yield Problem(("hyperparameters",), text, missing=True)
        options = parsing.parse_dict_to_dataclasses((OptionKwargs,), hparams)[0]
        accumulate_gradients(types.SimpleNamespace(), options, config)  # type: ignore[arg-type]
    except UserError as error:
        yield problem_of(document, str(error))
        return
    searcher = config["searcher"]
    for message in validate.unused_lengths(config):
        yield problem_of(document, message, WARNING)
    end, unit = searcher.get("max_time"), searcher.get("time_metric")
    own = {"batches": "max_steps", "epochs": "num_train_epochs"}.get(str(unit), "")
    said = hparams.get(own)
    decides = own == "max_steps" or hparams.get("max_steps") is None
    if said is not None and decides and is_whole(end, 1) and said != end:
        yield Problem(
            ("searcher", "max_time"),
            f"searcher.max_time is {end}, but hyperparameters.{own} is {said}; write the same "
            f"number, or remove hyperparameters.{own}",
            WARNING,
        )


def _mode(config: Config, trial_class: TrialClass) -> Iterator[Problem]:
    path: Path = ("hyperparameters", "model_mode")
    for where, value in possible_values(config["hyperparameters"].get("model_mode"), path):
        for message in validate.wrong_model_mode(trial_class, value):
            yield Problem(where, message)


def _metric(config: Config, trial_class: TrialClass) -> Iterator[Problem]:
    metric = config["searcher"].get("metric")
    yield from _time_metric(config, trial_class)
    if not isinstance(metric, str):
        return
    for message in validate.unreported_metric(trial_class, metric, config["hyperparameters"]):
        yield Problem(("searcher", "metric"), message)
        return
    smaller = config["searcher"].get("smaller_is_better")
    said = smaller if isinstance(smaller, bool) else True
    for known, wanted in ((_SMALLER_IS_BETTER, True), (_LARGER_IS_BETTER, False)):
        if said is not wanted and any(fnmatch.fnmatchcase(metric, name) for name in known):
            found = f"is {in_yaml(smaller)}" if smaller is not None else "is not set, so true"
            yield Problem(
                ("searcher", "smaller_is_better"),
                f"searcher.smaller_is_better {found}, but of {metric} the "
                f"{'smaller' if wanted else 'larger'} is better; write smaller_is_better: "
                f"{in_yaml(wanted)}",
                WARNING,
                missing=smaller is None,
            )


def _time_metric(config: Config, trial_class: TrialClass) -> Iterator[Problem]:
    unit = config["searcher"].get("time_metric")
    lengths = ("batches", "epochs")
    if not isinstance(unit, str) or unit in lengths or not getattr(trial_class, "metric_names", ()):
        return
    if validate.unreported_metric(trial_class, unit, config["hyperparameters"]):
        yield Problem(
            ("searcher", "time_metric"),
            f"searcher.time_metric is {unit!r}, which {trial_class.__name__} does not report; "
            "write batches or epochs",
        )
