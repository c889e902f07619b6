"""Values of a YAML: how messages show them, and what is a whole number. Imports nothing heavy."""

from collections.abc import Mapping
from typing import Any, TypeGuard


def in_yaml(value: Any) -> str:
    """The value as a YAML spells it in one line, for messages; texts are quoted."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        items = (
            f"{k if isinstance(k, str) else in_yaml(k)}: {in_yaml(v)}" for k, v in value.items()
        )
        return f"{{{', '.join(items)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(in_yaml, value))}]"
    return repr(value)


def is_whole(value: Any, least: int) -> TypeGuard[int]:
    """Whether the value of a YAML key is a whole number, and not below ``least``."""
    # In Python True is an int as well; in a YAML it is not.
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
