"""An experiment's YAML on this machine: read, overridden, completed, picked from, imported."""

import copy
import importlib
import io
import math
import os
import pathlib
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ruamel.yaml
from determined import pytorch

from model_hub import _yaml
from model_hub._entrypoint import trial_spec as trial_spec
from model_hub.errors import UserError
from model_hub.huggingface._top_level import check_top_level
from model_hub.utils import in_yaml, is_whole

# What a master fills in where the YAML is silent, as far as training reads it. Periods of 0 batches
# mean "only at the end".
_DEFAULTS: dict[str, Any] = {
    "optimizations": {
        "aggregation_frequency": 1,
        "average_aggregated_gradients": True,
        "gradient_compression": False,
    },
    "min_checkpoint_period": {"batches": 0},
    "min_validation_period": {"batches": 0},
    "checkpoint_policy": "best",
    "perform_initial_validation": False,
    "searcher": {"smaller_is_better": True},
    "hyperparameters": {},
    "data": {},
}

# Mappings in which one key stands.
_ONE_UNIT = (("min_validation_period",), ("min_checkpoint_period",), ("searcher", "max_length"))
#: Keys that say how long the training is; the first that is there counts.
LENGTHS = (
    ("hyperparameters", "max_steps"),
    ("hyperparameters", "num_train_epochs"),
    ("searcher", "max_length"),
)

_RANGE_TYPES = ("categorical", "const", "double", "int", "log")


def read_config(path: pathlib.Path) -> dict[str, Any]:
    """Reads an experiment's YAML as ``det`` does: YAML 1.2, in which ``3e-5`` is a number.

    Raises:
        UserError: when there is no such file, it is no YAML, or no mapping.
    """
    config = _yaml.parse(_yaml.read(path), str(path))
    if not isinstance(config, dict):
        found = "is empty" if config is None else f"holds {in_yaml(config)[:60]}"
        raise UserError(
            f"{path}: should hold keys such as 'hyperparameters:' and 'data:', but {found}."
        )
    return config


def dump_config(config: Mapping[str, Any]) -> str:
    """The configuration as YAML text that :func:`read_config` reads back the same."""
    yaml = ruamel.yaml.YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 1_000_000  # Long texts stay on their line.
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump(_yaml.plain(config), stream)
    return stream.getvalue()


