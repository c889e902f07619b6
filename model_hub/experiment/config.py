"""An experiment's YAML on this machine: read, overridden, completed, picked from, imported."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment import yaml_io
from model_hub.experiment.yaml_io import in_yaml, is_whole


def records_per_epoch(experiment_config: Mapping[str, Any]) -> float | None:
    """``records_per_epoch`` of the YAML; None where it is absent, null or 0.

    Raises:
        UserError: when it is no number, or negative.
    """
    records = experiment_config.get("records_per_epoch")
    if records is None:
        return None
    if isinstance(records, bool) or not isinstance(records, (int, float)) or not records >= 0:
        raise UserError(
            f"records_per_epoch is {in_yaml(records)}, but should be a whole number above 0: the "
            "number of training samples."
        )
    return records or None


def searcher_max_length(experiment_config: Mapping[str, Any]) -> tuple[str, int]:
    """Unit (``batches``, ``records`` or ``epochs``) and number of ``searcher.max_length``.

    Raises:
        UserError: when it is not there, or not a length.
    """
    length = (experiment_config.get("searcher") or {}).get("max_length")
    if length is None:
        raise UserError(
            "searcher.max_length is not set, so the number of training steps is unknown; write "
            "hyperparameters.num_train_epochs, or hyperparameters.num_training_steps."
        )
    # The oldest files give a bare number, which means batches.
    values = dict(length) if isinstance(length, Mapping) else {"batches": length}
    unit, count = next(iter(values.items())) if len(values) == 1 else ("", None)
    if unit not in ("batches", "records", "epochs") or not is_whole(count, 1):
        raise UserError(
            f"searcher.max_length is {in_yaml(length)}, but should be one of "
            "batches, records and epochs with a whole number above 0; for instance {epochs: 2}."
        )
    return unit, count


_SECTIONS = (
    "checkpoint_storage",
    "data",
    "hyperparameters",
    "optimizations",
    "reproducibility",
    "searcher",
)
_UNITS = ("batches", "records", "epochs")

# Section (or None) and key -> the smallest whole number that may stand there.
_WHOLE_NUMBERS = {
    ("optimizations", "aggregation_frequency"): 1,
    (None, "scheduling_unit"): 1,
    ("checkpoint_storage", "save_trial_latest"): 0,
    ("checkpoint_storage", "save_trial_best"): 0,
}
_SWITCHES = ((None, "perform_initial_validation"), ("searcher", "smaller_is_better"))


def check_top_level(config: Mapping[str, Any]) -> None:
    """Checks what training reads outside of ``hyperparameters`` and ``data``.

    A key that is null counts as absent.

    Args:
        config: an experiment's configuration.

    Raises:
        UserError: naming all that is wrong.
    """
    problems = list(_problems(config))
    if problems:
        raise UserError("; ".join(problems) + ".")


def _problems(config: Mapping[str, Any]) -> Iterator[str]:
    for key in _SECTIONS:
        value = config.get(key)
        if value is not None and not isinstance(value, Mapping):
            yield _wrong(key, value, "a mapping of names to values")
    for (section, key), least in _WHOLE_NUMBERS.items():
        value = _value(config, section, key)
        if value is not None and not yaml_io.is_whole(value, least):
            yield _wrong(_name(section, key), value, f"a whole number of {least} or more")
    for section, key in _SWITCHES:
        value = _value(config, section, key)
        if value is not None and not isinstance(value, bool):
            yield _wrong(_name(section, key), value, "true or false")
    metric = _value(config, "searcher", "metric")
    if metric is not None and not isinstance(metric, str):
        yield _wrong("searcher.metric", metric, "text: the name of a metric")
    for key in ("min_validation_period", "min_checkpoint_period"):
        value = config.get(key)
        if value is not None and not _is_period(value):
            wanted = (
                "one of batches, records and epochs with a whole number of 0 or more; for "
                "instance {epochs: 1} or {batches: 500}"
            )
            yield _wrong(key, value, wanted)


def _value(config: Mapping[str, Any], section: str | None, key: str) -> Any:
    """The value; None where the section is absent, or wrong itself."""
    values = config.get(section) if section else config
    return values.get(key) if isinstance(values, Mapping) else None


def _is_period(value: Any) -> bool:
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    ((unit, count),) = value.items()
    return unit in _UNITS and yaml_io.is_whole(count, 0)


def _name(section: str | None, key: str) -> str:
    return f"{section}.{key}" if section else key


def _wrong(name: str, value: Any, wanted: str) -> str:
    return f"{name} is {yaml_io.in_yaml(value)}, but should be {wanted}"


# What a master fills in where the YAML is silent, as far as training reads it. Periods of 0 batches
# mean "only at the end".
_DEFAULTS: dict[str, Any] = {
    "optimizations": {
        "aggregation_frequency": 1,
        "average_aggregated_gradients": True,
        "gradient_compression": False,
    },
    "min_checkpoint_period": {"batches": 0},
    "min_validation_period": {"batches": 0},
    "checkpoint_policy": "best",
    "perform_initial_validation": False,
    "searcher": {"smaller_is_better": True},
    "hyperparameters": {},
    "data": {},
}

# Mappings in which one key stands.
_ONE_UNIT = (("min_validation_period",), ("min_checkpoint_period",), ("searcher", "max_length"))
#: Keys that say how long the training is; the first that is there counts.
TRAINING_LENGTHS = (
    ("hyperparameters", "max_steps"),
    ("hyperparameters", "num_train_epochs"),
    ("searcher", "max_length"),
)


def apply_overrides(config: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Applies ``a.b=value`` settings, in the spelling of ``det experiment create --config``.

    What can be said in one way only is said anew: ``min_validation_period.batches=100`` takes the
    place of ``{epochs: 1}``, and ``hyperparameters.max_steps=2`` that of ``num_train_epochs``.

    Args:
        config: the configuration; it is not changed.
        assignments: texts of the form ``key.subkey=value``; the value is read as YAML, and one
            with commas outside of brackets as a list.

    Raises:
        UserError: for a text without ``=``, or a path through something that is no mapping.
    """
    result: dict[str, Any] = copy.deepcopy(dict(config))
    said: list[tuple[str, ...]] = []
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path.strip():
            raise UserError(
                f"--config {assignment!r}: write key=value, for instance "
                "hyperparameters.learning_rate=1e-4."
            )
        where = f"--config {path}"
        if "," in text and not text.startswith(("[", "{", '"', "'")):
            value: Any = [yaml_io.parse_yaml(part, where) for part in text.split(",")]
        else:
            value = yaml_io.parse_yaml(text, where)
        *parents, last = path.strip().split(".")
        node = result
        for name in parents:
            if node.get(name) is None:
                node[name] = {}
            node = node[name]
            if not isinstance(node, dict):
                raise UserError(
                    f"{where}: {name!r} is {in_yaml(node)}, which has no keys below it."
                )
        node[last] = value
        if value is not None:
            said.append((*parents, last))
    for mapping in _ONE_UNIT:
        units = [(*mapping, unit) for unit in ("batches", "records", "epochs")]
        _merge(result, units, said)
    _merge(result, TRAINING_LENGTHS, said)
    return result


