"""The keys of an experiment's YAML outside of ``hyperparameters`` and ``data``: are they right?"""

from collections.abc import Iterator, Mapping
from typing import Any

from model_hub import utils
from model_hub.errors import UserError

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
        if value is not None and not utils.is_whole(value, least):
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
    return unit in _UNITS and utils.is_whole(count, 0)


def _name(section: str | None, key: str) -> str:
    return f"{section}.{key}" if section else key


def _wrong(name: str, value: Any, wanted: str) -> str:
    return f"{name} is {utils.in_yaml(value)}, but should be {wanted}"
