"""Parts of error messages: the name that may be meant, lists of names, values."""

import difflib
import math
from collections.abc import Iterable
from typing import Any

from model_hub.experiment.yaml_io import in_yaml


def advise_unquoting(value: Any) -> str:
    """Return advice for a number in quotes, which YAML reads as text; else an empty text."""
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    return f"; remove the quotes: {value.strip()}" if math.isfinite(number) else ""


def did_you_mean(name: Any, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return advice for a misspelt name; an empty text where no known name is similar enough."""
    near = difflib.get_close_matches(str(name).lower(), list(known), 1, cutoff)
    return f"; did you mean {near[0]}?" if near else ""


def join_or(names: Iterable[str]) -> str:
    """Return the names as ``a, b or c``."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def truncate(value: Any) -> str:
    """Return the value as YAML spells it, cut to 80 characters."""
    text = in_yaml(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
