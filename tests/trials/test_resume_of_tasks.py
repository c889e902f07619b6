"""A run of every task that is stopped in the middle and continued ends as if it had not been; and
what people switch on together most often works for every task."""

import os
import pathlib
import signal
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from task_runs import validations_of

from model_hub import cli
from model_hub.huggingface.checkpoint import saving
from model_hub.huggingface.model import adapter, unwrap
from model_hub.huggingface.runner import local
from model_hub.new.tasks import TASKS

BATCHES = 10
# Between two updates of the weights, in the middle of an epoch.
STOP = 7
ROWS = {"train": 70, "validation": 12}
PLAIN = {"gradient_accumulation_steps": "3"}
SWITCHED = {
    **PLAIN,
    "bf16": "true",
    "peft": "{peft_type: LORA, r: 4, target_modules: all-linear}",
    "gradient_checkpointing": "true",
    "group_by_length": "true",
}
# Of every kind of model there is another task whose run is stopped with all switches on.
STOPPED_WITHOUT_SWITCHES = (
    "question-answering",
    "text-classification",
    "masked-language-modeling",
    "summarization",
)


def train(name: str, run: str, switches: dict[str, str], batches: int) -> int:
    words = ["train", f"{TASKS[name].short_name}.yaml", "--output-dir", run]
    for option in (
        f"hyperparameters.max_steps={batches}",
        "min_validation_period={batches: 5}",
        "scheduling_unit=1",
        f"data.max_train_samples={ROWS['train']}",
        f"data.max_eval_samples={ROWS['validation']}",
        *(f"hyperparameters.{key}={value}" for key, value in switches.items()),
    ):
        words += ["--config", option]
    return cli.main(words)


def switches_of(name: str) -> dict[str, str]:
    """All that the task's model can: transformers' XLNet has no gradient checkpointing."""
    lacking = {"gradient_checkpointing"} if TASKS[name].family == "xlnet" else set()
    return {key: value for key, value in SWITCHED.items() if key not in lacking}


@pytest.mark.parametrize("name", TASKS)
def test_ends_as_if_never_stopped(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", name, "project"]) == 0
    monkeypatch.chdir("project")
    trials: list[Any] = []
    export_trial = saving.export_trial
    monkeypatch.setattr(
        saving,
        "export_trial",
        lambda trial, target: trials.append(trial) or export_trial(trial, target),
    )
    switches = switches_of(name)
    if name in STOPPED_WITHOUT_SWITCHES:
        # Once, without a stop.
        assert train(name, "switched", switches, batches=3) == 0
        check_switches(trials[-1], switches)
        switches = PLAIN
    assert train(name, "whole", switches, BATCHES) == 0
    check_switches(trials[-1], switches)

    train_batch = local._LocalController._train_batch

    def stop_in_the_middle(self: Any, batch: Any, epoch_idx: int, batch_idx: int) -> Any:
        if batch_idx == STOP - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return train_batch(self, batch, epoch_idx, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(local._LocalController, "_train_batch", stop_in_the_middle)
        assert train(name, "stopped", switches, BATCHES) == 128 + signal.SIGTERM
    assert not pathlib.Path("stopped/model").exists()
    assert cli.main(["train", "--resume", "stopped"]) == 0

    whole, stopped = (load_file(f"{run}/model/model.safetensors") for run in ("whole", "stopped"))
    assert whole.keys() == stopped.keys()
    assert all(torch.equal(whole[weight], stopped[weight]) for weight in whole)
    validations = validations_of(pathlib.Path("whole"))
    assert validations == validations_of(pathlib.Path("stopped"))
    assert [each["steps_completed"] for each in validations][-2:] == [5, BATCHES]


def check_switches(trial: Any, switches: dict[str, str]) -> None:
    """That each of them has reached the trial; that it then does something is tested elsewhere."""
    assert {split: len(rows) for split, rows in trial.raw_datasets.items()} == ROWS
    assert trial.context._aggregation_frequency == 3
    assert unwrap.has_adapter(trial.model) == ("peft" in switches)
    base: Any = unwrap.strip_adapter(trial.model)
    checkpointing = any(
        getattr(module, "gradient_checkpointing", False) for module in base.modules()
    )
    assert checkpointing == ("gradient_checkpointing" in switches)
    if "peft" not in switches:
        return
    trained = {n for n, p in trial.model.named_parameters() if p.requires_grad}
    head = adapter.untrained_head(base)
    assert trained and all("lora_" in n or any(f".{h}." in n for h in head) for n in trained)
    lengths = [max(len(r) for r in each) if isinstance(each[0], list) else len(each)
               for each in trial.train_dataset["input_ids"]]  # fmt: skip
    first = next(iter(trial.build_training_data_loader().batch_sampler))
    # A batch of neighbours, the longest row of all first.
    assert lengths[first[0]] == max(lengths)
