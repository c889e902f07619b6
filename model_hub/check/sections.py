"""Checks of ``hyperparameters`` and ``data`` against the trial; of lengths; of the metric."""

import dataclasses
import fnmatch
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from model_hub._hub import is_secret
from model_hub.check.document import Document
from model_hub.check.trial import TrialClass, is_ours
from model_hub.errors import UserError
from model_hub.experiment.findings import ERROR, WARNING, Finding, Path, dotted
from model_hub.experiment.messages import advise_unquoting
from model_hub.experiment.schema.ranges import is_range, possible_values
from model_hub.experiment.search_space import pick_hyperparameters
from model_hub.experiment.yaml_io import get_path, in_yaml, is_whole
from model_hub.huggingface.config import names, validate
from model_hub.huggingface.config.fields import HYPERPARAMETER_TYPES, DatasetKwargs, OptimizerKwargs
from model_hub.huggingface.config.hparams import conflicting_accumulation, missing_hparams
from model_hub.huggingface.tasks import UNSMOOTHED_MODES
from model_hub.huggingface.trial import BaseTransformerTrial

Config = Mapping[str, Any]
_Types = tuple[type, ...]

# Hyperparameters about models that people also write in section data, and what sets the same of
# data sets.
_OF_DATA_SETS = {
    "cache_dir": "the environment variable HF_DATASETS_CACHE sets where data sets are cached",
    "revision": "write data.dataset_revision",
}
# Metrics of which the better direction is known.
_SMALLER_IS_BETTER = ("loss", "eval_loss", "validation_loss", "perplexity", "mse", "wer", "cer")
_LARGER_IS_BETTER = (
    "accuracy", "f1", "exact", "exact_match", "precision", "recall", "bleu", "rouge*",
    "matthews_correlation", "pearson", "spearmanr", "combined_score", "*_accuracy", "accuracy_*",
    "*_f1", "best_f1", "best_exact",
)  # fmt: skip


def key_findings(
    document: Document, config: Config, trial_class: TrialClass | None
) -> Iterator[Finding]:
    """Yield what is wrong with single keys: their names, and types and limits of their values.

    Args:
        document: the YAML.
        config: its value; ``hyperparameters``, ``data``, ``searcher`` and others are mappings.
        trial_class: None where it could not be imported; then the keys of every trial are checked.
    """
    if not is_ours(trial_class):
        return
    hparam_types, data_types = _declared_types(trial_class)
    yield from _unknown_keys(config, trial_class, hparam_types, data_types)
    for section, dataclass_types in (("hyperparameters", hparam_types), ("data", data_types)):
        yield from _wrong_values(document, config, section, dataclass_types)
    yield from _unknown_names(config)


def consistency_findings(
    document: Document, config: Config, trial_class: TrialClass | None
) -> Iterator[Finding]:
    """Yield what is missing or contradictory; arguments as for :func:`key_findings`."""
    if not is_ours(trial_class):
        return
    hparams = config["hyperparameters"]
    yield from _stride(config["data"], _declared_types(trial_class)[1])
    yield from _batch_size(config)
    yield from _lengths(document, config)
    messages = conflicting_accumulation(hparams.get("gradient_accumulation_steps"), config)
    messages += validate.conflicting_hparams(hparams, UNSMOOTHED_MODES)
    for message in messages:
        yield document.finding(message)
    if trial_class is not None:
        yield from _model_mode(config, trial_class)
        yield from _metric(config, trial_class)


def _declared_types(trial_class: TrialClass | None) -> tuple[_Types, _Types]:
    """Return the dataclasses of hyperparameters and of data that a trial declares."""
    return (
        getattr(trial_class, "hyperparameter_types", HYPERPARAMETER_TYPES),
        getattr(trial_class, "data_types", (DatasetKwargs,)),
    )


