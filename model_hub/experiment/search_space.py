"""Picking of values from the ranges of a search."""

import math
import random
from collections.abc import Mapping
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment.findings import ERROR
from model_hub.experiment.schema.ranges import RANGE, is_range


def pick_hyperparameters(
    hparams: Mapping[str, Any], seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pick one value from every range, as for one trial of a search.

    The value of a key depends only on the seed and the key, not on other keys. A range such as
    ``{type: double, minval: 0, maxval: 1}`` may also be below another key.

    Returns:
        The hyperparameters without ranges; and the values that were picked, by dotted name.

    Raises:
        UserError: for a range that is not correct.
    """
    picked: dict[str, Any] = {}

    def resolve(value: Any, name: str) -> Any:
        if not isinstance(value, Mapping):
            return value
        if not is_range(value):
            return {key: resolve(item, f"{name}.{key}") for key, item in value.items()}
        for finding in RANGE.findings(value, ("hyperparameters", name)):
            if finding.severity == ERROR:
                raise UserError(f"{finding.message}.")
        chosen = _pick(value, name, random.Random(f"{seed}/{name}"))
        if value["type"] != "const":
            picked[name] = chosen
        return chosen

    return {key: resolve(value, key) for key, value in hparams.items()}, picked


def _pick(space: Mapping[str, Any], name: str, rng: random.Random) -> Any:
    kind = space["type"]
    if kind == "const":
        return space["val"]
    # The master accepts these two, and its trials fail.
    if kind == "categorical":
        if not space["vals"]:
            raise UserError(f"hyperparameters.{name}: vals is [], but should be a list of values.")
        return rng.choice(space["vals"])
    low, high = space["minval"], space["maxval"]
    for part in ("minval", "maxval", "base"):
        if not math.isfinite(space.get(part, 0)):
            raise UserError(
                f"hyperparameters.{name}: {part} is {space[part]}, but should be a finite number."
            )
    if kind == "int":
        return rng.randint(int(low), int(high))
    value = rng.uniform(low, high)
    if kind == "double":
        return value
    try:
        return float(space["base"]) ** value
    except OverflowError:
        raise UserError(
            f"hyperparameters.{name}: base {space['base']} to the power of minval {low} to maxval "
            f"{high} is too large; in a range of type log, minval and maxval are exponents."
        ) from None
