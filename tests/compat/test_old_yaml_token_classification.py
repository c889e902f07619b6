"""Drop-in: a YAML as the old library's token-classification example had it."""

import pathlib
from typing import Any

import datasets
import pytest
import tiny
import transformers
from task_runs import train_here, validations_of
from workspaces import ROOT, Config, Workspace

EXAMPLE = ROOT / "examples" / "huggingface" / "token-classification"
NAMES = ["O", "B-ANIMAL", "I-ANIMAL"]


def old_config(root: pathlib.Path) -> Config:
    """Section by section what stood there; only model, data and sizes are tiny."""
    return {
        "name": "huggingface_ner_trial",
        "hyperparameters": {
            "pretrained_model_name_or_path": str(root / "model"),
            "model_mode": "token-classification",
            "finetuning_task": "ner",
            "use_pretrained_weights": True,
            "use_apex_amp": False,
            "global_batch_size": 8,
            "learning_rate": 1e-2,
            "adam_epsilon": 1.0e-8,
            "weight_decay": 0,
            "lr_scheduler_type": "linear",
            "num_warmup_steps": 0,
        },
        "data": {
            "dataset_name": str(root / "conll"),
            "dataset_config_name": None,
            "train_file": None,
            "validation_file": None,
            "preprocessing_num_workers": None,
            "cache_dir": None,
            "overwrite_cache": False,
            "pad_to_max_length": False,
            "label_all_tokens": False,
        },
        "records_per_epoch": 80,
        "min_validation_period": {"batches": 10},
        "searcher": {
            "name": "single",
            "metric": "accuracy_score",
            "max_length": {"epochs": 3},
            "smaller_is_better": False,
        },
        "environment": {"image": {"gpu": "determinedai/model-hub-transformers:0.17.5-rc6"}},
        "resources": {"slots_per_trial": 1},
        "bind_mounts": [{"host_path": "/tmp", "container_path": "/root/.cache"}],
        "entrypoint": "ner_trial:NERTrial",
    }


@pytest.mark.parametrize("label_all_tokens", [False, True])
def test_runs_as_it_is(
    label_all_tokens: bool,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "context"
    tiny.save(root / "model", "bert", transformers.AutoModelForMaskedLM)
    (root / "ner_trial.py").write_bytes((EXAMPLE / "ner_trial.py").read_bytes())
    # Columns and labels as CoNLL-2003 has them on the Hub.
    tags = datasets.List(datasets.ClassLabel(names=NAMES))
    rows: dict[str, list[Any]] = {
        "id": [str(number) for number in range(80)],
        "tokens": [["the", ("cat", "dog")[n % 2], "ran", ("sat", "dog")[n % 2]] for n in range(80)],
        "pos_tags": [[0, 1, 2, 2]] * 80,
        "ner_tags": [[0, 1, 2, n % 2] for n in range(80)],
    }
    whole = datasets.Dataset.from_dict(rows).cast_column("ner_tags", tags)
    splits = {"train": whole, "validation": whole.select(range(20)), "test": whole}
    datasets.DatasetDict(splits).save_to_disk(root / "conll")

    workspace = Workspace(root, old_config(root))
    workspace.config["data"]["label_all_tokens"] = label_all_tokens
    yaml = workspace.write_yaml(workspace.config)
    said = train_here(yaml, tmp_path / "run", capsys)
    assert "did you mean" not in said and "is not known" not in said
    validations = validations_of(tmp_path / "run")
    assert [record["steps_completed"] for record in validations] == [10, 20, 30]
    for name in ("accuracy_score", "precision", "recall", "f1"):
        assert validations[-1][name] == 1.0, name