def _unknown_keys(
    config: Config, trial_class: TrialClass | None, hparam_types: _Types, data_types: _Types
) -> Iterator[Finding]:
    """Yield misspelt keys as errors, others as warnings if the trial declares all that it reads."""
    data_declared = trial_class is not None and data_types is not BaseTransformerTrial.data_types
    for section, dataclass_types, declared, other, other_types in (
        ("hyperparameters", hparam_types, True, "data", data_types),
        ("data", data_types, data_declared, "hyperparameters", hparam_types),
    ):
        keys_of_other = {field.name for cls in other_types for field in dataclasses.fields(cls)}
        for name in config[section]:
            for key, near in validate.unknown_keys(section, [name], dataclass_types):
                path: Path = (section, name if isinstance(name, str) else in_yaml(name))
                if section == "data" and name in _OF_DATA_SETS:
                    yield Finding(path, f"{key} is not known; {_OF_DATA_SETS[name]}", WARNING)
                elif name in keys_of_other:
                    advice = f"; it is a key of section {other}: move it there"
                    yield Finding(path, f"{key} is not known{advice}", WARNING)
                elif near:
                    message = f"{key} is not known; did you mean {near}?"
                    yield Finding(path, message, ERROR if declared else WARNING)
                elif declared:
                    yield Finding(
                        path,
                        f"{key} is not known; remove it, or if the trial reads it, declare it "
                        f"in the trial's {'data' if section == 'data' else 'hyperparameter'}_types",
                        WARNING,
                    )


def _wrong_values(
    document: Document, config: Config, section: str, dataclass_types: _Types
) -> Iterator[Finding]:
    single_values: dict[str, Any] = {}
    has_error = False
    for name, given in config[section].items():
        path: Path = (section, str(name))
        values = possible_values(given, path) if section == "hyperparameters" else [(path, given)]
        for value_path, value in values:
            messages = validate.invalid_values(dataclass_types, {name: value})
            for message in messages[:1]:
                has_error = True
                if is_range(given) and given["type"] in ("int", "double", "log"):
                    message = message.replace(" is ", " may become ", 1)
                named = document.path_in(message)
                inside = named if named[: len(value_path)] == value_path else value_path
                yield Finding(inside, message.rstrip("."))
            if messages:
                break
            advice = advise_unquoting(value) if document.is_quoted(value_path) else ""
            if advice and not is_secret(str(name), value) and _is_number(dataclass_types, name):
                message = f"{dotted(value_path)} is the text {value!r}{advice}"
                yield Finding(value_path, message, WARNING)
        if not is_range(given):
            single_values[name] = given
    if not has_error:
        for message in validate.invalid_values(dataclass_types, single_values):
            yield document.finding(message)


def _is_number(dataclass_types: _Types, name: str) -> bool:
    """Return whether the key's value has to be a number."""
    return bool(validate.invalid_values(dataclass_types, {name: "text"}))


def _unknown_names(config: Config) -> Iterator[Finding]:
    """Yield modes, optimizers and schedules that transformers does not have."""
    checks: dict[str, Callable[[Any], Any]] = {
        "model_mode": names.auto_model_class,
        "optim": lambda name: names.optimizer_name(OptimizerKwargs(optim=name)),
        "lr_scheduler_type": names.scheduler_name,
    }
    for name, check in checks.items():
        for path, value in _possible(config, name):
            if isinstance(value, str):
                try:
                    check(value)
                except UserError as error:
                    yield Finding(path, str(error).rstrip("."))


def _possible(config: Config, name: str) -> Iterator[tuple[Path, Any]]:
    """Yield the possible values of a hyperparameter, each with its key."""
    return possible_values(config["hyperparameters"].get(name), ("hyperparameters", name))


def _stride(data: Mapping[str, Any], data_types: _Types) -> Iterator[Finding]:
    """Yield an error for windows that share as many tokens as they have."""
    fields = {field.name: field for cls in data_types for field in dataclasses.fields(cls)}
    if not {"doc_stride", "max_seq_length"} <= set(fields):
        return
    stride, length = (
        data.get(name, fields[name].default) for name in ("doc_stride", "max_seq_length")
    )
    if is_whole(stride, 0) and is_whole(length, 1) and stride >= length:
        is_set = "doc_stride" in data
        yield Finding(
            ("data", "doc_stride" if is_set else "max_seq_length"),
            f"data.doc_stride is {stride}{'' if is_set else ' if it is not set'}, but should be "
            f"less than data.max_seq_length, {length}: it is the number of tokens that two "
            f"windows share. Common is a third of the length, {length // 3}",
        )


