"""A search on a cluster: values that cannot work end a trial, not the search."""

import pathlib
import shutil
from typing import Any

import pytest
from agent import Agent
from master import Master
from workspaces import ENTRYPOINT, EXAMPLE, changed


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
    run = agent.start(wrong_file, context, hparams=changed(hparams, global_batch_size=8))
    assert run.wait(expect=None) != 0
    assert "data.train_file" in run.output()
