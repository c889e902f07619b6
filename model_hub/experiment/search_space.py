"""Picking of values from the ranges of a search."""

import math
import random
from collections.abc import Mapping
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment.yaml_io import in_yaml

_RANGE_TYPES = ("categorical", "const", "double", "int", "log")


def pick_hyperparameters(
    hparams: Mapping[str, Any], seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pick one value from every range, as for one trial of a search.

    The value of a key depends only on the seed and the key, not on other keys. A range such as
    ``{type: double, minval: 0, maxval: 1}`` may also be below another key.

    Returns:
        The hyperparameters without ranges; and the values that were picked, by dotted name.

    Raises:
        UserError: for a range that lacks a key, is empty, or has a bound that is not a number.
    """
    picked: dict[str, Any] = {}

    def resolve(value: Any, name: str) -> Any:
        if not isinstance(value, Mapping):
            return value
        if value.get("type") not in _RANGE_TYPES:
            return {key: resolve(item, f"{name}.{key}") for key, item in value.items()}
        chosen = _pick(value, name, random.Random(f"{seed}/{name}"))
        if value["type"] != "const":
            picked[name] = chosen
        return chosen

    return {key: resolve(value, key) for key, value in hparams.items()}, picked


def _pick(space: Mapping[str, Any], name: str, rng: random.Random) -> Any:
    kind = space["type"]
    needed = {"const": ["val"], "categorical": ["vals"], "log": ["minval", "maxval", "base"]}
    missing = [part for part in needed.get(kind, ["minval", "maxval"]) if part not in space]
    key = f"hyperparameters.{name}"
    if missing:
        raise UserError(f"{key}: a range of type {kind} needs {', '.join(missing)} as well.")
    if kind == "const":
        return space["val"]
    if kind == "categorical":
        if not isinstance(space["vals"], list) or not space["vals"]:
            raise UserError(
                f"{key}: vals is {in_yaml(space['vals'])}, but should be a list of values."
            )
        return rng.choice(space["vals"])
    for part in ("minval", "maxval", "base") if kind == "log" else ("minval", "maxval"):
        number = space[part]
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            raise UserError(f"{key}: {part} is {in_yaml(number)}, but should be a number.")
        if not math.isfinite(number) or (part == "base" and number <= 0):
            above = " above 0" if part == "base" else ""
            raise UserError(f"{key}: {part} is {number}, but should be a finite number{above}.")
    low, high = space["minval"], space["maxval"]
    if low > high:
        raise UserError(f"{key}: minval is {low!r}, but should be at most maxval, {high!r}.")
    if kind == "int":
        return rng.randint(int(low), int(high))
    value = rng.uniform(low, high)
    if kind == "double":
        return value
    try:
        return float(space["base"]) ** value
    except OverflowError:
        raise UserError(
            f"{key}: base {space['base']} to the power of minval {low} to maxval {high} is too "
            "large; in a range of type log, minval and maxval are exponents."
        ) from None