def _batch_size(config: Config) -> Iterator[Finding]:
    slots = get_path(config, "resources", "slots_per_trial")
    slots = slots if is_whole(slots, 1) else 1
    given = config["hyperparameters"].get("global_batch_size")
    candidates = list(_possible(config, "global_batch_size"))
    if is_range(given) and given["type"] == "int":
        path: Path = ("hyperparameters", "global_batch_size")
        candidates = [(path, number) for number in range(given["minval"], given["maxval"] + 1)]
    for path, value in candidates:
        for message in validate.invalid_batch_size(value, slots):
            if is_range(given):
                values = f"type: categorical, vals: [{slots * 4}, {slots * 8}]"
                message = message.replace(" is ", " may become ", 1).partition(". ")[0]
                message += f"; write multiples of {slots}, for instance {values}"
            yield Finding(path, message.rstrip("."))
            return


def _lengths(document: Document, config: Config) -> Iterator[Finding]:
    """Yield what is missing, above all the length of the training, and contradictory lengths."""
    try:
        hparams, _ = pick_hyperparameters(config["hyperparameters"], 0)
        for message in missing_hparams(hparams, config):
            text = f"missing from the configuration: {message}"
            yield Finding(("hyperparameters",), text, missing=True)
    except UserError as error:
        yield document.finding(str(error))
        return
    for message in validate.unused_lengths(config):
        yield document.finding(message, WARNING)
    searcher = config["searcher"]
    end, unit = searcher.get("max_time"), searcher.get("time_metric")
    name = {"batches": "max_steps", "epochs": "num_train_epochs"}.get(str(unit), "")
    length = hparams.get(name)
    counts = name == "max_steps" or hparams.get("max_steps") is None
    if length is not None and counts and is_whole(end, 1) and length != end:
        yield Finding(
            ("searcher", "max_time"),
            f"searcher.max_time is {end}, but hyperparameters.{name} is {length}; write the same "
            f"number, or remove hyperparameters.{name}",
            WARNING,
        )


def _model_mode(config: Config, trial_class: TrialClass) -> Iterator[Finding]:
    for path, value in _possible(config, "model_mode"):
        for message in validate.wrong_model_mode(trial_class, value):
            yield Finding(path, message)


def _metric(config: Config, trial_class: TrialClass) -> Iterator[Finding]:
    searcher, hparams = config["searcher"], config["hyperparameters"]
    unit = searcher.get("time_metric")
    is_unit = unit in ("batches", "epochs")
    if not is_unit and validate.unreported_metric(trial_class, unit, hparams):
        yield Finding(
            ("searcher", "time_metric"),
            f"searcher.time_metric is {unit!r}, which {trial_class.__name__} does not report; "
            "write batches or epochs",
        )
    metric = searcher.get("metric")
    if not isinstance(metric, str):
        return
    for message in validate.unreported_metric(trial_class, metric, hparams):
        yield Finding(("searcher", "metric"), message)
        return
    smaller = searcher.get("smaller_is_better")
    configured = smaller if isinstance(smaller, bool) else True
    for patterns, right in ((_SMALLER_IS_BETTER, True), (_LARGER_IS_BETTER, False)):
        if configured is not right and any(fnmatch.fnmatchcase(metric, p) for p in patterns):
            found = f"is {in_yaml(smaller)}" if smaller is not None else "is not set, so true"
            yield Finding(
                ("searcher", "smaller_is_better"),
                f"searcher.smaller_is_better {found}, but {'smaller' if right else 'larger'} "
                f"values of {metric} are better; write smaller_is_better: {in_yaml(right)}",
                WARNING,
                missing=smaller is None,
            )
