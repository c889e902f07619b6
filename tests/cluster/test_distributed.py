"""Several slots: the same metrics, the work done once, one writer, and an end for all together."""

import json
import pathlib
import re
from typing import Any

import pytest
from agent import Agent, without_launcher
from master import Master
from probing import TWO_SLOT_ROWS, TwoSlotRun, probing_config
from task_runs import validations_of
from workspaces import Workspace, changed

from model_hub import cli


@pytest.fixture
def config(corpus: pathlib.Path) -> dict[str, Any]:
    return probing_config(corpus)


def test_metrics_are_those_of_one_slot(
    two_slot_run: TwoSlotRun,
    config: dict[str, Any],
    probing_context: pathlib.Path,
    corpus: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """Of the untrained weights, which are the same on any number of slots; here in a local run."""
    windows = re.findall(r"validates (\d+) windows on rank (\d+)", two_slot_run.output)
    assert {rank for _, rank in windows} == {"0", "1"}
    assert sum(int(count) for count, _ in windows) >= 2 * TWO_SLOT_ROWS
    rows = (corpus / "validation.json").read_text("utf-8").splitlines(keepends=True)
    file = tmp_path / "rows.json"
    file.write_text("".join(rows[:TWO_SLOT_ROWS]), "utf-8")
    local = Workspace(tmp_path, changed(config, data__validation_file=str(file)))
    yaml = local.write_yaml(changed(local.config, hyperparameters__max_steps=1))
    words = ["train", str(yaml), str(probing_context), "--output-dir", str(tmp_path / "run")]
    assert cli.main(words) == 0
    first = validations_of(tmp_path / "run")[0]
    assert first["steps_completed"] == 0 and first["f1"] > 0
    for name in ("f1", "exact_match"):
        assert two_slot_run.validations[0][name] == first[name]
    ids = {json.loads(row)["id"] for row in rows[:TWO_SLOT_ROWS]}
    text = (two_slot_run.predictions / "predictions.json").read_text("utf-8")
    assert set(json.loads(text)) == ids


def test_one_rank_prepares_for_all_however_long_it_takes(two_slot_run: TwoSlotRun) -> None:
    assert re.findall(r"prepares \d+ rows on rank \d", two_slot_run.output) == [
        "prepares 80 rows on rank 0"
    ]


def test_only_rank_0_writes(two_slot_run: TwoSlotRun) -> None:
    written = dict(re.findall(r"written on rank (\d): (.*)", two_slot_run.output))
    assert written["1"] == "[]"
    assert {path.name for path in two_slot_run.predictions.iterdir()} == {
        "predictions.json",
        "nbest_predictions.json",
    }


def test_no_deprecation_warning_comes_from_our_code(two_slot_run: TwoSlotRun) -> None:
    lines = [line for line in two_slot_run.output.splitlines() if re.search(r"\w+Warning: ", line)]
    assert lines
    deprecated = [line for line in lines if re.search(r"(Deprecation|Future)Warning", line)]
    assert not [line for line in deprecated if "/model_hub/" in line or "qa_trial" in line]


def test_an_error_on_one_rank_ends_all(
    config: dict[str, Any], probing_context: pathlib.Path, agent: Agent
) -> None:
    run = agent.start(config, probing_context, slots=2, env={"FAIL_ON_RANK": "1"})
    assert run.wait(expect=None) != 0
    assert "rank 1 has had enough" in run.output()
    assert run.left_behind == []


def test_a_wrong_configuration_is_said_without_a_traceback(
    config: dict[str, Any], probing_context: pathlib.Path, master: Master, agent: Agent
) -> None:
    wrong = changed(config, hyperparameters__model_mode="question-anwering")
    run = agent.start(without_launcher(wrong), probing_context)
    assert run.wait(expect=None) != 0
    assert "Traceback" not in run.output() and master.early_exits == []
    (line,) = [line for line in run.output().splitlines() if "model-hub: error" in line]
    assert "hyperparameters.model_mode" in line and "did you mean question-answering" in line


def test_a_master_that_vanishes_and_one_that_answers_500_lose_nothing(
    config: dict[str, Any], probing_context: pathlib.Path, master: Master, agent: Agent
) -> None:
    longer = without_launcher(changed(config, hyperparameters__max_steps=8))
    faults = []
    master.at_batch(2, lambda _: master.vanish(20))
    master.at_batch(6, lambda _: faults.append(master.fail(500, "/trials/", seconds=5)))
    run = agent.start(longer, probing_context)
    run.wait()
    assert "Connection refused" in run.output() and faults[0].hits
    assert list(master.reported("training", run.trial.id)) == [2, 4, 6, 8]
    assert max(master.reported("validation", run.trial.id)) == 8