def _merge(
    config: dict[str, Any],
    alternatives: Sequence[tuple[str, ...]],
    said: Sequence[tuple[str, ...]],
) -> None:
    """Of keys that exclude each other, drops those that are not said, if any is said."""
    unsaid = [path for path in alternatives if not any(key[: len(path)] == path for key in said)]
    if len(unsaid) == len(alternatives):
        return
    for *parents, last in unsaid:
        node: Any = config
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(last, None)


def fill_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with what a master would fill in.

    Raises:
        UserError: naming all that :func:`check_top_level` finds.
    """
    check_top_level(config)
    result: dict[str, Any] = copy.deepcopy(dict(config))
    for key, default in _DEFAULTS.items():
        value = result.get(key)
        if value is None:
            result[key] = copy.deepcopy(default)
        elif isinstance(default, dict) and not key.startswith("min_"):
            # Null means "not said", here as well.
            said = {k: v for k, v in value.items() if v is not None or k not in default}
            result[key] = {**copy.deepcopy(default), **said}
    storage = result.get("checkpoint_storage") or {}
    for key in ("save_trial_latest", "save_trial_best"):
        if storage.get(key) is None:
            storage.pop(key, None)
    if result.get("scheduling_unit") is None:
        result.pop("scheduling_unit", None)
    return result


def experiment_seed(config: Mapping[str, Any]) -> int:
    """``reproducibility.experiment_seed`` of a completed configuration, or 0."""
    seed = (config.get("reproducibility") or {}).get("experiment_seed")
    if seed is None:
        return 0
    if not is_whole(seed, 0) or seed >= 2**32:
        raise UserError(
            f"reproducibility.experiment_seed is {in_yaml(seed)}, but should be a whole number "
            "of 0 or more."
        )
    return seed
