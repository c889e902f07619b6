"""The second start of a trial finds its prepared data in the cache, from wherever it is started."""

import json
import pathlib
import subprocess
from typing import Any

import datasets
import pytest
from workspaces import command_line, environment

from model_hub import cli
from model_hub._new.tasks import TASKS

# One process for all tasks, each in the folder of its project; how often rows were prepared.
FIRST_STARTS = """
import json, os, sys
import datasets
from model_hub import cli

calls = 0
map_single = datasets.Dataset._map_single

def counted(*args, **kwargs):
    global calls
    calls += 1
    return map_single(*args, **kwargs)

datasets.Dataset._map_single = staticmethod(counted)
prepared = {}
for name, words in json.loads(sys.argv[1]).items():
    calls = 0
    os.chdir(os.path.dirname(words[1]))
    assert cli.main(words) == 0, name
    prepared[name] = calls
print(json.dumps(prepared))
"""


def test_prepares_nothing_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {}
    for name, task in TASKS.items():
        assert cli.main(["new", name, str(tmp_path / name)]) == 0
        yaml = str(tmp_path / name / f"{task.short_name}.yaml")
        words[name] = ["train", yaml, "--config", "hyperparameters.max_steps=1"]
    first = {
        name: [*each, "--output-dir", str(tmp_path / f"{name}-first")]
        for name, each in words.items()
    }
    done = subprocess.run(
        command_line(["python", "-c", FIRST_STARTS, json.dumps(first)]),
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    prepared = json.loads(done.stdout.splitlines()[-1])
    assert prepared.keys() == TASKS.keys() and all(prepared.values())

    again = []
    map_single = datasets.Dataset._map_single

    def noted(*args: Any, **kwargs: Any) -> Any:
        again.append((name, kwargs.get("desc")))
        return map_single(*args, **kwargs)

    monkeypatch.setattr(datasets.Dataset, "_map_single", staticmethod(noted))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "home/hf/datasets")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name, each in words.items():
        assert cli.main([*each, "--output-dir", str(tmp_path / f"{name}-second")]) == 0
    assert again == []
