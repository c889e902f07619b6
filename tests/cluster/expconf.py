"""What a master makes of an experiment configuration before a trial gets to see it."""

import copy
from typing import Any

# As in Determined's own schemas of the configuration, as far as they concern a training.
_DEFAULTS: dict[str, Any] = {
    "bind_mounts": [],
    "checkpoint_policy": "best",
    "data": {},
    "debug": False,
    "description": None,
    "entrypoint": None,
    "environment": {
        "environment_variables": [],
        "force_pull_image": False,
        "image": dict.fromkeys(("cpu", "cuda", "rocm"), "stand-in"),
        "ports": {},
    },
    "hyperparameters": {},
    "labels": [],
    "log_policies": [],
    "max_restarts": 5,
    "min_checkpoint_period": {"batches": 0},
    "min_validation_period": {"batches": 0},
    "name": "stand-in",
    "optimizations": {
        "aggregation_frequency": 1,
        "auto_tune_tensor_fusion": False,
        "average_aggregated_gradients": True,
        "average_training_metrics": True,
        "gradient_compression": False,
        "grad_updates_size_file": None,
        "mixed_precision": "O0",
        "tensor_fusion_cycle_time": 1,
        "tensor_fusion_threshold": 64,
    },
    "perform_initial_validation": False,
    "preemption_timeout": 3600,
    "profiling": {
        "enabled": False,
        "begin_on_batch": 0,
        "end_after_batch": None,
        "sync_timings": True,
    },
    "project": "",
    "records_per_epoch": 0,
    # A real master draws one; here the same experiment is to give the same numbers.
    "reproducibility": {"experiment_seed": 1234},
    "resources": {
        "devices": [],
        "native_parallel": False,
        "priority": None,
        "resource_pool": "default",
        "slots_per_trial": 1,
        "weight": 1,
    },
    "scheduling_unit": 100,
    "searcher": {
        "name": "single",
        "smaller_is_better": True,
        "source_trial_id": None,
        "source_checkpoint_uuid": None,
    },
    "workspace": "",
}
# What is chosen as a whole: a period in epochs does not also want the default in batches.
_WHOLE = {"min_checkpoint_period", "min_validation_period", "hyperparameters", "data"}


def complete(config: dict[str, Any], checkpoint_directory: str, slots: int) -> dict[str, Any]:
    """The configuration with all defaults, for a trial of `slots` slots, as a new dict.

    Checkpoints go to `checkpoint_directory`, whatever the configuration says: no test may write
    elsewhere.
    """
    full = _fill(copy.deepcopy(config), _DEFAULTS)
    full["resources"]["slots_per_trial"] = slots
    full["checkpoint_storage"] = {
        "type": "directory",
        "container_path": checkpoint_directory,
        "save_experiment_best": 0,
        "save_trial_best": 1,
        "save_trial_latest": 1,
    }
    variables = full["environment"]["environment_variables"]
    if isinstance(variables, list):
        variables = dict.fromkeys(("cpu", "cuda", "rocm"), variables)
    full["environment"]["environment_variables"] = variables
    full["hyperparameters"] = {
        name: _explicit(value) for name, value in full["hyperparameters"].items()
    }
    return full


def environment_variables(full: dict[str, Any]) -> dict[str, str]:
    """What the completed configuration wants in the environment of a container on CPU."""
    lines = full["environment"]["environment_variables"].get("cpu") or []
    return dict(line.split("=", 1) for line in lines)


def sample(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """One point of the search space that the completed configuration spans: its first."""
    return {name: _first(value) for name, value in hyperparameters.items()}


def _fill(given: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    filled = dict(given)
    for name, default in defaults.items():
        value = filled.get(name)
        if value is None:
            filled[name] = copy.deepcopy(default)
        elif isinstance(value, dict) and isinstance(default, dict) and name not in _WHOLE:
            filled[name] = _fill(value, default)
    return filled


def _explicit(value: Any) -> Any:
    """A plain value `x` is `{type: const, val: x}` to a master, and it is handed out like that."""
    if isinstance(value, dict):
        if isinstance(value.get("type"), str):
            return value
        return {name: _explicit(inner) for name, inner in value.items()}
    return {"type": "const", "val": value}


def _first(value: dict[str, Any]) -> Any:
    kind = value.get("type")
    if kind == "const":
        return value["val"]
    if kind == "categorical":
        return value["vals"][0]
    if kind in ("int", "double"):
        return value["minval"]
    if kind == "log":
        return float(value.get("base", 10)) ** value["minval"]
    return {name: _first(inner) for name, inner in value.items()}
