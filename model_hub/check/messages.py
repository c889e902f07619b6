"""Words for messages: names that may be meant, lists, values."""

import difflib
import math
from collections.abc import Iterable
from typing import Any

from model_hub.experiment.yaml_io import in_yaml


def parse_unquoted(value: Any) -> str:
    """Advice for a number that quotes have made a text; nothing for other values."""
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    return f"; remove the quotes: {value.strip()}" if math.isfinite(number) else ""


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """Advice for a misspelt name; nothing where no known one is near."""
    near = difflib.get_close_matches(str(name).lower(), list(known), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


def join_or(names: Iterable[str]) -> str:
    """The names as ``a, b or c``."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def truncate(value: Any) -> str:
    """The value as in a YAML, cut where it is long."""
    text = in_yaml(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
