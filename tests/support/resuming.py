"""Trials in which everything is random that can be; comparing runs of them to the last bit."""

import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import torch
from workspaces import Config, metrics_of

import model_hub.huggingface  # noqa: F401 - lets torch.load read Determined's random state

BATCHES = 20
TRIALS = pathlib.Path(__file__).parents[1] / "cluster" / "trials"
# The last checkpoint's content, and all validation metrics by their batch.
End = tuple[dict[str, Any], dict[int, Any]]
COMPARED = ("models_state_dict", "optimizers_state_dict", "lr_schedulers_state_dict")


def copy_trials(folder: pathlib.Path) -> pathlib.Path:
    """Copy the trials into a context directory."""
    for name in ("masking_trial.py", "stateful_trial.py"):
        shutil.copy(TRIALS / name, folder)
    return folder


def masking_config(corpus: pathlib.Path) -> Config:
    """20 batches, an epoch has 9 of them and a half; a checkpoint after each 6."""
    return {
        "name": "masking",
        "entrypoint": "masking_trial:MaskingTrial",
        "hyperparameters": {
            "model_mode": "masked-lm",
            "pretrained_model_name_or_path": str(corpus / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "learning_rate": 1e-3,
            "weight_decay": 0.01,
            "num_warmup_steps": 3,
        },
        "data": {"train_file": str(corpus / "train.json")},
        "searcher": {
            "name": "single",
            "metric": "validation_loss",
            "max_length": {"batches": BATCHES},
        },
        "min_validation_period": {"batches": 5},
        "min_checkpoint_period": {"batches": 6},
        "checkpoint_policy": "none",
        "scheduling_unit": 1,
    }


def end_of_local_run(run: pathlib.Path) -> End:
    """How a run of `model-hub train` has ended."""
    index = json.loads((run / "checkpoints" / "index.json").read_text())
    latest = max(index, key=lambda entry: entry["steps_completed"])
    assert latest["steps_completed"] == BATCHES
    state = torch.load(run / "checkpoints" / latest["uuid"] / "state_dict.pth")
    validations = [record for record in metrics_of(run) if record["group"] == "validation"]
    return state, {record["steps_completed"]: record for record in validations}


def differences(one: Any, other: Any, name: str = "") -> Iterator[str]:
    """Where two nested states are not the same to the last bit."""
    if isinstance(one, torch.Tensor):
        if not torch.equal(one, other):
            yield name
    elif isinstance(one, dict):
        if one.keys() != other.keys():
            yield f"{name}: {sorted(map(str, one.keys() ^ other.keys()))}"
        for key in one.keys() & other.keys():
            yield from differences(one[key], other[key], f"{name}.{key}")
    elif isinstance(one, (list, tuple)):
        if len(one) != len(other):
            yield name
        for number, pair in enumerate(zip(one, other, strict=False)):
            yield from differences(*pair, f"{name}.{number}")
    elif one != other:
        yield name


def assert_same_end(expected: End, found: End) -> None:
    """Weights, optimizer, learning rate and validation metrics are the same to the last bit."""
    for part in COMPARED:
        assert expected[0][part], part
        assert not list(differences(expected[0][part], found[0][part], part))
    assert expected[1] == found[1]
    assert set(found[1]) == {5, 10, 15, 20}
