"""A search on a cluster: values that cannot work, or a bad metric, end a trial, not the search."""

import pathlib
import shutil
from typing import Any

import pytest
from agent import Agent, without_launcher
from master import Master
from records import Allocation
from workspaces import ENTRYPOINT, EXAMPLE, changed

TRIALS = pathlib.Path(__file__).parent / "trials"


@pytest.fixture
def config(corpus: pathlib.Path) -> dict[str, Any]:
    return {
        "name": "search",
        "entrypoint": ENTRYPOINT,
        "hyperparameters": {
            "model_mode": "question-answering",
            "pretrained_model_name_or_path": str(corpus / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": {"type": "categorical", "vals": [8, 7]},
            "max_steps": 2,
        },
        "data": {
            "train_file": str(corpus / "train.json"),
            "validation_file": str(corpus / "validation.json"),
            "max_seq_length": 96,
            "doc_stride": 32,
        },
        "searcher": {
            "name": "adaptive_asha",
            "metric": "f1",
            "smaller_is_better": False,
            "max_trials": 2,
            "time_metric": "batches",
            "max_time": 2,
        },
    }


def test_values_that_cannot_work_end_the_trial_alone(
    config: dict[str, Any], tmp_path: pathlib.Path, master: Master, agent: Agent
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    shutil.copy(EXAMPLE / "qa_trial.py", context)
    hparams = changed(config["hyperparameters"], global_batch_size=7)
    # A trial that ends with 0 after such a report is replaced; one that fails ends the search.
    agent.start(config, context, slots=2, hparams=hparams).wait()
    assert {exit.reason for exit in master.early_exits} == {"EXITED_REASON_INVALID_HP"}
    assert master.reported("training") == {}

    wrong_file = changed(config, data__train_file="nowhere.json")
    run = agent.start(
        without_launcher(wrong_file), context, hparams=changed(hparams, global_batch_size=8)
    )
    assert run.wait(expect=None) != 0
    assert "data.train_file" in run.output()

    misspelt = changed(hparams, global_batch_size=8, learning_rat=1)
    run = agent.start(without_launcher(config), context, hparams=misspelt)
    assert run.wait(expect=None) != 0
    assert "hyperparameters.learning_rat is not known; did you mean learning_rate?" in run.output()
    assert master.reported("training") == {}


def test_a_bad_trial_ends_early(
    config: dict[str, Any], tmp_path: pathlib.Path, master: Master, agent: Agent
) -> None:
    """By itself, as it gets no better; or since the search has seen better ones."""
    context = tmp_path / "context"
    context.mkdir()
    shutil.copy(TRIALS / "masking_trial.py", context)
    config = changed(
        config,
        entrypoint=ENTRYPOINT.replace("qa_trial:QATrial", "masking_trial:MaskingTrial"),
        hyperparameters={
            **config["hyperparameters"],
            "model_mode": "masked-lm",
            "global_batch_size": 8,
            "max_steps": None,
            "early_stopping_patience": 2,
            "learning_rate": {"type": "categorical", "vals": [0.0, 1.0]},
        },
        searcher={
            **config["searcher"],
            "metric": "validation_loss",
            "smaller_is_better": True,
            "max_time": 20,
        },
        min_validation_period={"batches": 2},
        scheduling_unit=1,
    )
    config, hparams = without_launcher(config), config["hyperparameters"]

    first = agent.start(config, context, hparams=changed(hparams, learning_rate=0.0))
    first.wait()
    assert set(master.reported("validation", first.trial.id)) == {2, 4, 6}
    # Started again, it has nothing to do.
    checkpoints, reports = list(master.checkpoints), list(master.metrics)
    assert master.latest_checkpoint(first.trial.id).steps_completed == 6
    again = agent.restart(first)
    again.wait()
    assert "nothing left to train" in again.output()
    assert master.checkpoints == checkpoints and master.metrics == reports

    at_rung = {}

    def decide(allocation: Allocation) -> None:
        """As adaptive_asha does at a rung: only the best of its trials train on."""
        for trial in (first.trial, second.trial):
            at_rung[trial.id] = master.reported("validation", trial.id)[2]
        if at_rung[second.trial.id]["validation_loss"] > at_rung[first.trial.id]["validation_loss"]:
            master.preempt(allocation)

    second = agent.start(
        config,
        context,
        hparams=changed(hparams, learning_rate=1.0),
        experiment_id=first.trial.experiment_id,
    )
    # Between two validations; the search has had the first of them.
    master.at_batch(3, decide, second.trial.id)
    second.wait()
    # What time_metric names has to be among the metrics.
    assert [metrics["batches"] for metrics in at_rung.values()] == [2, 2]
    assert set(master.reported("validation", second.trial.id)) == {2}
    assert master.latest_checkpoint(second.trial.id).steps_completed == 3
    assert second.allocation.acknowledged and second.left_behind == []
    assert "Traceback" not in second.output() and master.early_exits == []
