"""Runs made by the package before it was reorganised are continued, exported and asked.

``tests/fixtures/runs_before_redesign/make_fixture.py`` made them, with a trial of that time.
"""

import functools
import json
import pathlib
from typing import Any

import pytest
import recorded_runs
import torch
from workspaces import ROOT, Finished, RunCommand, metrics_of

FIXTURE = ROOT / "tests" / "fixtures" / "runs_before_redesign"
EXPECTED: dict[str, Any] = json.loads((FIXTURE / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the runs and their project, which the test may change."""
    return recorded_runs.copy_of_runs(FIXTURE, tmp_path / "runs")


@pytest.fixture
def run(command: RunCommand, runs: pathlib.Path) -> RunCommand:
    """Runs a program beside the runs, with the settings that they were made with."""
    program = functools.partial(command, cwd=runs, timeout=900, **recorded_runs.SAME_EVERYWHERE)

    def succeed(*words: str | pathlib.Path) -> Finished:
        finished: Finished = program(*words)
        assert finished.code == 0, finished.errors + finished.output
        return finished

    return succeed


def validations_of(folder: pathlib.Path) -> list[dict[str, Any]]:
    return [record for record in metrics_of(folder) if record["group"] == "validation"]


def test_stopped_run_ends_as_if_it_had_not_been_stopped(
    runs: pathlib.Path, run: RunCommand
) -> None:
    """To the last bit on a machine like the one it was made on, elsewhere to 1e-6."""
    here = json.loads(run("python", recorded_runs.__file__).output)
    assert not (runs / "stopped" / "model").exists()
    resumed = run("model-hub", "train", "--resume", "stopped")
    assert "continuing after 8 batches" in resumed.output
    assert "done: 12 batches" in resumed.output and "20 in all" in resumed.output
    if here["mkl"] != EXPECTED["machine"]["mkl"]:
        pytest.skip("it continued, but without MKL torch draws other dropout than the run did")
    undisturbed = recorded_runs.weights_of(runs / "finished" / "model")
    weights = recorded_runs.weights_of(runs / "stopped" / "model")
    assert weights.keys() == undisturbed.keys()
    for name, tensor in undisturbed.items():
        assert torch.allclose(weights[name], tensor, rtol=0, atol=1e-6), name
    if here == EXPECTED["machine"]:
        assert recorded_runs.weights_hash(runs / "stopped" / "model") == EXPECTED["weights_sha256"]
        resumed_values, values = (validations_of(runs / name) for name in ("stopped", "finished"))
        # The loss is a metric that the runs of that time did not have.
        for record in resumed_values:
            record.pop("validation_loss", None)
        assert resumed_values == values


def test_finished_run_exports_its_model(runs: pathlib.Path, run: RunCommand) -> None:
    """From the checkpoint: the same tensors that the run left in ``model/``."""
    run("model-hub", "export", "finished", "exported")
    for folder in ("exported", "finished/model"):
        assert recorded_runs.weights_hash(runs / folder) == EXPECTED["weights_sha256"], folder


def test_finished_run_predicts(runs: pathlib.Path, run: RunCommand) -> None:
    """The labels of that time, with their probabilities to 1e-5."""
    words = ["finished", "--input", "project/validation.jsonl", "--output", "answers.jsonl"]
    run("model-hub", "predict", *words)
    answers = [json.loads(line) for line in (runs / "answers.jsonl").read_text().splitlines()]
    expected = EXPECTED["predictions"]
    assert [answer["label"] for answer in answers] == [row["label"] for row in expected]
    scores = [answer["score"] for answer in answers]
    assert scores == pytest.approx([row["score"] for row in expected], rel=0, abs=1e-5)
