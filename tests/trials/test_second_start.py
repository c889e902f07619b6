"""The second start of a trial finds its prepared data in the cache, from wherever it is started."""

import json
import pathlib
import subprocess

import datasets
import preparing
import pytest
from workspaces import command_line, environment

from model_hub import cli
from model_hub.new.tasks import TASKS

# One process for all tasks, each in the folder of its project.
FIRST_STARTS = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import preparing
from model_hub import cli

found = {}
for name, words in json.loads(sys.argv[2]).items():
    os.chdir(os.path.dirname(words[1]))
    with preparing.counted() as found[name]:
        assert cli.main(words) == 0, name
print(json.dumps(found))
"""


def test_prepares_nothing_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {}
    for name, task in TASKS.items():
        assert cli.main(["new", name, str(tmp_path / name)]) == 0
        yaml = str(tmp_path / name / f"{task.short_name}.yaml")
        words[name] = ["train", yaml, "--config", "hyperparameters.max_steps=1", "--output-dir"]
    given = {name: [*each, str(tmp_path / f"{name}-1")] for name, each in words.items()}
    folder = str(pathlib.Path(preparing.__file__).parent)
    done = subprocess.run(
        command_line(["python", "-c", FIRST_STARTS, folder, json.dumps(given)]),
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    first = json.loads(done.stdout.splitlines()[-1])

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "home/hf/datasets")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    second = {}
    # In another order: what a process has prepared before does not matter either.
    for name in reversed(words):
        with preparing.counted() as second[name]:
            assert cli.main([*words[name], str(tmp_path / f"{name}-2")]) == 0
    for name in words:
        # Training and validation; causal language modeling joins the lines to a document first.
        joined = name == "causal-language-modeling"
        assert first[name]["splits"] == (4 if joined else 2), (name, first)
        assert first[name]["texts"] > (second[name]["texts"] if joined else 200), (name, first)
        # How many special tokens a tokenizer adds, and the like, is tried out on a text or two.
        assert second[name]["splits"] == 0 and second[name]["texts"] <= 2, (name, second)
    # What is counted here is what was counted there.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "empty")
    with preparing.counted() as third:
        assert cli.main([*words[name], str(tmp_path / f"{name}-3")]) == 0
    assert third == first[name]
