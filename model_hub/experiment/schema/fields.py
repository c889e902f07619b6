"""Keys of Determined 0.38's experiment configuration, as a table.

The facts are those of Determined's reference of the experiment configuration. Sections
``hyperparameters`` (see ``ranges``) and ``data`` belong to the trial and are checked elsewhere. Of
what concerns the cluster alone (Slurm, PBS, pods, registries, Pachyderm, ...) only the key itself
is known here: the master checks what is below it when the experiment is submitted.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from model_hub.experiment.entrypoint import LAUNCHER, SCRIPT
from model_hub.experiment.findings import Finding, Path, dotted
from model_hub.experiment.schema.ranges import HYPERPARAMETERS, ranges_without_count
from model_hub.experiment.schema.types import (
    Anything,
    Bool,
    ByKind,
    Either,
    Keys,
    ListOf,
    Number,
    OneOf,
    Text,
)

UNITS = ("batches", "records", "epochs")
_MAPPING = Keys({}, open=True)
_TEXTS = ListOf(Text(null=False), form="a list of texts")

# --------------------------------------------------------------------- searcher: lengths, methods


def _length(least: int, example: str) -> Keys:
    form = (
        f"one of batches, records and epochs with a whole number of {least} or more; for "
        f"instance {example}"
    )

    def one_unit(value: Mapping[str, Any], path: Path) -> Iterator[Finding]:
        if len(value) != 1:
            yield Anything(form=form).wrong(value, path)

    return Keys(
        {unit: Number(min=least, whole=True, null=False) for unit in UNITS},
        form=form,
        rules=(one_unit,),
    )


_PERIOD = _length(0, "{epochs: 1} or {batches: 500}")
_LENGTH = _length(1, "{epochs: 2} or {batches: 5000}")
_MAX_LENGTH = Either(
    (Number(min=0, whole=True), _LENGTH), form=f"a whole number of batches, or {_LENGTH.expected}"
)

_SEARCHER: dict[str, Anything] = {
    "name": Text(form="single, random, grid or adaptive_asha"),
    "metric": Text(form="text: the name of a metric", null=False),
    "smaller_is_better": Bool(),
    "source_trial_id": Number(whole=True),
    "source_checkpoint_uuid": Text(),
}
_MANY_TRIALS: dict[str, Anything] = {
    **_SEARCHER,
    "max_concurrent_trials": Number(min=0, whole=True),
    "max_length": _MAX_LENGTH,
}
_MAX_TRIALS = Number(min=1, whole=True, null=False)
_HALVING: dict[str, Anything] = {
    **_MANY_TRIALS,
    "max_trials": _MAX_TRIALS,
    "max_time": Number(whole=True, null=False),
    "time_metric": Text(form="text: batches, epochs or a metric that grows", null=False),
    "divisor": Number(above=1),
    "stop_once": Bool(),
}
_HALVING_NEEDS = ("metric", "max_trials", "max_time", "time_metric")

_SEARCHERS = ByKind(
    "name",
    {
        "single": Keys({**_SEARCHER, "max_length": _MAX_LENGTH}, required=("metric",)),
        "random": Keys(
            {**_MANY_TRIALS, "max_trials": _MAX_TRIALS}, required=("metric", "max_trials")
        ),
        "grid": Keys(_MANY_TRIALS, required=("metric",)),
        "adaptive_asha": Keys(
            {
                **_HALVING,
                "bracket_rungs": ListOf(
                    Number(whole=True, null=False), form="a list of whole numbers"
                ),
                "mode": OneOf(("aggressive", "standard", "conservative")),
                "max_rungs": Number(min=1, whole=True),
            },
            required=_HALVING_NEEDS,
        ),
        "async_halving": Keys(
            {
                **_HALVING,
                "num_rungs": Number(min=1, whole=True, null=False),
                "max_length": _LENGTH,
            },
            required=(*_HALVING_NEEDS, "num_rungs"),
        ),
    },
    removed=dict.fromkeys(
        ("adaptive", "adaptive_simple", "sync_halving", "custom"), "write name: adaptive_asha"
    ),
    without_key=Keys(_SEARCHER, required=("name", "metric"), open=True),
    null=False,
)

# ---------------------------------------------------------------------------- the other sections

_LOG_ACTIONS = ("cancel_retries", "exclude_node")


def _name_or_pattern(value: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    if "name" not in value and not ("pattern" in value and "action" in value):
        yield Finding(
            path,
            f"{dotted(path)} has neither a name nor both pattern and action; write a name",
            missing=True,
        )


_LOG_POLICY = Keys(
    {
        "name": Text(),
        "pattern": Text(form="text: a regular expression"),
        "action": Either(
            (
                OneOf(_LOG_ACTIONS),
                ByKind(
                    "type",
                    {name: Keys({"type": Text()}) for name in _LOG_ACTIONS},
                    without_key=Keys({"type": Text()}, required=("type",)),
                ),
            ),
            form=" or ".join(_LOG_ACTIONS),
        ),
    },
    rules=(_name_or_pattern,),
    null=False,
)

_BIND_MOUNT = Keys(
    {
        "host_path": Text(pattern="^/", form="an absolute path", null=False),
        "container_path": Text(pattern=r"^(?!\.$)", form="a path other than '.'", null=False),
        "read_only": Bool(),
        "propagation": Text(),
    },
    required=("host_path", "container_path"),
    null=False,
)

_OPTIMIZATIONS = Keys(
    {
        "aggregation_frequency": Number(min=1, whole=True),
        "auto_tune_tensor_fusion": Bool(),
        "average_aggregated_gradients": Bool(),
        "average_training_metrics": Bool(),
        "gradient_compression": Bool(),
        "grad_updates_size_file": Text(),
        "mixed_precision": OneOf(("O0", "O1", "O2", "O3")),
        "tensor_fusion_cycle_time": Number(min=0, whole=True),
        "tensor_fusion_threshold": Number(min=0, whole=True),
    }
)

_KEPT_CHECKPOINTS: dict[str, Anything] = {
    name: Number(min=0, whole=True)
    for name in ("save_experiment_best", "save_trial_best", "save_trial_latest")
}
_STORAGE_KEYS = {
    "shared_fs": (
        "host_path", "storage_path", "propagation", "container_path", "checkpoint_path",
        "tensorboard_path",
    ),
    "directory": ("container_path",),
    "s3": ("access_key", "bucket", "secret_key", "endpoint_url", "prefix"),
    "gcs": ("bucket", "prefix"),
    "azure": ("container", "connection_string", "account_url", "credential"),
}  # fmt: skip
_CHECKPOINT_STORAGE = ByKind(
    "type",
    {
        kind: Keys({"type": Text(), **dict.fromkeys(names, Text()), **_KEPT_CHECKPOINTS})
        for kind, names in _STORAGE_KEYS.items()
    },
    without_key=Keys(
        {
            **{name: Anything() for names in _STORAGE_KEYS.values() for name in (*names, "user")},
            **_KEPT_CHECKPOINTS,
        }
    ),
)

_PROCESSORS = ("cpu", "cuda", "rocm", "gpu")
_ENVIRONMENT = Keys(
    {
        "image": Either(
            (Text(), Keys(dict.fromkeys(_PROCESSORS, Text()))),
            form="the name of an image, or such names by cpu, cuda and rocm",
        ),
        "environment_variables": Either(
            (_TEXTS, Keys(dict.fromkeys(_PROCESSORS, _TEXTS))),
            form="a list of NAME=VALUE, or such lists by cpu, cuda and rocm",
        ),
        "proxy_ports": ListOf(_MAPPING),
        "ports": _MAPPING,
        "force_pull_image": Bool(),
        "registry_auth": _MAPPING,
        "add_capabilities": _TEXTS,
        "drop_capabilities": _TEXTS,
        "pod_spec": _MAPPING,
    }
)

_MEMORY = r"^([0-9]*[.])?[0-9]+ ?(([kmgtpKMGTP]([iI]?[bB])?)|[bB])?$"
_RESOURCES = Keys(
    {
        "agent_label": Text(),
        "devices": ListOf(Anything()),
        "is_single_node": Bool(),
        "max_slots": Number(whole=True),
        "native_parallel": Bool(),
        "priority": Number(min=1, max=99, whole=True),
        "resource_pool": Text(),
        "shm_size": Either(
            (Number(whole=True), Text(pattern=_MEMORY)), form="a size of memory, for instance 4 GiB"
        ),
        "slots": Number(whole=True),
        "slots_per_trial": Number(min=0, whole=True),
        "weight": Number(),
    },
    hints={"slots_per_task": "write slots_per_trial"},
)

# ------------------------------------------------------------------------------------ the whole


class _Null(Anything):
    """Null alone."""

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        yield self.wrong(value, path)


class _Entrypoint(Anything):
    """A command: text, or a list of words."""

    def _findings(self, value: Any, path: Path) -> Iterator[Finding]:
        words = value if isinstance(value, list) else [value]
        if not all(isinstance(word, str) for word in words):
            yield self.wrong(value, path)


FIELDS: dict[str, Anything] = {
    "bind_mounts": ListOf(_BIND_MOUNT, form="a list of mappings with host_path and container_path"),
    "checkpoint_policy": OneOf(("best", "all", "none")),
    "checkpoint_storage": _CHECKPOINT_STORAGE,
    "data": _MAPPING,
    "data_layer": _MAPPING,
    "debug": Bool(),
    "description": Text(),
    "entrypoint": _Entrypoint(
        null=False, form=f"a command; for instance {LAUNCHER} {SCRIPT} qa_trial:QATrial"
    ),
    "environment": _ENVIRONMENT,
    "hyperparameters": HYPERPARAMETERS,
    "integrations": _MAPPING,
    "internal": _Null(form="null"),
    "labels": _TEXTS,
    "log_policies": ListOf(_LOG_POLICY, form="a list of policies"),
    "max_restarts": Number(min=0, whole=True),
    "min_checkpoint_period": _PERIOD,
    "min_validation_period": _PERIOD,
    "name": Text(),
    "optimizations": _OPTIMIZATIONS,
    "pbs": _MAPPING,
    "perform_initial_validation": Bool(),
    "preemption_timeout": Number(whole=True),
    "profiling": Keys({"enabled": Bool()}, open=True),
    "project": Text(),
    "records_per_epoch": Number(whole=True),
    "reproducibility": Keys({"experiment_seed": Number(min=0, max=2**32 - 1, whole=True)}),
    "resources": _RESOURCES,
    "retention_policy": Keys({"log_retention_days": Number(min=-1, max=32767, whole=True)}),
    "scheduling_unit": Number(min=1, whole=True),
    "searcher": _SEARCHERS,
    "security": _MAPPING,
    "slurm": _MAPPING,
    "tensorboard_storage": _MAPPING,
    "workspace": Text(),
}
_EXPERIMENT = Keys(FIELDS, required=("entrypoint", "searcher"))


def experiment_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what Determined's master would refuse in a configuration."""
    yield from _EXPERIMENT.findings(config, ())
    searcher, hparams = config.get("searcher"), config.get("hyperparameters")
    if isinstance(searcher, Mapping) and searcher.get("name") == "grid":
        yield from ranges_without_count(hparams, ("hyperparameters",))
