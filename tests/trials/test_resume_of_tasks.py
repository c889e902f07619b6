"""A run of every task that is stopped in the middle and continued ends as if it had not been."""

import os
import pathlib
import signal
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from task_runs import validations_of

from model_hub import cli
from model_hub._new.tasks import TASKS
from model_hub.huggingface import _local

BATCHES = 10
# Between two updates of the weights, in the middle of an epoch.
STOP = 7


@pytest.mark.parametrize("name", TASKS)
def test_ends_as_if_never_stopped(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", name, "project"]) == 0
    monkeypatch.chdir("project")
    options = [
        f"hyperparameters.max_steps={BATCHES}",
        "hyperparameters.gradient_accumulation_steps=3",
        "min_validation_period={batches: 5}",
        "scheduling_unit=1",
    ]
    words = ["train", f"{TASKS[name].short_name}.yaml"]
    for option in options:
        words += ["--config", option]
    assert cli.main([*words, "--output-dir", "whole"]) == 0

    train_batch = _local._LocalController._train_batch

    def stop_in_the_middle(self: Any, batch: Any, epoch_idx: int, batch_idx: int) -> Any:
        if batch_idx == STOP - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return train_batch(self, batch, epoch_idx, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(_local._LocalController, "_train_batch", stop_in_the_middle)
        assert cli.main([*words, "--output-dir", "stopped"]) == 128 + signal.SIGTERM
    assert not pathlib.Path("stopped/model").exists()
    assert cli.main(["train", "--resume", "stopped"]) == 0

    whole, stopped = (load_file(f"{run}/model/model.safetensors") for run in ("whole", "stopped"))
    assert whole.keys() == stopped.keys()
    assert all(torch.equal(whole[weight], stopped[weight]) for weight in whole)
    validations = validations_of(pathlib.Path("whole"))
    assert validations == validations_of(pathlib.Path("stopped"))
    assert [each["steps_completed"] for each in validations][-2:] == [5, BATCHES]
