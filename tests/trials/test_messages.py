"""What a run says when something goes wrong on the way: once, and with what to do."""

import json
import logging
import os
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import pytest
import safetensors.torch
import torch
from workspaces import Workspace, changed

from model_hub import _hub, _terminal, cli
from model_hub.errors import UserError
from model_hub.huggingface.runner import log_setup, processes

Train = Callable[..., tuple[int, str, str]]

# A trial that does something in the place of its Nth training step, or of making its loader.
_TRIAL = """
import os, signal
from qa_trial import QATrial

class OddTrial(QATrial):
    def build_training_data_loader(self):
        {on_loader}
        return super().build_training_data_loader()

    def train_batch(self, batch, epoch_idx, batch_idx):
        if batch_idx == 5:
            {on_batch}
        return super().train_batch(batch, epoch_idx, batch_idx)
"""
_CTRL_C = "os.kill(os.getpid(), signal.SIGINT)"
# Every Linux has a device that is always full.
_FULL = "open('/dev/full', 'w', buffering=1).write('x' * 9999)"


@pytest.fixture
def train(
    workspace: Workspace,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Train:
    """Trains in this process; returns the exit code, and what is printed."""
    monkeypatch.chdir(tmp_path)

    def run(
        *options: str, on_loader: str = "pass", on_batch: str = "pass", **changes: Any
    ) -> tuple[int, str, str]:
        text = _TRIAL.format(on_loader=on_loader, on_batch=on_batch)
        (workspace.root / "odd_trial.py").write_text(text)
        changes = {"entrypoint": "odd_trial:OddTrial", **changes}
        yaml = workspace.write_yaml(changed(workspace.config, **changes))
        capsys.readouterr()
        code = cli.main(["train", str(yaml), "--output-dir", "run", *options])
        output, errors = capsys.readouterr()
        assert "Traceback" not in errors
        return code, output, errors

    return run


def test_loss_that_is_no_number(train: Train) -> None:
    code, _, errors = train(
        hyperparameters__learning_rate=1e30, hyperparameters__num_train_epochs=1
    )
    assert code == 0
    (line,) = (line for line in errors.splitlines() if "the loss is" in line)
    # The first update makes the weights too large for the second batch.
    assert line.startswith("warning: the loss is nan at batch 2.") and "learning_rate" in line


def test_length_that_is_not_read(train: Train) -> None:
    _, _, errors = train(hyperparameters__max_steps=1, hyperparameters__num_train_epochs=3)
    told = (
        "warning: hyperparameters.num_train_epochs has no effect, because hyperparameters.max_steps"
    )
    assert errors.count(told) == 1


def test_stopped_while_the_data_is_prepared(train: Train) -> None:
    code, _, errors = train(on_loader=_CTRL_C)
    assert code == 128 + signal.SIGINT
    assert "stopped before anything was trained" in errors and "after this batch" not in errors
    assert not os.path.exists("run")


def test_stopped_at_once_by_a_second_signal(train: Train) -> None:
    twice = f"{_CTRL_C}; {_CTRL_C}"
    code, output, errors = train(on_batch=twice, min_checkpoint_period={"batches": 2})
    assert code == 128 + signal.SIGINT and "done" not in output
    assert "The last checkpoint has 4 batches" in errors
    assert "model-hub train --resume run" in errors


def test_full_disk_is_told_with_the_way_on(train: Train) -> None:
    code, _, errors = train(on_batch=_FULL, min_checkpoint_period={"batches": 2})
    assert code == 2
    assert "cannot write to the run's folder" in errors and "No space left on device" in errors
    assert "The last checkpoint has 4 batches" in errors and "--resume run" in errors


def test_full_disk_before_the_first_checkpoint(train: Train) -> None:
    code, _, errors = train(on_loader=_FULL)
    assert code == 2 and "another folder with --output-dir" in errors


def _caught(write: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:
        write()
    return caught.value


def test_failed_writes_of_all_libraries_are_known(tmp_path: pathlib.Path) -> None:
    state = {"weight": torch.zeros(100_000)}
    errors = [
        _caught(lambda: torch.save(state, "/dev/full")),
        _caught(lambda: safetensors.torch.save_file(state, "/proc/no/such.safetensors")),
        _caught(lambda: pathlib.Path("/dev/full").write_text("x")),
    ]
    assert _terminal.why_write_failed(errors[0], tmp_path / "not" / "there")
    assert "No space left" in _terminal.why_write_failed(errors[2], tmp_path)
    # Files that are not there, and mistakes in the code, are told as what they are.
    assert _terminal.why_write_failed(errors[1], tmp_path) == ""
    assert _terminal.why_write_failed(FileNotFoundError(2, "No such file", "x"), tmp_path) == ""
    assert _terminal.why_write_failed(ValueError("shape"), tmp_path) == ""
    inside, outside = tmp_path / "x", tmp_path.parent / "x"
    assert (
        _terminal.why_write_failed(PermissionError(13, "denied", str(inside)), tmp_path) == "denied"
    )
    assert _terminal.why_write_failed(PermissionError(13, "denied", str(outside)), tmp_path) == ""


def test_other_ranks_hand_their_error_to_torchrun(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = UserError("data.train_file: there is no file")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv("TORCHELASTIC_ERROR_FILE", raising=False)
    _terminal.print_error(error)
    assert capsys.readouterr().err == f"[rank 1] model-hub: error: {error}\n"
    file = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
    _terminal.print_error(error)
    assert capsys.readouterr().err == ""
    details = json.loads(file.read_text())["message"]["extraInfo"]
    assert details["py_callstack"] == str(error)
    monkeypatch.setenv("RANK", "0")
    _terminal.print_error(error)
    assert capsys.readouterr().err == f"model-hub: error: {error}\n"


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    told = r"3 processes on this machine, .* torch sees 2\. Write --nproc_per_node=2,"
    with pytest.raises(UserError, match=told), processes.distributed_processes():
        pass


def test_why_a_model_cannot_be_loaded(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    away = OSError("We couldn't connect to 'https://huggingface.co' to load the files.\nmore")
    for path in ("./bert", "/a/b/c", "../bert", "a/b/c"):
        assert (
            _hub.explain_load_error(path, away)
            == f"there is no folder {path!r} (looked in {tmp_path})"
        )
    assert _hub.explain_load_error("me/bert", away).endswith("the Hub cannot be reached")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "because HF_HUB_OFFLINE is set" in _hub.explain_load_error("me/bert", away)
    (tmp_path / "bert").mkdir()
    assert _hub.explain_load_error("./bert", OSError("no config.json.\nmore")) == "no config.json"


def test_libraries_say_things_once(capfd: pytest.CaptureFixture[str]) -> None:
    # As they are after an import; in this process another test may have set up logging before.
    for name in ("huggingface_hub", "datasets", "transformers"):
        logging.getLogger(name).addHandler(logging.StreamHandler())
    log_setup.set_up_logging(verbose=False, rank=0)
    for name in ("huggingface_hub", "datasets", "transformers"):
        for _ in range(2):
            logging.getLogger(f"{name}.some.module").warning("%s says", name)
    address = "https://huggingface.co/a/resolve/main/config.json"
    for attempt in (1, 2):
        logger = logging.getLogger("huggingface_hub.utils._http")
        logger.warning("'[Errno -2] unknown' thrown while requesting HEAD %s", address)
        logger.warning("Retrying in 1s [Retry %d/5].", attempt)
    errors = capfd.readouterr().err
    assert errors.splitlines()[:3] == [
        f"warning: {name} says" for name in ("huggingface_hub", "datasets", "transformers")
    ]
    (line,) = errors.splitlines()[3:]
    assert "https://huggingface.co cannot be reached" in line and "HF_HUB_OFFLINE=1" in line
    log_setup.set_up_logging(verbose=False, rank=1)
    logging.getLogger("transformers.some.module").warning("said by rank 0 too")
    assert capfd.readouterr().err == ""
