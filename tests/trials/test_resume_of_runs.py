"""`model-hub train --resume`: a run that was stopped, killed or finished goes on."""

import pathlib
import shutil
import signal
import uuid

from task_runs import same_weights, validations_of
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from workspaces import RunCommand, Workspace, changed, metrics_of


def test_stopped_and_resumed_is_as_never_stopped(
    plain_run: pathlib.Path,
    workspace: Workspace,
    command: RunCommand,
    command_here: RunCommand,
    tmp_path: pathlib.Path,
) -> None:
    """By Ctrl+C in its terminal; SIGTERM, which others send, stops it in the other tests."""
    yaml = workspace.write_yaml(workspace.config)
    run = tmp_path / "stopped"
    # The trial stops itself by a signal in the middle of the first epoch.
    trial = workspace.root / "stopping_trial.py"
    trial.write_text(
        "import os, signal\n"
        "from qa_trial import QATrial\n\n\n"
        "class StoppingTrial(QATrial):\n"
        "    def train_batch(self, batch, epoch_idx, batch_idx):\n"
        "        if batch_idx == 6 and self.context.get_initial_batch() == 0:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        return super().train_batch(batch, epoch_idx, batch_idx)\n"
    )
    options = ["--config", "entrypoint=stopping_trial:StoppingTrial", "--output-dir", run]
    first = command("model-hub", "train", yaml, *options)
    assert first.code == 128 + signal.SIGINT, first.errors
    assert "stopped by" in first.output and "after 7 batches" in first.output
    # The command is the one to type from here.
    (resume,) = [line.split() for line in first.output.splitlines() if "--resume" in line]
    assert resume[:2] == ["model-hub", "train"]
    second = command_here(*resume)
    assert second.code == 0, second.errors
    assert same_weights(plain_run, run)
    ends = [
        [r for r in metrics_of(path) if r["group"] == "validation"] for path in (plain_run, run)
    ]
    assert ends[0] == ends[1]
    assert max(r["steps_completed"] for r in metrics_of(run)) == 20
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("validation/f1")] == [8, 16, 20]


def test_killed_run_resumes_from_its_last_checkpoint(
    plain_run: pathlib.Path,
    workspace: Workspace,
    command: RunCommand,
    command_here: RunCommand,
    tmp_path: pathlib.Path,
) -> None:
    yaml = workspace.write_yaml(changed(workspace.config, min_checkpoint_period={"batches": 5}))
    run = tmp_path / "killed"
    trial = workspace.root / "dying_trial.py"
    trial.write_text(
        "import os, signal\n"
        "from qa_trial import QATrial\n\n\n"
        "class DyingTrial(QATrial):\n"
        "    def train_batch(self, batch, epoch_idx, batch_idx):\n"
        "        if batch_idx == 13 and self.context.get_initial_batch() == 0:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().train_batch(batch, epoch_idx, batch_idx)\n"
    )
    entrypoint = "entrypoint=dying_trial:DyingTrial"
    killed = command("model-hub", "train", yaml, "--config", entrypoint, "--output-dir", run)
    assert killed.code == -signal.SIGKILL
    # As if it had been killed while it wrote another one.
    unfinished = run / "checkpoints" / str(uuid.uuid4())
    unfinished.mkdir()
    resumed = command_here("model-hub", "train", "--resume", run)
    assert resumed.code == 0, resumed.errors
    assert same_weights(plain_run, run)
    assert not unfinished.exists()
    steps = [r["steps_completed"] for r in metrics_of(run) if r["group"] == "training"]
    assert steps == sorted(set(steps))


def test_finished_run_that_was_moved_resumes(
    plain_run: pathlib.Path, command_here: RunCommand, tmp_path: pathlib.Path
) -> None:
    """Without a change it changes nothing; with a longer length it trains on."""
    moved = tmp_path / "moved"
    shutil.copytree(plain_run, moved)
    resumed = command_here("model-hub", "train", "--resume", moved)
    assert resumed.code == 0, resumed.errors
    assert "nothing was left to train: all 20 batches" in resumed.output
    assert same_weights(plain_run, moved)
    assert metrics_of(plain_run) == metrics_of(moved)
    longer = "hyperparameters.num_train_epochs=3"
    elsewhere = f"data.output_dir={tmp_path / 'predictions'}"
    words = ["--config", longer, "--config", elsewhere]
    resumed = command_here("model-hub", "train", "--resume", moved, *words)
    assert resumed.code == 0, resumed.errors
    assert max(r["steps_completed"] for r in metrics_of(moved)) == 30
    assert "continuing after 20 batches" in resumed.output
    assert "done: 10 batches in" in resumed.output and "30 in all" in resumed.output
    assert not same_weights(plain_run, moved)


def test_line_that_was_cut_off_is_forgotten(
    plain_run: pathlib.Path, command_here: RunCommand, tmp_path: pathlib.Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(plain_run, run)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"group": "trai')
    longer = "hyperparameters.num_train_epochs=3"
    elsewhere = f"data.output_dir={tmp_path / 'predictions'}"
    words = ["--config", longer, "--config", elsewhere]
    resumed = command_here("model-hub", "train", "--resume", run, *words)
    assert resumed.code == 0, resumed.errors
    assert max(record["steps_completed"] for record in metrics_of(run)) == 30


def test_asked_to_stop_at_the_last_batch_validates_when_resumed(
    plain_run: pathlib.Path, workspace: Workspace, command_here: RunCommand, tmp_path: pathlib.Path
) -> None:
    trial = workspace.root / "late_trial.py"
    trial.write_text(
        "import os, signal\n"
        "from qa_trial import QATrial\n\n\n"
        "class LateTrial(QATrial):\n"
        "    def train_batch(self, batch, epoch_idx, batch_idx):\n"
        "        if batch_idx == 19:\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "        return super().train_batch(batch, epoch_idx, batch_idx)\n"
    )
    yaml = workspace.write_yaml(workspace.config)
    run = tmp_path / "run"
    entrypoint = "entrypoint=late_trial:LateTrial"
    stopped = command_here("model-hub", "train", yaml, "--config", entrypoint, "--output-dir", run)
    assert stopped.code == 128 + signal.SIGTERM and "stopping after this batch" in stopped.errors
    assert not (run / "model").exists()
    resumed = command_here("model-hub", "train", "--resume", run)
    assert resumed.code == 0, resumed.errors
    assert validations_of(plain_run) == validations_of(run)
    assert same_weights(plain_run, run)
