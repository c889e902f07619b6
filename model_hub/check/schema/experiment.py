"""What Determined 0.38 takes as an experiment's configuration, as a table.

The facts are those of Determined's reference of the experiment configuration. Sections
``hyperparameters`` (``ranges``) and ``data`` are the trial's, and looked into elsewhere.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from model_hub.check.findings import Path, Problem, dotted
from model_hub.check.schema.ranges import HYPERPARAMETERS, ranges_without_count
from model_hub.check.schema.resources import ENVIRONMENT, INTEGRATIONS, PBS, RESOURCES, SLURM
from model_hub.check.schema.storage import CHECKPOINT_STORAGE, TENSORBOARD_STORAGE
from model_hub.check.schema.types import (
    ByKind,
    Either,
    Keys,
    ListOf,
    Number,
    OneOf,
    Shape,
    Switch,
    Text,
)
from model_hub.experiment.entrypoint import LAUNCHER, SCRIPT

UNITS = ("batches", "records", "epochs")


def _length(least: int, example: str) -> Keys:
    form = (
        f"one of batches, records and epochs with a whole number of {least} or more; for "
        f"instance {example}"
    )

    def one_unit(value: Mapping[str, Any], path: Path) -> Iterator[Problem]:
        if len(value) != 1:
            yield LENGTH_SHAPES[least]._wrong(value, path)

    return Keys(
        {unit: Number(least=least, whole=True, null=False) for unit in UNITS},
        form=form,
        rules=(one_unit,),
    )


LENGTH_SHAPES = {
    0: _length(0, "{epochs: 1} or {batches: 500}"),
    1: _length(1, "{epochs: 2} or {batches: 5000}"),
}
_PERIOD = LENGTH_SHAPES[0]
_MAX_LENGTH = Either(
    (Number(least=0, whole=True), LENGTH_SHAPES[1]),
    f"a whole number of batches, or {LENGTH_SHAPES[1].words}",
)

# ------------------------------------------------------------------------------------- searcher

_ANY_SEARCHER: dict[str, Shape] = {
    "name": Text(form="single, random, grid or adaptive_asha"),
    "metric": Text(form="text: the name of a metric", null=False),
    "smaller_is_better": Switch(),
    "source_trial_id": Number(whole=True),
    "source_checkpoint_uuid": Text(),
}
_MANY_TRIALS: dict[str, Shape] = {
    **_ANY_SEARCHER,
    "max_concurrent_trials": Number(least=0, whole=True),
    "max_length": _MAX_LENGTH,
}
_MAX_TRIALS = Number(least=1, whole=True, null=False)
_HALVING: dict[str, Shape] = {
    **_MANY_TRIALS,
    "max_trials": _MAX_TRIALS,
    "max_time": Number(whole=True, null=False),
    "time_metric": Text(form="text: batches, epochs or a metric that grows", null=False),
    "divisor": Number(above=1),
    "stop_once": Switch(),
}
_HALVING_NEEDS = ("metric", "max_trials", "max_time", "time_metric")
_INSTEAD = "write name: adaptive_asha"

SEARCHER = ByKind(
    "name",
    {
        "single": Keys({**_ANY_SEARCHER, "max_length": _MAX_LENGTH}, required=("metric",)),
        "random": Keys(
            {**_MANY_TRIALS, "max_trials": _MAX_TRIALS}, required=("metric", "max_trials")
        ),
        "grid": Keys(_MANY_TRIALS, required=("metric",)),
        "adaptive_asha": Keys(
            {
                **_HALVING,
                "bracket_rungs": ListOf(Number(whole=True, null=False), "a list of whole numbers"),
                "mode": OneOf(("aggressive", "standard", "conservative")),
                "max_rungs": Number(least=1, whole=True),
            },
            required=_HALVING_NEEDS,
        ),
        "async_halving": Keys(
            {
                **_HALVING,
                "num_rungs": Number(least=1, whole=True, null=False),
                "max_length": LENGTH_SHAPES[1],
            },
            required=(*_HALVING_NEEDS, "num_rungs"),
        ),
    },
    gone=dict.fromkeys(("adaptive", "adaptive_simple", "sync_halving", "custom"), _INSTEAD),
    unsaid=Keys(_ANY_SEARCHER, required=("name", "metric"), open=True),
    null=False,
)

# ---------------------------------------------------------------------------- the small sections

_LOG_ACTIONS = ("cancel_retries", "exclude_node")


def _named_or_whole(value: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    if "name" not in value and not ("pattern" in value and "action" in value):
        yield Problem(
            path,
            f"{dotted(path)} has neither a name nor both pattern and action; write a name",
            missing=True,
        )


LOG_POLICY = Keys(
    {
        "name": Text(),
        "pattern": Text(form="text: a regular expression"),
        "action": Either(
            (
                OneOf(_LOG_ACTIONS),
                ByKind(
                    "type",
                    {name: Keys({"type": Text()}) for name in _LOG_ACTIONS},
                    unsaid=Keys({"type": Text()}, required=("type",)),
                ),
            ),
            " or ".join(_LOG_ACTIONS),
        ),
    },
    rules=(_named_or_whole,),
    null=False,
)

BIND_MOUNT = Keys(
    {
        "host_path": Text(pattern="^/", form="an absolute path", null=False),
        "container_path": Text(pattern=r"^(?!\.$)", form="a path other than '.'", null=False),
        "read_only": Switch(),
        "propagation": Text(),
    },
    required=("host_path", "container_path"),
    form="a mapping with host_path and container_path",
    null=False,
)


def _end_after_begin(value: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    begin, end = value.get("begin_on_batch"), value.get("end_after_batch")
    if begin is not None and end is not None and begin > end:
        where = (*path, "end_after_batch")
        yield Problem(where, f"{dotted(where)} is {end}, but begin_on_batch is {begin}; write more")


OPTIMIZATIONS = Keys(
    {
        "aggregation_frequency": Number(least=1, whole=True),
        "auto_tune_tensor_fusion": Switch(),
        "average_aggregated_gradients": Switch(),
        "average_training_metrics": Switch(),
        "gradient_compression": Switch(),
        "grad_updates_size_file": Text(),
        "mixed_precision": OneOf(("O0", "O1", "O2", "O3")),
        "tensor_fusion_cycle_time": Number(least=0, whole=True),
        "tensor_fusion_threshold": Number(least=0, whole=True),
    }
)
PROFILING = Keys(
    {
        "enabled": Switch(),
        "begin_on_batch": Number(least=0, whole=True),
        "end_after_batch": Number(least=0, whole=True),
        "sync_timings": Switch(),
    },
    rules=(_end_after_begin,),
)

# ------------------------------------------------------------------------------------ the whole


class _Nothing(Shape):
    """Only null."""

    @property
    def words(self) -> str:
        return "null"

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        yield self._wrong(value, path)


class _Entrypoint(Shape):
    """A command: text, or a list of words."""

    @property
    def words(self) -> str:
        return f"a command; for instance {LAUNCHER} {SCRIPT} qa_trial:QATrial"

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        words = value if isinstance(value, list) else [value]
        if not all(isinstance(word, str) for word in words):
            yield self._wrong(value, path)


_MAPPING = Keys({}, open=True)
FIELDS: dict[str, Shape] = {
    "bind_mounts": ListOf(BIND_MOUNT, "a list of mappings with host_path and container_path"),
    "checkpoint_policy": OneOf(("best", "all", "none")),
    "checkpoint_storage": CHECKPOINT_STORAGE,
    "data": _MAPPING,
    "data_layer": _MAPPING,
    "debug": Switch(),
    "description": Text(),
    "entrypoint": _Entrypoint(null=False),
    "environment": ENVIRONMENT,
    "hyperparameters": HYPERPARAMETERS,
    "integrations": INTEGRATIONS,
    "internal": _Nothing(),
    "labels": ListOf(Text(null=False), "a list of texts"),
    "log_policies": ListOf(LOG_POLICY, "a list of policies"),
    "max_restarts": Number(least=0, whole=True),
    "min_checkpoint_period": _PERIOD,
    "min_validation_period": _PERIOD,
    "name": Text(),
    "optimizations": OPTIMIZATIONS,
    "pbs": PBS,
    "perform_initial_validation": Switch(),
    "preemption_timeout": Number(whole=True),
    "profiling": PROFILING,
    "project": Text(),
    "records_per_epoch": Number(whole=True),
    "reproducibility": Keys({"experiment_seed": Number(least=0, whole=True)}),
    "resources": RESOURCES,
    "retention_policy": Keys({"log_retention_days": Number(least=-1, most=32767, whole=True)}),
    "scheduling_unit": Number(least=1, whole=True),
    "searcher": SEARCHER,
    "security": Keys(
        {"kerberos": Keys({"config_file": Text(null=False)}, required=("config_file",))}
    ),
    "slurm": SLURM,
    "tensorboard_storage": TENSORBOARD_STORAGE,
    "workspace": Text(),
}
EXPERIMENT = Keys(FIELDS, required=("entrypoint", "searcher"))


def experiment_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """All that a master would refuse in a configuration.

    Args:
        config: the YAML's value.
    """
    yield from EXPERIMENT.problems(config, ())
    searcher, hparams = config.get("searcher"), config.get("hyperparameters")
    if isinstance(searcher, Mapping) and searcher.get("name") == "grid":
        yield from ranges_without_count(hparams, ("hyperparameters",))
