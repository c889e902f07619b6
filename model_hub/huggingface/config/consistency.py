"""Checks of keys that have to suit each other: lengths, batches, the metric, the search."""

import dataclasses
import fnmatch
from collections.abc import Iterator, Mapping
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment.findings import WARNING, Finding, Path, finding_at
from model_hub.experiment.schema.ranges import is_range, possible_values
from model_hub.experiment.search_space import pick_hyperparameters
from model_hub.experiment.yaml_io import get_path, in_yaml, is_whole
from model_hub.huggingface.config import validate
from model_hub.huggingface.config.hparams import conflicting_accumulation, missing_hparams
from model_hub.huggingface.config.key_names import KnownKeys
from model_hub.huggingface.config.key_values import of_a_range

Config = Mapping[str, Any]

# Metrics of which the better direction is known.
_SMALLER_IS_BETTER = ("loss", "eval_loss", "validation_loss", "perplexity", "mse", "wer", "cer")
_LARGER_IS_BETTER = (
    "accuracy", "f1", "exact", "exact_match", "precision", "recall", "bleu", "rouge*",
    "matthews_correlation", "pearson", "spearmanr", "combined_score", "*_accuracy", "accuracy_*",
    "*_f1", "best_f1", "best_exact",
)  # fmt: skip


def consistency_findings(
    config: Config,
    trial_class: Any,
    known: KnownKeys,
    *,
    slots: int,
    unsmoothed_modes: Mapping[str, str],
) -> Iterator[Finding]:
    """Yield what is missing or contradictory.

    Args:
        config: the experiment's configuration, in which ``hyperparameters``, ``data`` and
            ``searcher`` are mappings; keys with a wrong value are left out.
        trial_class: None where it could not be imported.
        known: the keys of the trial.
        slots: processes that share a batch.
        unsmoothed_modes: as for :func:`validate.conflicting_hparams`.
    """
    hparams = config["hyperparameters"]
    yield from _stride(config["data"], known.data_types)
    yield from _batch_size(config, slots)
    yield from _lengths(config)
    messages = conflicting_accumulation(hparams.get("gradient_accumulation_steps"), config)
    messages += validate.conflicting_hparams(hparams, unsmoothed_modes)
    for message in messages:
        yield finding_at(config, message)
    if trial_class is not None:
        yield from _model_mode(config, trial_class)
        yield from _metric(config, trial_class)


def _possible(config: Config, name: str) -> Iterator[tuple[Path, Any]]:
    """Yield the possible values of a hyperparameter, each with its key."""
    return possible_values(config["hyperparameters"].get(name), ("hyperparameters", name))


def _stride(data: Mapping[str, Any], data_types: tuple[type, ...]) -> Iterator[Finding]:
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


def _batch_size(config: Config, slots: int) -> Iterator[Finding]:
    given = config["hyperparameters"].get("global_batch_size")
    candidates = list(_possible(config, "global_batch_size"))
    if is_range(given) and given["type"] == "int":
        path: Path = ("hyperparameters", "global_batch_size")
        candidates = [(path, number) for number in range(given["minval"], given["maxval"] + 1)]
    for path, value in candidates:
        for message in validate.invalid_batch_size(value, slots):
            if is_range(given):
                values = f"type: categorical, vals: [{slots * 4}, {slots * 8}]"
                key = "hyperparameters.global_batch_size"
                message = of_a_range(message, key, given).partition(". ")[0]
                message += f"; write multiples of {slots}, for instance {values}"
            yield Finding(path, message.rstrip("."))
            return


def _lengths(config: Config) -> Iterator[Finding]:
    """Yield what is missing, above all the length of the training, and contradictory lengths."""
    try:
        hparams, _ = pick_hyperparameters(config["hyperparameters"], 0)
        for message in missing_hparams(hparams, config):
            text = f"missing from the configuration: {message}"
            yield Finding(("hyperparameters",), text, missing=True)
    except UserError as error:
        yield finding_at(config, str(error))
        return
    for message in validate.unused_lengths(config):
        yield finding_at(config, message, WARNING)
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


def search_findings(config: Config) -> Iterator[Finding]:
    """Yield a search that has nothing to search, or that sees no result in time.

    Args:
        config: the experiment's configuration, with ranges; ``searcher`` and ``hyperparameters``
            are mappings.
    """
    searcher, method = config["searcher"], config["searcher"].get("name")
    if method in ("random", "grid", "adaptive_asha", "async_halving") and not any(
        map(_has_range, config["hyperparameters"].values())
    ):
        yield Finding(
            ("searcher", "name"),
            f"searcher.name is {method}, but hyperparameters has no range, so that all trials "
            "have the same values; write for instance learning_rate: {type: log, base: 10, "
            "minval: -5, maxval: -3}, or searcher.name: single",
            WARNING,
        )
    end, unit = searcher.get("max_time"), searcher.get("time_metric")
    period = get_path(config, "min_validation_period", str(unit))
    halves = method in ("adaptive_asha", "async_halving")
    if halves and is_whole(end, 1) and is_whole(period, 1) and period > end:
        yield Finding(
            ("searcher", "max_time"),
            f"searcher.max_time is {end} {unit}, but min_validation_period is {period} {unit}, "
            "so that no trial is compared before its end; write a shorter period, for instance "
            f"min_validation_period: {{{unit}: {max(end // 4, 1)}}}",
        )


def _has_range(value: Any) -> bool:
    if is_range(value):
        return bool(value["type"] != "const")
    return isinstance(value, Mapping) and any(map(_has_range, value.values()))


def unread_findings(config: Config) -> Iterator[Finding]:
    """Yield keys that Determined accepts, and that nothing reads."""
    level = get_path(config, "optimizations", "mixed_precision")
    if level not in (None, "O0"):
        yield Finding(
            ("optimizations", "mixed_precision"),
            f"optimizations.mixed_precision is {level}, which nothing reads; write "
            "hyperparameters.bf16: true or hyperparameters.fp16: true, and remove the key",
        )


def _model_mode(config: Config, trial_class: Any) -> Iterator[Finding]:
    given = config["hyperparameters"].get("model_mode")
    for path, value in _possible(config, "model_mode"):
        for message in validate.wrong_model_mode(trial_class, value):
            yield Finding(path, of_a_range(message, "hyperparameters.model_mode", given))


def _metric(config: Config, trial_class: Any) -> Iterator[Finding]:
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
