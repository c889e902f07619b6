"""Limits of numbers in the YAML, which are in the metadata of the dataclasses' fields.

``min`` and ``max`` are the least and the greatest value; ``below`` is one that is not reached::

    adam_beta1: float = dataclasses.field(default=0.9, metadata={"min": 0, "below": 1})
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from model_hub.errors import UserError


def expected_limits(metadata: Mapping[str, Any], value: Any) -> str:
    """Return the limits of a field, for messages, if the value is a number outside of them.

    Args:
        metadata: the field's metadata.
        value: its value; anything but a number passes.

    Returns:
        For instance ``at least 0 and below 1``; an empty text if nothing is wrong.
    """
    limits = {name: metadata[name] for name in ("min", "max", "below") if name in metadata}
    if not limits or isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    least, most = limits.get("min", -math.inf), limits.get("max", math.inf)
    # Written so that NaN is outside as well.
    if least <= value <= most and value < limits.get("below", math.inf):
        return ""
    words = {"min": "at least", "max": "at most", "below": "below"}
    text = " and ".join(f"{words[name]} {limit}" for name, limit in limits.items())
    return text if math.isfinite(value) else f"a finite number of {text}"


def limit_messages(kwargs: Any) -> list[str]:
    """Return a message for each field of a dataclass object that is outside of its limits."""
    messages = []
    for field in dataclasses.fields(kwargs):
        value = getattr(kwargs, field.name, None)
        expected = expected_limits(field.metadata, value)
        if expected:
            key = f"{kwargs.yaml_section}.{field.name}"
            messages.append(f"{key} is {value}, but should be {expected}")
    return messages


def check_limits(kwargs: Any) -> None:
    """Check all numbers of a dataclass object against the limits of their fields.

    Raises:
        UserError: naming all keys that are outside of their limits.
    """
    messages = limit_messages(kwargs)
    if messages:
        raise UserError("; ".join(messages) + ".")