def override(config: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Applies ``a.b=value`` settings, in the spelling of ``det experiment create --config``.

    What can be said in one way only is said anew: ``min_validation_period.batches=100`` takes the
    place of ``{epochs: 1}``, and ``hyperparameters.max_steps=2`` that of ``num_train_epochs``.

    Args:
        config: the configuration; it is not changed.
        assignments: texts of the form ``key.subkey=value``; the value is read as YAML, and one
            with commas outside of brackets as a list.

    Raises:
        UserError: for a text without ``=``, or a path through something that is no mapping.
    """
    result: dict[str, Any] = copy.deepcopy(dict(config))
    said: list[tuple[str, ...]] = []
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path.strip():
            raise UserError(
                f"--config {assignment!r}: write key=value, for instance "
                "hyperparameters.learning_rate=1e-4."
            )
        where = f"--config {path}"
        if "," in text and not text.startswith(("[", "{", '"', "'")):
            value: Any = [_yaml.parse(part, where) for part in text.split(",")]
        else:
            value = _yaml.parse(text, where)
        *parents, last = path.strip().split(".")
        node = result
        for name in parents:
            if node.get(name) is None:
                node[name] = {}
            node = node[name]
            if not isinstance(node, dict):
                raise UserError(
                    f"{where}: {name!r} is {in_yaml(node)}, which has no keys below it."
                )
        node[last] = value
        if value is not None:
            said.append((*parents, last))
    for mapping in _ONE_UNIT:
        units = [(*mapping, unit) for unit in ("batches", "records", "epochs")]
        _keep_said(result, units, said)
    _keep_said(result, LENGTHS, said)
    return result


def _keep_said(
    config: dict[str, Any],
    alternatives: Sequence[tuple[str, ...]],
    said: Sequence[tuple[str, ...]],
) -> None:
    """Of keys that exclude each other, drops those that are not said, if any is said."""
    unsaid = [path for path in alternatives if not any(key[: len(path)] == path for key in said)]
    if len(unsaid) == len(alternatives):
        return
    for *parents, last in unsaid:
        node: Any = config
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(last, None)


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with what a master would fill in.

    Raises:
        UserError: naming all that :func:`check_top_level` finds.
    """
    check_top_level(config)
    result: dict[str, Any] = copy.deepcopy(dict(config))
    for key, default in _DEFAULTS.items():
        value = result.get(key)
        if value is None:
            result[key] = copy.deepcopy(default)
        elif isinstance(default, dict) and not key.startswith("min_"):
            # Null means "not said", here as well.
            said = {k: v for k, v in value.items() if v is not None or k not in default}
            result[key] = {**copy.deepcopy(default), **said}
    storage = result.get("checkpoint_storage") or {}
    for key in ("save_trial_latest", "save_trial_best"):
        if storage.get(key) is None:
            storage.pop(key, None)
    if result.get("scheduling_unit") is None:
        result.pop("scheduling_unit", None)
    return result


def experiment_seed(config: Mapping[str, Any]) -> int:
    """``reproducibility.experiment_seed`` of a completed configuration, or 0."""
    seed = (config.get("reproducibility") or {}).get("experiment_seed")
    if seed is None:
        return 0
    if not is_whole(seed, 0) or seed >= 2**32:
        raise UserError(
            f"reproducibility.experiment_seed is {in_yaml(seed)}, but should be a whole number "
            "of 0 or more."
        )
    return seed


def pick_hyperparameters(
    hparams: Mapping[str, Any], seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Takes one value out of every range, as one trial of a search would.

    The pick for a key depends on the seed and the key alone, so it stays when other keys change.

    Args:
        hparams: section ``hyperparameters``; ranges are ``{type: double, minval: 0, maxval: 1}``
            and the like, also below other keys.
        seed: the experiment's seed.

    Returns:
        The hyperparameters with a value everywhere; and those that were picked, by dotted name.

    Raises:
        UserError: for a range that lacks something, is empty, or has a bound that is no number.
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
    missing = [key for key in needed.get(kind, ["minval", "maxval"]) if key not in space]
    where = f"hyperparameters.{name}"
    if missing:
        raise UserError(f"{where}: a range of type {kind} needs {', '.join(missing)} as well.")
    if kind == "const":
        return space["val"]
    if kind == "categorical":
        if not isinstance(space["vals"], list) or not space["vals"]:
            raise UserError(
                f"{where}: vals is {in_yaml(space['vals'])}, but should be a list of values."
            )
        return rng.choice(space["vals"])
    for key in ("minval", "maxval", "base") if kind == "log" else ("minval", "maxval"):
        number = space[key]
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            raise UserError(f"{where}: {key} is {in_yaml(number)}, but should be a number.")
        if not math.isfinite(number) or (key == "base" and number <= 0):
            above = " above 0" if key == "base" else ""
            raise UserError(f"{where}: {key} is {number}, but should be a finite number{above}.")
    low, high = space["minval"], space["maxval"]
    if low > high:
        raise UserError(f"{where}: there is nothing between minval {low!r} and maxval {high!r}.")
    if kind == "int":
        return rng.randint(int(low), int(high))
    value = rng.uniform(low, high)
    if kind == "double":
        return value
    try:
        return float(space["base"]) ** value
    except OverflowError:
        raise UserError(
            f"{where}: base {space['base']} to the power of minval {low} to maxval {high} is too "
            "large; in a range of type log, minval and maxval are exponents."
        ) from None


def import_trial(spec: str, context_dir: pathlib.Path) -> type[pytorch.PyTorchTrial]:
    """Imports a trial class; ``context_dir`` comes first on the module path, and stays there.

    Args:
        spec: ``module:Class``.
        context_dir: the folder that is submitted with the experiment.

    Raises:
        UserError: when the module is not there, or has no such trial class.
    """
    module_name, _, class_name = spec.partition(":")
    folder = os.fspath(context_dir.resolve())
    sys.path[:] = [folder, *(path for path in sys.path if path != folder)]
    loaded = getattr(sys.modules.get(module_name), "__file__", None)
    if loaded is not None and not pathlib.Path(loaded).is_relative_to(folder):
        # Another experiment's module of this name, of a run before in the same process.
        del sys.modules[module_name]
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name.split(".")[0]:
            # The trial's own import of something else failed: that is its author's to see whole.
            raise
        files = sorted(path.name for path in context_dir.glob("*.py"))
        raise UserError(
            f"entrypoint: there is no module {module_name!r} in {folder}, only "
            f"{', '.join(files) or 'no Python file'}. Name the folder that holds the trial after "
            "the YAML file: CONFIG.yaml FOLDER."
        ) from error
    for name in class_name.split("."):
        found = getattr(found, name, None)
    if not isinstance(found, type) or not issubclass(found, pytorch.PyTorchTrial):
        module = sys.modules[module_name]
        classes = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type)
            and issubclass(value, pytorch.PyTorchTrial)
            and value.__module__ == module_name
        ]
        raise UserError(
            f"entrypoint: {spec!r} is no trial class; the module has "
            f"{', '.join(classes) or 'none'}. A trial class derives from BaseTransformerTrial."
        )
    return found
