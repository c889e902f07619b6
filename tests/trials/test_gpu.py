"""What only a GPU shows; the other tests run on one too, where there is one."""

import json
import pathlib
import traceback
import warnings
from typing import Any

import pytest
import torch
from determined import pytorch
from option_runs import new_project
from workspaces import RunCommand

from model_hub.huggingface.training.device import copy_to_device

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_copies_arrive_wherever_they_stand() -> None:
    device = torch.device("cuda", 0)
    numbers = torch.arange(1_000_000)
    pinned = numbers.pin_memory()
    data = {"a": pinned, "b": [(pinned + 0).pin_memory(), numbers], "c": "text", "d": ("x", pinned)}
    copied = copy_to_device(data, device)
    tensors = [copied["a"], copied["b"][0], copied["d"][1]]
    assert all(each.device == device for each in tensors)
    assert all(torch.equal(each.cpu(), numbers) for each in tensors)
    assert copied["b"][1] is numbers and copied["c"] == "text" and copied["d"][0] == "x"


@pytest.mark.parametrize("settings", [{}, {"bf16": True}, {"gradient_accumulation_steps": 2}])
def test_a_step_waits_for_nothing(
    settings: dict[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch warns where the GPU is waited for."""
    steps, waits = [], []
    train_batch = pytorch._PyTorchTrialController._train_batch

    def note(message: Any, *_: Any, **__: Any) -> None:
        stack = traceback.format_stack()
        # transformers looks whether there is padding.
        if "synchroniz" in str(message) and not any("masking_utils" in line for line in stack):
            waits.append("".join(stack))

    def watched(self: Any, batch: Any, epoch_idx: int, batch_idx: int) -> Any:
        steps.append(batch_idx)
        # At first, states of the optimizer and workspaces are made.
        torch.cuda.set_sync_debug_mode("warn" if batch_idx >= 2 else "default")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = note
            try:
                return train_batch(self, batch=batch, epoch_idx=epoch_idx, batch_idx=batch_idx)
            finally:
                torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(pytorch._PyTorchTrialController, "_train_batch", watched)
    project = new_project("causal-language-modeling", tmp_path / "project")
    project.job("run", **settings).run()
    assert steps == list(range(9))
    assert not waits, waits[0]


def test_without_a_gpu_it_answers_and_goes_on(tmp_path: pathlib.Path, command: RunCommand) -> None:
    """A run that was begun on a GPU is at home on a machine without one."""
    project = new_project("text-classification", tmp_path / "project")
    begun, _ = project.stopped("run", learning_rate=1e-2)
    begun.run()
    folder = project.folder / "run"
    answers = {}
    for where, variables in (("gpu", {}), ("cpu", {"CUDA_VISIBLE_DEVICES": ""})):
        file = tmp_path / f"{where}.jsonl"
        words = ["--input", project.folder / "validation.jsonl", "--output", file]
        done = command("model-hub", "predict", folder, *words, **variables)
        assert done.code == 0, done.errors
        answers[where] = [json.loads(line) for line in file.read_text().splitlines()]
    scores = {where: [row["score"] for row in rows] for where, rows in answers.items()}
    assert scores["gpu"] == pytest.approx(scores["cpu"], abs=1e-4)
    assert len(set(scores["cpu"])) > 1
    done = command("model-hub", "train", "--resume", folder, CUDA_VISIBLE_DEVICES="")
    assert done.code == 0, done.errors
    assert "on 1 CPU" in done.output
    assert [each["steps_completed"] for each in project.validations("run")] == [4, 8, 9]


def test_more_processes_than_gpus(tmp_path: pathlib.Path, command: RunCommand) -> None:
    project = new_project("text-classification", tmp_path / "project")
    gpus = torch.cuda.device_count()
    launcher = ["torchrun", "--standalone", "--nproc_per_node", str(gpus + 1), "-m", "model_hub"]
    done = command(*launcher, "train", project.folder / "glue.yaml")
    assert done.code != 0
    assert f"torch sees {gpus}. Write --nproc_per_node={gpus}," in done.errors


def test_the_scale_of_losses_is_not_lost_at_a_stop(tmp_path: pathlib.Path) -> None:
    """The option matrix compares the weights."""
    project = new_project("causal-language-modeling", tmp_path / "project")
    project.job("whole", fp16=True).run()
    for job in project.stopped("stopped", fp16=True):
        job.run()
    states = []
    for name in ("whole", "stopped"):
        files = (project.folder / name / "checkpoints").glob("*/state_dict.pth")
        last = max(files, key=lambda file: file.stat().st_mtime_ns)
        states.append(torch.load(last, map_location="cpu")["scaler_state_dict"])
    # It counts the steps since the scale was changed.
    assert states[0] == states[1] and states[0]["_growth_tracker"] > 5
