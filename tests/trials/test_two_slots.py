"""Two slots: the same metrics as one, also where a slot has nothing to do, and the same ends.

All of it is trained once in a session.
"""

import json
import pathlib

import pytest
import torch
import trained_models
import transformers
from once import make_once
from resuming import assert_same_end, end_of_local_run
from safetensors.torch import load_file
from task_runs import validations_of, weights
from two_slots import (
    CLASSES,
    CLM,
    COMPARED,
    CONVERSATIONS,
    QA,
    SWITCHES,
    Trainings,
    read,
    run_all,
    writes_answers,
)
from workspaces import metrics_of

from model_hub import cli

LABELS = ("entailment", "neutral", "contradiction")

pytestmark = pytest.mark.usefixtures("probes_run_through")


@pytest.fixture
def trained(corpus: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    folder = make_once(tmp_path_factory, "two-slots", lambda folder: run_all(folder, corpus))
    return read(folder)


def metrics(run: pathlib.Path) -> list[dict[str, float]]:
    """Of all validations."""
    return [{k: v for k, v in each.items() if k != "group"} for each in validations_of(run)]


@pytest.mark.parametrize("name", COMPARED)
def test_metrics_are_those_of_one_slot(
    name: str, trained: Trainings, tmp_path: pathlib.Path
) -> None:
    output = {"output_dir": tmp_path / "answers"} if writes_answers(name) else {}
    trained.job(name, tmp_path / "run", **output).run()
    one, two = (metrics(run) for run in (tmp_path / "run", trained.folder / "runs" / name))
    assert len(one) == len(two) == 2 and one[0]["steps_completed"] == 0
    # The same weights; batches of other sizes may round a loss otherwise.
    assert two[0] == pytest.approx(one[0], rel=1e-5)
    if name == "classification":
        assert "accuracy_mismatched" in one[0]
        assert trained.outputs[name].count("baseline (") == 1
        labels = json.loads((trained.folder / "runs" / name / "model/config.json").read_text())
        assert labels["label2id"] == {name: number for number, name in enumerate(LABELS)}
    if name.startswith("summaries"):
        names = {"rouge1", "rouge2", "rougeL", "rougeLsum", "gen_len", "validation_loss"}
        assert names <= one[0].keys()
        # After steps on the same global batches.
        assert two[1] == pytest.approx(one[1], rel=1e-2)
    if output:
        files = (tmp_path / "answers", trained.folder / f"answers-of-{name}")
        first, second = (json.loads((file / "predictions.json").read_text()) for file in files)
        assert first.keys() == second.keys()
        assert len(first) == {"summaries-1": 1, "beams": 9}.get(name, 3)


def test_a_run_of_two_processes(trained: Trainings, plain_run: pathlib.Path) -> None:
    run, shown = trained.folder / "runs" / "plain", trained.outputs["plain"]
    assert "on 2 " in shown
    assert shown.count("validation after 20 batches") == 1
    # Without dropout both ways see the same batches and so the same losses.
    two, one = metrics_of(run), metrics_of(plain_run)
    assert [record["steps_completed"] for record in two] == [
        record["steps_completed"] for record in one
    ]
    assert (run / "model" / "model.safetensors").is_file()
    resume = "torchrun --nproc_per_node=2 -m model_hub train --resume"
    assert resume in (run / "README.md").read_text()


def test_a_folder_that_cannot_be_written_is_told_once(trained: Trainings) -> None:
    """The other process hears of it, and does not fail for a first one that has gone."""
    told = "model-hub: error: --output-dir: cannot write to '/proc/not/there'"
    assert trained.outputs["refused"].count(told) == 1
    assert "Traceback" not in trained.outputs["refused"]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_slots_and_accumulation_change_no_update(
    name: str, trained: Trainings, tmp_path: pathlib.Path
) -> None:
    """Answers have 2 to 40 tokens, so that the slots' batches do not count the same."""
    trained.job("conversations", tmp_path / "run").run()
    one, two = tmp_path / "run", trained.folder / "runs" / name
    whole, found = weights(one), weights(two)
    before = load_file(trained.folder / "data/sft/model/model.safetensors")
    assert max((whole[weight] - before[weight]).abs().max() for weight in whole) > 1e-2
    for weight, value in whole.items():
        assert torch.allclose(found[weight], value, atol=1e-5), weight
    # Per step the mean over the tokens of all slots; per validation over those of all rows.
    ends = [validations_of(run)[-1] for run in (one, two)]
    assert ends[1]["validation_loss"] == pytest.approx(ends[0]["validation_loss"], rel=1e-5)
    assert ends[1]["token_accuracy"] == ends[0]["token_accuracy"]
    if name == "conversations":
        losses = [
            [record["loss"] for record in metrics_of(run) if record["group"] == "training"]
            for run in (one, two)
        ]
        assert len(losses[0]) == 3 and losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_export(trained: Trainings, tmp_path: pathlib.Path) -> None:
    run = trained.folder / "runs" / "glue"
    assert cli.main(["export", str(run), str(tmp_path / "out")]) == 0
    exported, model = (
        transformers.AutoModelForSequenceClassification.from_pretrained(folder)
        for folder in (tmp_path / "out", run / "model")
    )
    pairs = zip(trained_models.outputs(exported), trained_models.outputs(model), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "torchrun --nproc_per_node=2 -m model_hub train experiment.yaml" in card


def test_state_in_unusual_places(trained: Trainings) -> None:
    runs = trained.folder / "runs"
    end = end_of_local_run(runs / "stateful-stopped")
    assert "module.1.running_mean" in end[0]["models_state_dict"][0]
    assert_same_end(end_of_local_run(runs / "stateful"), end)


def test_early_stopping_is_agreed_by_all_slots(trained: Trainings) -> None:
    """One slot that went on alone would wait for the other; a stop between loses no count."""
    project = trained.project(CLASSES)
    for run in ("early", "early-stopped"):
        # The first validation is the best there is; two more are no better.
        assert [each["steps_completed"] for each in project.validations(run)] == [4, 8, 12]
    assert project.same("early", "early-stopped")


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("task", [QA, CLM])
def test_stopped_in_the_middle_it_ends_the_same(task: str, name: str, trained: Trainings) -> None:
    project = trained.project(task)
    whole, stopped = f"{name}-whole", f"{name}-stopped"
    assert project.same(whole, stopped)
    assert [each["steps_completed"] for each in project.validations(stopped)] == [4, 8, 9]
    assert project.validations(whole) == project.validations(stopped)
