"""Several slots: the same metrics, the work done once, one writer, and an end for all together."""

import json
import pathlib
import re
import shutil
from typing import Any

import pytest
from agent import Agent, Run
from master import Master
from workspaces import ENTRYPOINT, EXAMPLE, changed

TRIALS = pathlib.Path(__file__).parent / "trials"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("context")
    shutil.copy(TRIALS / "probing_trial.py", folder)
    shutil.copy(EXAMPLE / "qa_trial.py", folder)
    return folder


@pytest.fixture
def config(corpus: pathlib.Path) -> dict[str, Any]:
    return {
        "name": "probing",
        "entrypoint": ENTRYPOINT.replace("qa_trial:QATrial", "probing_trial:ProbingTrial"),
        "hyperparameters": {
            "model_mode": "question-answering",
            "pretrained_model_name_or_path": str(corpus / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "max_steps": 4,
            "learning_rate": 1e-3,
        },
        "data": {
            "train_file": str(corpus / "train.json"),
            "validation_file": str(corpus / "validation.json"),
            "max_seq_length": 96,
            "doc_stride": 32,
        },
        "searcher": {"name": "single", "metric": "f1", "smaller_is_better": False},
        "perform_initial_validation": True,
        "scheduling_unit": 2,
    }


def first_metrics(master: Master, run: Run) -> dict[str, Any]:
    """Metrics of the untrained weights, which are the same on any number of slots."""
    return {
        name: value
        for name, value in master.reported("validation", run.trial.id)[0].items()
        if name not in ("batches", "epochs")
    }


def shares(run: Run) -> dict[int, list[int]]:
    """Windows of the batches of the first validation, by rank."""
    found: dict[int, list[int]] = {}
    for windows, rank in re.findall(r"validates (\d+) windows on rank (\d+)", run.output()):
        found.setdefault(int(rank), []).append(int(windows))
    return found


@pytest.mark.parametrize(
    ("count", "batch"),
    # An uneven split, and a slot that has nothing to validate at all.
    [(21, 4), (3, 8)],
)
def test_metrics_are_those_of_one_slot(
    count: int,
    batch: int,
    config: dict[str, Any],
    context: pathlib.Path,
    corpus: pathlib.Path,
    tmp_path: pathlib.Path,
    master: Master,
    agent: Agent,
) -> None:
    rows = (corpus / "validation.json").read_text().splitlines(keepends=True)
    file = tmp_path / f"{count}.json"
    file.write_text("".join(rows[:count]))
    config = changed(
        config,
        data__validation_file=str(file),
        data__output_dir=str(tmp_path / "predictions"),
        hyperparameters__global_batch_size=batch,
        hyperparameters__max_steps=1,
    )
    metrics, predictions = [], []
    for slots in (1, 2):
        run = agent.start(config, context, slots=slots)
        run.wait()
        metrics.append(first_metrics(master, run))
        # The files are those of the last validation, after a step on the same global batch.
        text = (tmp_path / "predictions" / "predictions.json").read_text()
        predictions.append(set(json.loads(text)))
        dealt = shares(run)
        assert sum(sum(windows) for windows in dealt.values()) >= 2 * count
        if count == 3 and slots == 2:
            assert set(dealt) == {0}  # Rank 1 has no batch, and nobody noticed.
    assert metrics[0] == metrics[1] and "f1" in metrics[0]
    assert predictions[0] == predictions[1] and len(predictions[0]) == count


def test_one_rank_prepares_for_all_however_long_it_takes(
    config: dict[str, Any], context: pathlib.Path, agent: Agent
) -> None:
    run = agent.start(
        config, context, slots=2, env={"GROUP_TIMEOUT": "4", "SECONDS_TO_PREPARE": "9"}
    )
    run.wait()
    assert re.findall(r"prepares \d+ rows on rank \d", run.output()) == [
        "prepares 80 rows on rank 0"
    ]


def test_only_rank_0_writes(
    config: dict[str, Any],
    context: pathlib.Path,
    tmp_path: pathlib.Path,
    agent: Agent,
) -> None:
    writing = changed(config, data__output_dir=str(tmp_path / "predictions"))
    run = agent.start(writing, context, slots=2)
    run.wait()
    written = dict(re.findall(r"written on rank (\d): (.*)", run.output()))
    assert written["1"] == "[]"
    assert {path.name for path in (tmp_path / "predictions").iterdir()} == {
        "predictions.json",
        "nbest_predictions.json",
    }


def test_an_error_on_one_rank_ends_all(
    config: dict[str, Any], context: pathlib.Path, agent: Agent
) -> None:
    run = agent.start(config, context, slots=2, env={"FAIL_ON_RANK": "1"})
    assert run.wait(expect=None) != 0
    assert "rank 1 has had enough" in run.output()
    assert run.left_behind == []


def test_a_wrong_configuration_is_said_without_a_traceback(
    config: dict[str, Any], context: pathlib.Path, agent: Agent
) -> None:
    wrong = changed(config, hyperparameters__model_mode="question-anwering")
    run = agent.start(wrong, context)
    assert run.wait(expect=None) != 0
    (line,) = [line for line in run.output().splitlines() if "model-hub: error" in line]
    assert "hyperparameters.model_mode" in line and "did you mean question-answering" in line


def test_losing_the_master_for_20_seconds_loses_nothing(
    config: dict[str, Any], context: pathlib.Path, master: Master, agent: Agent
) -> None:
    longer = changed(config, hyperparameters__max_steps=8)
    master.at_batch(2, lambda _: master.vanish(20))
    run = agent.start(longer, context)
    run.wait()
    assert max(master.reported("validation", run.trial.id)) == 8


def test_a_master_that_answers_500_for_a_while_loses_nothing(
    config: dict[str, Any], context: pathlib.Path, master: Master, agent: Agent
) -> None:
    faults = []
    master.at_batch(2, lambda _: faults.append(master.fail(500, "/trials/", seconds=5)))
    run = agent.start(changed(config, hyperparameters__max_steps=8), context)
    run.wait()
    assert faults[0].hits
    assert max(master.reported("validation", run.trial.id)) == 8


def test_no_deprecation_warning_comes_from_our_code(
    config: dict[str, Any], context: pathlib.Path, agent: Agent
) -> None:
    run = agent.start(config, context, env={"PYTHONWARNINGS": "always"})
    run.wait()
    lines = [line for line in run.output().splitlines() if re.search(r"\w+Warning: ", line)]
    deprecated = [line for line in lines if re.search(r"(Deprecation|Future)Warning", line)]
    assert not [line for line in deprecated if "/model_hub/" in line or "qa_trial" in line]
