"""Checkpoints are loaded safely: Determined's own with torch's protection on, and nothing else."""

import json
import os
import pathlib
import pickle
import shutil
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch
from agent import Agent
from determined import pytorch
from master import Master
from option_runs import stopping_trial
from workspaces import ENTRYPOINT, EXAMPLE, Workspace, changed

import model_hub.huggingface  # noqa: F401 - lets torch.load read Determined's random state
from model_hub import cli


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("context")
    shutil.copy(EXAMPLE / "qa_trial.py", folder)
    return folder


@pytest.fixture
def config(corpus: pathlib.Path) -> dict[str, Any]:
    return {
        "name": "checkpoints",
        "entrypoint": ENTRYPOINT,
        "hyperparameters": {
            "model_mode": "question-answering",
            "pretrained_model_name_or_path": str(corpus / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "max_steps": 3,
        },
        "data": {
            "train_file": str(corpus / "train.json"),
            "validation_file": str(corpus / "validation.json"),
            "max_seq_length": 96,
            "doc_stride": 32,
        },
        "searcher": {"name": "single", "metric": "f1", "smaller_is_better": False},
        "scheduling_unit": 1,
    }


@pytest.fixture
def train(
    config: dict[str, Any],
    context: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., pathlib.Path]:
    """Trains in a local run, of which a cluster's checkpoints do not differ; the last of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(code: int = 0, **changes: Any) -> pathlib.Path:
        yaml = Workspace(tmp_path, config).write_yaml(changed(config, **changes))
        words = ["train", str(yaml), str(context), "--output-dir", str(tmp_path / "run")]
        assert cli.main(words) == code
        checkpoints = tmp_path / "run" / "checkpoints"
        index = json.loads((checkpoints / "index.json").read_text())
        return checkpoints / max(index, key=lambda entry: entry["steps_completed"])["uuid"]

    return run


def assert_is_loaded(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    saved = torch.load(folder / "state_dict.pth", map_location="cpu")
    assert type(saved["rng_state"]["np_rng_state"][1]).__module__ == "numpy"

    def loaded_weights(path: pathlib.Path) -> dict[str, torch.Tensor]:
        trial: Any = pytorch.load_trial_from_checkpoint_path(str(path))
        weights: dict[str, torch.Tensor] = trial.model.state_dict()
        return weights

    weights = loaded_weights(folder)
    expected = saved["models_state_dict"][0]
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)

    # As Determined itself writes them on several slots, and did before.
    prefixed = tmp_path / "prefixed"
    shutil.copytree(folder, prefixed)
    saved["models_state_dict"] = [{f"module.{name}": v for name, v in expected.items()}]
    torch.save(saved, prefixed / "state_dict.pth")
    weights = loaded_weights(prefixed)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_a_trial_is_loaded_from_its_checkpoint(
    train: Callable[..., pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """Here of a YAML in the old library's style."""
    folder = train(
        entrypoint="qa_trial:QATrial",
        searcher__max_length={"batches": 3},
        hyperparameters__max_steps=...,
    )
    assert_is_loaded(folder, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("slots", "old_style"), [(1, True), (2, False)])
def test_a_trial_is_loaded_from_its_checkpoint_of_a_cluster(
    slots: int,
    old_style: bool,
    config: dict[str, Any],
    context: pathlib.Path,
    master: Master,
    agent: Agent,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if old_style:
        config = changed(
            config,
            entrypoint="qa_trial:QATrial",
            searcher__max_length={"batches": 3},
            hyperparameters__max_steps=...,
        )
    run = agent.start(config, context, slots=slots)
    run.wait()
    latest = master.latest_checkpoint(run.trial.id)
    assert latest is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert_is_loaded(agent.checkpoint(latest.uuid), tmp_path)


class Planted:
    """What a malicious checkpoint holds."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_anything_else_in_a_checkpoint_is_refused(
    train: Callable[..., pathlib.Path],
    context: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entrypoint = stopping_trial(context, "qa_trial:QATrial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP_AT_BATCH", "0")
        file = train(code=128 + signal.SIGTERM, entrypoint=entrypoint) / "state_dict.pth"
    marker = tmp_path / "executed"
    saved = torch.load(file)
    saved["planted"] = Planted(f"touch {marker}")
    torch.save(saved, file)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(file)
    capsys.readouterr()
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        cli.main(["train", "--resume", str(tmp_path / "run")])
    assert not marker.exists()
    # The protection is what kept it from being executed.
    torch.load(file, weights_only=False)
    assert marker.exists()
