"""The second start of a trial finds its prepared data in the cache, from wherever it is started."""

import pathlib
import subprocess
from typing import Any

import datasets
import pytest
from workspaces import command_line, environment

from model_hub import cli
from model_hub._new.tasks import TASKS

# The other tasks have a test of this kind beside their own tests.
NAMES = [
    "question-answering-beam-search",
    "natural-language-inference",
    "summarization",
    "translation",
]


@pytest.mark.parametrize("name", NAMES)
def test_prepares_nothing_again(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert cli.main(["new", name, str(project)]) == 0
    words = ["train", str(project / f"{TASKS[name].short_name}.yaml")]
    words += ["--config", "hyperparameters.max_steps=1", "--output-dir"]
    # In a process of its own, and in the folder of the project.
    subprocess.run(
        command_line(["model-hub", *words, str(tmp_path / "first")]),
        cwd=project,
        env=environment(tmp_path / "home"),
        check=True,
        capture_output=True,
    )

    # Here the rows would be prepared, if they were not in the cache.
    prepared = []
    map_single = datasets.Dataset._map_single

    def counted(*args: Any, **kwargs: Any) -> Any:
        prepared.append(kwargs.get("desc"))
        return map_single(*args, **kwargs)

    monkeypatch.setattr(datasets.Dataset, "_map_single", staticmethod(counted))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "home/hf/datasets")
    monkeypatch.chdir(elsewhere)
    assert cli.main([*words, str(tmp_path / "second")]) == 0
    assert prepared == []
    # The same with no cache does prepare them, so that the count can be other than 0.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "empty")
    assert cli.main([*words, str(tmp_path / "third")]) == 0
    assert prepared
