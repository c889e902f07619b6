"""Values of ``hyperparameters.peft``, which the library peft itself checks late or never."""

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment.findings import Finding, Path, dotted
from model_hub.experiment.messages import advise_unquoting, truncate
from model_hub.experiment.schema.ranges import is_range
from model_hub.huggingface.config import peft_config


def untyped_adapter(settings: Any) -> Iterator[Finding]:
    """Yield an error for an adapter with ``type``, which the master takes for a range.

    Args:
        settings: the value of ``hyperparameters.peft``.
    """
    if isinstance(settings, Mapping) and "type" in settings and not is_range(settings):
        kind = truncate(settings["type"]).strip("'")
        message = (
            "hyperparameters.peft.type is the key of a range; write hyperparameters.peft.peft_type"
        )
        yield Finding(("hyperparameters", "peft", "type"), f"{message}: {kind}")


def peft_findings(settings: Any) -> Iterator[Finding]:
    """Yield what is wrong with the values of an adapter's fields.

    Args:
        settings: the value of ``hyperparameters.peft``.
    """
    if not isinstance(settings, Mapping) or not peft_config.peft_is_installed():
        return
    try:
        cls = peft_config.peft_config_class(settings)
    except UserError:
        return  # Reported by the check of the names.
    is_lora = cls is peft_config.peft_config_class({})
    hints = typing.get_type_hints(cls)
    for name, value in settings.items():
        if name not in hints or value is None or is_range(value):
            continue
        path: Path = ("hyperparameters", "peft", str(name))
        if is_lora and name == "r" and isinstance(value, int) and value < 1:
            expected = "a whole number above 0"  # In other types 0 may mean "see another field".
        else:
            expected = _expected(name, value, {*(typing.get_args(hints[name]) or (hints[name],))})
        if expected:
            message = (
                f"{dotted(path)} is {truncate(value)}, but should be "
                f"{expected}{advise_unquoting(value)}"
            )
            yield Finding(path, message)


def _expected(name: str, value: Any, kinds: set[Any]) -> str:
    """Return what a field of these types should be; an empty text if the value may be right."""
    kinds = kinds - {type(None)}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kinds == {bool}:
        return "" if isinstance(value, bool) else "true or false"
    # peft accepts floats for many fields that it declares as whole numbers.
    if not kinds or not kinds <= {int, float}:
        return ""
    if not is_number:
        return "a number"
    if name.endswith("dropout") and not 0 <= value <= 1:
        return "between 0 and 1"
    return ""
