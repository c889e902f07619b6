"""Our table of Determined's rules says what Determined's own schemas say, where these are there."""

import copy
import importlib.util
import pathlib
import random
from types import ModuleType
from typing import Any

import pytest
import ruamel.yaml
from workspaces import ROOT

from model_hub.experiment import yaml_io
from model_hub.experiment.schema.fields import experiment_findings

HERE = pathlib.Path(__file__).parent
TOOL = ROOT.parent / "shared" / "tools" / "check_expconf.py"
FILES = sorted(
    [*(ROOT / "examples").rglob("*.yaml"), *(HERE / "broken").glob("*.yaml")],
    key=lambda file: file.name,
)

EVERYTHING = """
name: x
description: d
workspace: w
labels: [a]
entrypoint: [python3, x.py]
hyperparameters:
  global_batch_size: 8
  a: {type: log, minval: -5, maxval: -3, base: 10, count: 3}
  b: {type: categorical, vals: [1, 2]}
  nested: {a: {b: {type: int, minval: 1, maxval: 2, count: 2}}, l: [1, {x: 2}]}
searcher: {name: adaptive_asha, metric: f1, max_trials: 4, max_time: 10, time_metric: batches,
  max_length: {batches: 10}, mode: standard, divisor: 4, bracket_rungs: [1], stop_once: true}
min_validation_period: {epochs: 1}
checkpoint_policy: best
checkpoint_storage: {type: shared_fs, host_path: /tmp, save_trial_best: 1}
bind_mounts: [{host_path: /tmp, container_path: /x, read_only: true}]
environment:
  image: {cpu: a, cuda: b}
  environment_variables: [A=b]
log_policies:
- {name: a, pattern: b, action: cancel_retries}
- {pattern: b, action: {type: exclude_node}}
max_restarts: 5
optimizations: {aggregation_frequency: 2, mixed_precision: O1, gradient_compression: true}
reproducibility: {experiment_seed: 4}
resources: {slots_per_trial: 2, priority: 4, shm_size: 4 GiB}
retention_policy: {log_retention_days: 5}
"""
VALUES: list[Any] = [
    None, 0, 1, -1, 3.0, 2.5, True, "x", "/a", "3", "", [], {}, {"type": "x"}, [1], ["a"],
    {"epochs": 1}, {"batches": 0}, "single", "random", "grid", "async_halving", "adaptive", "s3",
    "azure", "O1", "none", "../x", {"a": None}, 100, "exclude_node",
]  # fmt: skip
NAMES = ("foo", "name", "type", "metric", "user", "image", "count", "num_rungs", "gpu")


def load(text: str) -> Any:
    return ruamel.yaml.YAML(typ="safe", pure=True).load(text)


@pytest.fixture(scope="module")
def schemas() -> Any:
    pytest.importorskip("jsonschema", reason="the schemas are checked with jsonschema")
    if not TOOL.is_file():
        pytest.skip("the schemas are not beside this repository")
    spec = importlib.util.spec_from_file_location("check_expconf", TOOL)
    assert spec is not None and spec.loader is not None
    tool: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool.Checker(TOOL.parent.parent / "schemas" / "expconf" / "v0")


def is_refused(config: Any) -> bool:
    return any(finding.severity == "error" for finding in experiment_findings(config))


def changed(config: Any, chance: random.Random) -> Any:
    """The configuration with something in it taken out, added, or of another value."""
    config = copy.deepcopy(config)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, item in list(items):
            places.append((node, key))
            if isinstance(item, (dict, list)):
                walk(item)

    walk(config)
    node, key = chance.choice(places)
    action = chance.random()
    if action < 0.25:
        del node[key]
    elif action < 0.4 and isinstance(node, dict):
        node[chance.choice(NAMES)] = chance.choice(VALUES)
    else:
        node[key] = chance.choice(VALUES)
    return config


def test_a_file_with_everything_is_right() -> None:
    assert list(experiment_findings(load(EVERYTHING))) == []


def test_keys_of_the_cluster_are_left_to_the_master() -> None:
    left = {
        "slurm": {"gpu_typ": 1},
        "pbs": {"slots_per_node": "x"},
        "security": {"kerberos": {}},
        "integrations": {"pachyderm": {"pachd": 1}},
        "tensorboard_storage": {"type": "x"},
        "profiling": {"begin_on_batch": 3, "end_after_batch": 2},
        "environment": {"pod_spec": {"spec": 1}, "proxy_ports": [{}], "ports": {"a": "b"}},
        "resources": {"devices": [1]},
    }
    assert list(experiment_findings({**load(EVERYTHING), **left})) == []
    (finding,) = experiment_findings({**load(EVERYTHING), "slurm": 1})
    assert finding.message == "slurm is 1, but should be a mapping of names to values"


def test_files_are_refused_by_both_or_neither(schemas: Any) -> None:
    for file in FILES:
        try:
            config = load(yaml_io.read_yaml(file))
        except ruamel.yaml.error.YAMLError:
            continue
        if isinstance(config, dict):
            assert is_refused(config) == bool(schemas.errors(config)), file


def test_random_changes_are_refused_by_both_or_neither(schemas: Any) -> None:
    for seed in range(400):
        config = changed(load(EVERYTHING), random.Random(seed))
        theirs = schemas.errors(config)
        assert is_refused(config) == bool(theirs), (seed, theirs)
