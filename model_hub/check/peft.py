"""Numbers and switches in ``hyperparameters.peft``, which peft looks at late or never."""

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from model_hub.check.findings import Path, Problem, dotted
from model_hub.check.messages import parse_unquoted, truncate
from model_hub.check.schema.ranges import is_range
from model_hub.errors import UserError
from model_hub.huggingface.config import peft_config


def peft_problems(settings: Any) -> Iterator[Problem]:
    """What is wrong with values of an adapter's fields; their names are looked at elsewhere.

    Args:
        settings: the value of ``hyperparameters.peft``.
    """
    if not isinstance(settings, Mapping) or not peft_config.peft_is_installed():
        return
    try:
        cls = peft_config.peft_config_class(settings)
    except UserError:
        return  # Told with the names.
    is_lora = cls is peft_config.peft_config_class({})
    hints = typing.get_type_hints(cls)
    for name, value in settings.items():
        if name not in hints or value is None or is_range(value):
            continue
        path: Path = ("hyperparameters", "peft", str(name))
        if is_lora and name == "r" and isinstance(value, int) and value < 1:
            wanted = "a whole number above 0"  # In others 0 may say: by another field.
        else:
            wanted = _wanted(name, value, {*(typing.get_args(hints[name]) or (hints[name],))})
        if wanted:
            message = (
                f"{dotted(path)} is {truncate(value)}, but should be "
                f"{wanted}{parse_unquoted(value)}"
            )
            yield Problem(path, message)


def _wanted(name: str, value: Any, kinds: set[Any]) -> str:
    """What should stand there instead; nothing if the value is right, or may be."""
    kinds = kinds - {type(None)}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kinds == {bool}:
        return "" if isinstance(value, bool) else "true or false"
    # A float is taken for many a field that is declared as a whole number.
    if not kinds or not kinds <= {int, float}:
        return ""
    if not is_number:
        return "a number"
    if name.endswith("dropout") and not 0 <= value <= 1:
        return "between 0 and 1"
    return ""
