"""Drop-in: trial files in the old library's style run through the old style's entrypoint.

The files were written for these tests, one for each habit of the old examples.
"""

import pathlib
from typing import Any

import pytest
from agent import Agent
from master import Master
from workspaces import changed

TRIALS = pathlib.Path(__file__).parent / "trials"


@pytest.fixture
def config(corpus: pathlib.Path) -> dict[str, Any]:
    """As old YAMLs were written: 20 batches, told in epochs."""
    return {
        "name": "old",
        "hyperparameters": {
            "pretrained_model_name_or_path": str(corpus / "model"),
            "use_pretrained_weights": False,
            "use_apex_amp": False,
            "cache_dir": None,
            "global_batch_size": 8,
            "learning_rate": 5e-3,
            "adam_epsilon": 1e-8,
            "weight_decay": 0,
            "lr_scheduler_type": "linear",
            "num_warmup_steps": 0,
            "max_grad_norm": 1.0,
        },
        "data": {
            "dataset_name": None,
            "train_file": str(corpus / "train.json"),
            "validation_file": str(corpus / "validation.json"),
            "validation_split_percentage": None,
            "overwrite_cache": False,
            "preprocessing_num_workers": None,
            "label_all_tokens": False,
        },
        "records_per_epoch": 80,
        "searcher": {
            "name": "single",
            "metric": "accuracy",
            "max_length": {"epochs": 2},
            "smaller_is_better": False,
        },
        "min_validation_period": {"batches": 10},
        "scheduling_unit": 5,
    }


@pytest.mark.parametrize(
    ("trial", "mode", "metrics", "slots"),
    [
        ("old_ner_trial:NERTrial", "token-classification", ["accuracy", "majority"], 1),
        ("old_ner_trial:NERTrial", "token-classification", ["accuracy", "majority"], 2),
        ("old_own_model_trial:OwnModelTrial", "question-answering", ["loss"], 1),
        ("old_glue_trial:GLUETrial", "sequence-classification", ["accuracy", "rows"], 1),
    ],
)
def test_runs_unchanged(
    trial: str,
    mode: str,
    metrics: list[str],
    slots: int,
    config: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    config = changed(
        config,
        entrypoint=trial,
        hyperparameters__model_mode=mode,
        searcher__metric=metrics[0],
        searcher__smaller_is_better=metrics[0] == "loss",
    )
    with Master() as master, Agent(master, tmp_path / "agent") as agent:
        run = agent.start(config, TRIALS, slots=slots)
        run.wait()
        reported = master.reported("validation", run.trial.id)
        training = master.reported("training", run.trial.id)
        output = run.output()
    assert set(reported) == {10, 20}
    for name in metrics:
        assert isinstance(reported[20][name], float), name
    assert min(training) == 5 and max(training) == 20
    # It has learned something, so the weights that the trial has built are those that are trained.
    assert training[20]["loss"] < training[5]["loss"]
    assert "did you mean" not in output
