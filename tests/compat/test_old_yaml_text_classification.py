"""The old library's YAMLs of text classification run as they were: every key, the old metrics."""

import pathlib
from typing import Any

import datasets
import pytest
import ruamel.yaml
import tiny
from workspaces import ROOT, Config, RunCommand, changed, metrics_of

EXAMPLE = ROOT / "examples" / "huggingface" / "text-classification"

# Only paths and sizes are not those of the old files.
GLUE: Config = {
    "name": "huggingface_glue_trial",
    "hyperparameters": {
        "pretrained_model_name_or_path": None,
        "model_mode": "sequence-classification",
        "finetuning_task": "cola",
        "use_pretrained_weights": False,
        "use_apex_amp": False,
        "global_batch_size": 8,
        "learning_rate": 3.0e-5,
        "adam_epsilon": 1.0e-8,
        "weight_decay": 0,
        "lr_scheduler_type": "linear",
        "num_warmup_steps": 0,
    },
    "data": {
        "dataset_name": None,
        "dataset_config_name": None,
        "max_seq_length": 16,
        "train_file": None,
        "validation_file": None,
        "preprocessing_num_workers": None,
        "cache_dir": None,
        "overwrite_cache": False,
        "pad_to_max_length": True,
    },
    "records_per_epoch": 24,
    "min_validation_period": {"batches": 3},
    "searcher": {
        "name": "single",
        "metric": "matthews_correlation",
        "max_length": {"epochs": 2},
        "smaller_is_better": False,
    },
    "environment": {"image": {"gpu": "determinedai/model-hub-transformers:0.17.5"}},
    "resources": {"slots_per_trial": 1},
    "bind_mounts": [{"host_path": "/tmp", "container_path": "/root/.cache"}],
    "entrypoint": "glue_trial:GLUETrial",
}
XNLI = changed(
    GLUE,
    name="huggingface_xnli_trial",
    hyperparameters__finetuning_task="xnli",
    hyperparameters__do_lower_case=False,
    hyperparameters__learning_rate=5.0e-5,
    data__dataset_config_name=...,
    data__language="de",
    data__train_language="en",
    searcher__metric="accuracy",
    entrypoint="xnli_trial:XNLITrial",
)


def rows_of(columns: list[str], labels: list[Any]) -> datasets.Dataset:
    texts = ["the cat sat", "the dog ran", "where", "the cat"]
    rows: dict[str, list[Any]] = {
        name: [texts[(n + place) % 4] for n in range(24)] for place, name in enumerate(columns)
    }
    return datasets.Dataset.from_dict(
        {**rows, "label": [labels[n % len(labels)] for n in range(24)]}
    )


def ran(config: Config, tmp_path: pathlib.Path, command_here: RunCommand) -> dict[str, Any]:
    """The last metrics of a run, as the command of today does it."""
    context = tmp_path / "context"
    tiny.save(context / "model", "bert")
    trial = config["entrypoint"].split(":")[0]
    (context / f"{trial}.py").write_bytes((EXAMPLE / f"{trial}.py").read_bytes())
    config = changed(config, hyperparameters__pretrained_model_name_or_path=str(context / "model"))
    with (context / "old.yaml").open("w", encoding="utf-8") as file:
        ruamel.yaml.YAML(typ="safe", pure=True).dump(config, file)
    words = ["model-hub", "train", "old.yaml", "--output-dir", tmp_path / "run"]
    finished = command_here(*words, cwd=context)
    assert finished.code == 0, finished.errors
    assert "did you mean" not in finished.errors and "not known" not in finished.errors
    records = metrics_of(tmp_path / "run")
    steps = [record["steps_completed"] for record in records if record["group"] == "validation"]
    assert steps == [3, 6]
    return records[-1] if records[-1]["group"] == "validation" else records[-2]


@pytest.mark.parametrize(
    ("task", "columns", "labels", "metrics"),
    [
        ("cola", ["sentence"], [0, 1], ["matthews_correlation"]),
        ("mrpc", ["sentence1", "sentence2"], [1, 0], ["accuracy", "f1", "combined_score"]),
        (
            "stsb",
            ["sentence1", "sentence2"],
            [0.0, 2.5, 5.0],
            ["pearson", "spearmanr", "combined_score"],
        ),
        # Data of one's own.
        (None, ["text"], ["good", "bad"], ["accuracy"]),
        (None, ["text"], [0.5, 1.5], ["mse"]),
    ],
)
def test_glue_config(
    task: str | None,
    columns: list[str],
    labels: list[Any],
    metrics: list[str],
    tmp_path: pathlib.Path,
    command_here: RunCommand,
) -> None:
    file = str(tmp_path / "rows.csv")
    rows_of(columns, labels).to_csv(file)
    config = changed(
        GLUE,
        hyperparameters__finetuning_task=task,
        data__train_file=file,
        data__validation_file=file,
        searcher__metric=metrics[0],
        searcher__smaller_is_better=metrics == ["mse"],
    )
    found = ran(config, tmp_path, command_here)
    assert all(isinstance(found[name], float) for name in metrics), found


def test_glue_config_with_a_data_set_by_name(
    tmp_path: pathlib.Path, command_here: RunCommand
) -> None:
    label = datasets.ClassLabel(names=["entailment", "neutral", "contradiction"])
    rows = rows_of(["premise", "hypothesis"], [0, 1, 2]).cast_column("label", label)
    test = rows_of(["premise", "hypothesis"], [-1]).cast_column("label", label)
    splits = {
        "train": rows,
        "validation_matched": rows,
        "validation_mismatched": rows.select([0, 1]),
        # Without labels, as on the Hub; nobody asks for it.
        "test_matched": test,
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "glue")
    config = changed(
        GLUE,
        hyperparameters__finetuning_task="mnli",
        data__dataset_name=str(tmp_path / "glue"),
        data__dataset_config_name="mnli",
        searcher__metric="accuracy",
    )
    found = ran(config, tmp_path, command_here)
    assert isinstance(found["accuracy"], float)
    assert isinstance(found["accuracy_mismatched"], float)


def test_xnli_config(tmp_path: pathlib.Path, command_here: RunCommand) -> None:
    """With a folder in the place of the data set's name; each language is a configuration."""
    header = ["---", "configs:"]
    for language in ("en", "de"):
        (tmp_path / "xnli" / language).mkdir(parents=True)
        header.append(f"- config_name: {language}\n  data_files:")
        for split in ("train", "validation"):
            file = f"{language}/{split}.jsonl"
            # The labels of German training rows would be refused: they must not be read.
            wrong = (language, split) == ("de", "train")
            rows = rows_of(["premise", "hypothesis"], [7] if wrong else [0, 1, 2])
            rows.to_json(tmp_path / "xnli" / file)
            header.append(f"  - split: {split}\n    path: {file}")
    (tmp_path / "xnli" / "README.md").write_text("\n".join([*header, "---", ""]))
    found = ran(changed(XNLI, data__dataset_name=str(tmp_path / "xnli")), tmp_path, command_here)
    assert isinstance(found["accuracy"], float)
