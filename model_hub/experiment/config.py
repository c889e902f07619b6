"""An experiment's configuration: read keys of it, override values, fill in defaults."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment import yaml_io
from model_hub.experiment.schema.fields import UNITS
from model_hub.experiment.yaml_io import get_path, in_yaml, is_whole


def records_per_epoch(experiment_config: Mapping[str, Any]) -> float | None:
    """Return ``records_per_epoch`` of the YAML; None where it is absent, null or 0.

    Raises:
        UserError: when it is not a number, or negative.
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
    """Return unit (``batches``, ``records`` or ``epochs``) and number of ``searcher.max_length``.

    Raises:
        UserError: when it is not set, or not a length.
    """
    length = (experiment_config.get("searcher") or {}).get("max_length")
    if length is None:
        raise UserError(
            "searcher.max_length is not set, so the number of training steps is unknown; write "
            "hyperparameters.num_train_epochs, or hyperparameters.num_training_steps."
        )
    unit, count = length_of(length)
    if unit not in UNITS or not is_whole(count, 1):
        raise UserError(
            f"searcher.max_length is {in_yaml(length)}, but should be one of "
            "batches, records and epochs with a whole number above 0; for instance {epochs: 2}."
        )
    return unit, count


def length_of(value: Any) -> tuple[Any, Any]:
    """Return the unit and number of a length: of ``{epochs: 2}`` or, in the oldest files, ``500``.

    Of a mapping with more or fewer keys than one, the unit is an empty text.
    """
    values = dict(value) if isinstance(value, Mapping) else {"batches": value}
    return next(iter(values.items())) if len(values) == 1 else ("", None)


# What the master fills in for absent keys, as far as training reads them. Periods of 0 batches mean
# "only at the end".
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

# Mappings that hold one unit with its number.
_LENGTHS = (("min_validation_period",), ("min_checkpoint_period",), ("searcher", "max_length"))
#: Keys for the length of the training; the first that is set counts.
TRAINING_LENGTHS = (
    ("hyperparameters", "max_steps"),
    ("hyperparameters", "num_train_epochs"),
    ("searcher", "max_length"),
)


def apply_overrides(config: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Apply ``a.b=value`` settings, in the spelling of ``det experiment create --config``.

    An override also removes the keys that exclude it: ``min_validation_period.batches=100`` takes
    the place of ``{epochs: 1}``, and ``hyperparameters.max_steps=2`` that of ``num_train_epochs``.

    Args:
        config: the configuration; it is not changed.
        assignments: texts of the form ``key.subkey=value``; the value is read as YAML, and one
            with commas outside of brackets as a list.

    Raises:
        UserError: for a text without ``=``, or a path through a value that is not a mapping.
    """
    result: dict[str, Any] = copy.deepcopy(dict(config))
    overridden: list[tuple[str, ...]] = []
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path.strip():
            raise UserError(
                f"--config {assignment!r}: write key=value, for instance "
                "hyperparameters.learning_rate=1e-4."
            )
        option = f"--config {path}"
        if "," in text and not text.startswith(("[", "{", '"', "'")):
            value: Any = [yaml_io.parse_yaml(part, option) for part in text.split(",")]
        else:
            value = yaml_io.parse_yaml(text, option)
        *parents, last = (name.strip() for name in path.split("."))
        if not all((*parents, last)):
            right = ".".join(filter(None, (*parents, last))) or "hyperparameters.learning_rate"
            raise UserError(
                f"{option}: there is no name before, after or between two dots; write "
                f"{right}={text}."
            )
        mapping = result
        for name in parents:
            if mapping.get(name) is None:
                mapping[name] = {}
            mapping = mapping[name]
            if not isinstance(mapping, dict):
                raise UserError(
                    f"{option}: {name!r} is {in_yaml(mapping)}, which has no keys below it."
                )
        mapping[last] = value
        if value is not None:
            overridden.append((*parents, last))
    for length in _LENGTHS:
        _drop_alternatives(result, [(*length, unit) for unit in UNITS], overridden)
    _drop_alternatives(result, TRAINING_LENGTHS, overridden)
    return result


def _drop_alternatives(
    config: dict[str, Any],
    alternatives: Sequence[tuple[str, ...]],
    overridden: Sequence[tuple[str, ...]],
) -> None:
    """If one of the keys that exclude each other is overridden, remove those that are not."""
    others = [
        path for path in alternatives if not any(key[: len(path)] == path for key in overridden)
    ]
    if len(others) == len(alternatives):
        return
    for *parents, last in others:
        mapping = get_path(config, *parents)
        if isinstance(mapping, dict):
            mapping.pop(last, None)


def fill_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with the defaults that a master would fill in.

    Outside of the trial's sections, 2.0 becomes 2, since a master does not tell them apart.

    Args:
        config: a correct configuration.
    """
    own = ("hyperparameters", "data")
    result: dict[str, Any] = {
        key: copy.deepcopy(value) if key in own else _without_point(value)
        for key, value in config.items()
    }
    for key, default in _DEFAULTS.items():
        value = result.get(key)
        if value is None:
            result[key] = copy.deepcopy(default)
        elif isinstance(default, dict) and not key.startswith("min_"):
            # Null means "not set" here as well.
            given = {k: v for k, v in value.items() if v is not None or k not in default}
            result[key] = {**copy.deepcopy(default), **given}
    storage = result.get("checkpoint_storage") or {}
    for key in ("save_trial_latest", "save_trial_best"):
        if storage.get(key) is None:
            storage.pop(key, None)
    if result.get("scheduling_unit") is None:
        result.pop("scheduling_unit", None)
    return result


def _without_point(value: Any) -> Any:
    """Return a copy in which floats that are whole numbers are ints."""
    if isinstance(value, Mapping):
        return {key: _without_point(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_point(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def experiment_seed(config: Mapping[str, Any]) -> int:
    """Return ``reproducibility.experiment_seed``, or 0 where it is not set.

    Args:
        config: a configuration that :func:`fill_defaults` has returned.
    """
    return (config.get("reproducibility") or {}).get("experiment_seed") or 0
