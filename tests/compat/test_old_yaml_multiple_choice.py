"""Drop-in: a YAML as the old library's multiple-choice example had it."""

import pathlib

import datasets
import pytest
import tiny
import transformers
from task_runs import train_here, validations_of
from workspaces import ROOT, Config, Workspace

EXAMPLE = ROOT / "examples" / "huggingface" / "multiple-choice"


def old_config(root: pathlib.Path) -> Config:
    """Section by section what stood there; only model, data and sizes are tiny."""
    return {
        "name": "huggingface_swag_trial",
        "hyperparameters": {
            "pretrained_model_name_or_path": str(root / "model"),
            "model_mode": "multiple-choice",
            "use_pretrained_weights": True,
            "use_apex_amp": True,
            "cache_dir": None,
            "global_batch_size": 8,
            "learning_rate": 5e-3,
            "adam_epsilon": 1.0e-8,
            "weight_decay": 0,
            "lr_scheduler_type": "linear",
            "num_warmup_steps": 0,
        },
        "data": {
            "dataset_name": str(root / "swag"),
            "dataset_config_name": "regular",
            "train_file": None,
            "validation_file": None,
            "overwrite_cache": False,
            "preprocessing_num_workers": None,
            "max_seq_length": 24,
            "pad_to_max_length": False,
        },
        "records_per_epoch": 80,
        "min_validation_period": {"batches": 15},
        "searcher": {
            "name": "single",
            "metric": "accuracy",
            "max_length": {"epochs": 3},
            "smaller_is_better": False,
        },
        "environment": {"image": {"gpu": "determinedai/model-hub-transformers:0.17.5-rc6"}},
        "resources": {"slots_per_trial": 2},
        "bind_mounts": [{"host_path": "/tmp", "container_path": "/root/.cache"}],
        "entrypoint": "swag_trial:SWAGTrial",
    }


@pytest.mark.parametrize("pad_to_max_length", [False, True])
def test_runs_as_it_is(
    pad_to_max_length: bool,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "context"
    tiny.save(root / "model", "bert", transformers.AutoModelForMaskedLM)
    (root / "swag_trial.py").write_bytes((EXAMPLE / "swag_trial.py").read_bytes())
    # Columns as SWAG has them on the Hub; the right ending is the one that sits.
    labels = [number % 4 for number in range(80)]
    rows = {
        "video-id": [f"v{number}" for number in range(80)],
        "fold-ind": ["1"] * 80,
        "startphrase": ["the cat"] * 80,
        "sent1": ["the cat"] * 80,
        "sent2": ["the dog"] * 80,
        "gold-source": ["gold"] * 80,
        **{
            f"ending{choice}": ["sat" if label == choice else "ran" for label in labels]
            for choice in range(4)
        },
    }
    whole = datasets.Dataset.from_dict({**rows, "label": labels})
    whole = whole.cast_column("label", datasets.ClassLabel(names=["0", "1", "2", "3"]))
    splits = {"train": whole, "validation": whole.select(range(20))}
    datasets.DatasetDict(splits).save_to_disk(root / "swag")

    workspace = Workspace(root, old_config(root))
    workspace.config["data"]["pad_to_max_length"] = pad_to_max_length
    said = train_here(workspace.write_yaml(workspace.config), tmp_path / "run", capsys)
    assert "did you mean" not in said and "is not known" not in said
    validations = validations_of(tmp_path / "run")
    assert [record["steps_completed"] for record in validations] == [15, 30]
    assert validations[-1]["accuracy"] == 1.0
