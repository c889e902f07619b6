"""Drop-in: trial files in the old library's style run through the old style's entrypoint.

The files were written for these tests, one for each habit of the old examples.
"""

import pathlib
from typing import Any

import pytest
from agent import Agent
from master import Master
from workspaces import RunCommand, Workspace, changed, metrics_of

TRIALS = pathlib.Path(__file__).parent / "trials"


@pytest.fixture
def config(corpus: pathlib.Path) -> dict[str, Any]:
    """As old YAMLs were written: 20 batches, told in epochs."""
    return {
        "name": "old",
        "hyperparameters": {
            "pretrained_model_name_or_path": str(corpus / "model"),
            "use_pretrained_weights": False,
            # Which means nothing without a GPU.
            "use_apex_amp": True,
            "finetuning_task": "mrpc",
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


TRIED = [
    ("old_ner_trial:NERTrial", "token-classification", ["accuracy", "majority", "f1"]),
    ("old_own_model_trial:OwnModelTrial", "question-answering", ["loss"]),
    (
        "old_glue_trial:GLUETrial",
        "sequence-classification",
        ["accuracy", "f1", "mean_accuracy", "rows"],
    ),
]


def for_trial(config: dict[str, Any], trial: str, mode: str, metric: str) -> dict[str, Any]:
    return changed(
        config,
        entrypoint=trial,
        hyperparameters__model_mode=mode,
        searcher__metric=metric,
        searcher__smaller_is_better=metric == "loss",
    )


def assert_has_learned(
    training: dict[int, dict[str, Any]], validation: dict[int, dict[str, Any]], metrics: list[str]
) -> None:
    assert set(validation) == {10, 20}
    for name in metrics:
        assert isinstance(validation[20][name], float), name
    assert min(training) == 5 and max(training) == 20
    # So the weights that the trial has built are those that are trained.
    assert training[20]["loss"] < training[5]["loss"]


@pytest.mark.parametrize(("trial", "mode", "metrics"), TRIED)
def test_runs_unchanged(
    trial: str,
    mode: str,
    metrics: list[str],
    config: dict[str, Any],
    tmp_path: pathlib.Path,
    command_here: RunCommand,
) -> None:
    config = for_trial(config, trial, mode, metrics[0])
    yaml = Workspace(tmp_path, config).write_yaml(config)
    finished = command_here("model-hub", "train", yaml, TRIALS, "--output-dir", tmp_path / "run")
    assert finished.code == 0, finished.errors
    records = metrics_of(tmp_path / "run")
    training, validation = (
        {record["steps_completed"]: record for record in records if record["group"] == group}
        for group in ("training", "validation")
    )
    assert_has_learned(training, validation, metrics)
    assert "did you mean" not in finished.output + finished.errors


@pytest.mark.parametrize(
    ("trial", "mode", "metrics", "slots"),
    [
        (*TRIED[0], 2),
        *(pytest.param(*tried, 1, marks=pytest.mark.slow) for tried in TRIED),
    ],
)
def test_runs_unchanged_on_a_cluster(
    trial: str,
    mode: str,
    metrics: list[str],
    slots: int,
    config: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    config = for_trial(config, trial, mode, metrics[0])
    with Master() as master, Agent(master, tmp_path / "agent") as agent:
        run = agent.start(config, TRIALS, slots=slots)
        run.wait()
        training, validation = (
            master.reported(group, run.trial.id) for group in ("training", "validation")
        )
        output = run.output()
    assert_has_learned(training, validation, metrics)
    assert "did you mean" not in output
