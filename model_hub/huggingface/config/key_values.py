"""Types, limits and names in the values of ``hyperparameters`` and ``data``."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from model_hub._hub import is_secret
from model_hub.errors import UserError
from model_hub.experiment.findings import WARNING, Finding, Path, dotted, finding_at, path_in
from model_hub.experiment.messages import advise_unquoting
from model_hub.experiment.schema.ranges import is_range, possible_values
from model_hub.huggingface.config import names, validate
from model_hub.huggingface.config.fields import OptimizerKwargs
from model_hub.huggingface.config.key_names import SECTIONS, KnownKeys

Config = Mapping[str, Any]
_Types = tuple[type, ...]


def value_findings(config: Config, known: KnownKeys) -> Iterator[Finding]:
    """Yield values of a wrong type or outside of their limits, and unknown names in values.

    Args:
        config: the experiment's configuration; both sections are mappings.
        known: the keys of the trial.
    """
    for section in SECTIONS:
        yield from _wrong_values(config, section, known.types(section))
    yield from _unknown_names(config)


def _wrong_values(config: Config, section: str, dataclass_types: _Types) -> Iterator[Finding]:
    single_values: dict[str, Any] = {}
    has_error = False
    for name, given in config[section].items():
        path: Path = (section, str(name))
        values = possible_values(given, path) if section == "hyperparameters" else [(path, given)]
        for value_path, value in values:
            messages = validate.invalid_values(dataclass_types, {name: value})
            for message in messages[:1]:
                has_error = True
                message = of_a_range(message, dotted(path), given)
                named = path_in(config, message)
                inside = named if named[: len(value_path)] == value_path else value_path
                yield Finding(inside, message.rstrip("."))
            if messages:
                break
            advice = advise_unquoting(value)
            if advice and not is_secret(str(name), value) and _is_number(dataclass_types, name):
                message = f"{dotted(value_path)} is the text {value!r}{advice}"
                yield Finding(value_path, message, WARNING)
        if not is_range(given):
            single_values[name] = given
    if not has_error:
        for message in validate.invalid_values(dataclass_types, single_values):
            yield finding_at(config, message)


def of_a_range(message: str, key: str, given: Any) -> str:
    """Return a message about a key's value, which it only may get if it is a range of values."""
    if not is_range(given) or given["type"] == "const" or not message.startswith(f"{key} is "):
        return message
    return f"{key} may become {message.removeprefix(f'{key} is ')}"


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
    hparams = config["hyperparameters"]
    for name, check in checks.items():
        for path, value in possible_values(hparams.get(name), ("hyperparameters", name)):
            if isinstance(value, str):
                try:
                    check(value)
                except UserError as error:
                    yield Finding(path, str(error).rstrip("."))
