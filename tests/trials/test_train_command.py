"""`model-hub train`: what it does, shows and leaves behind."""

import fcntl
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
import uuid
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from workspaces import (
    Config,
    RunCommand,
    Workspace,
    changed,
    command_line,
    environment,
    metrics_of,
    no_traceback,
)


def weights(run: pathlib.Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def validations_of(run: pathlib.Path) -> list[dict[str, Any]]:
    return [record for record in metrics_of(run) if record["group"] == "validation"]


def same_weights(one: pathlib.Path, other: pathlib.Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_leaves_a_whole_run_folder(
    workspace: Workspace, command: RunCommand, tmp_path: pathlib.Path
) -> None:
    predictions = tmp_path / "predictions"
    yaml = workspace.write_yaml(changed(workspace.config, data__output_dir=str(predictions)))
    finished = command("model-hub", "train", yaml, "--output-dir", tmp_path / "run")
    assert finished.code == 0, finished.errors
    assert "best so far" in finished.output and "\x1b" not in finished.output + finished.errors
    run = tmp_path / "run"

    resolved = ruamel_load(run / "config.yaml")
    assert resolved["hyperparameters"]["learning_rate"] == 1e-3
    assert resolved["optimizations"]["aggregation_frequency"] == 1

    records = metrics_of(run)
    training = [r for r in records if r["group"] == "training"]
    validation = [r for r in records if r["group"] == "validation"]
    assert [r["steps_completed"] for r in validation] == [8, 16, 20]
    assert [r["steps_completed"] for r in training] == [4, 8, 12, 16, 20]
    assert {"exact_match", "f1"} < set(validation[-1])
    assert all(r["loss"] > 0 for r in training)
    # Linear to 0 over the 20 batches, whose number nobody had to write.
    rates = [r["learning_rate"] for r in training]
    assert rates == pytest.approx([1e-3 * (1 - s / 20) for s in (4, 8, 12, 16, 20)], abs=1e-12)

    picture = (run / "plot.png").read_bytes()
    width, height = struct.unpack(">II", picture[16:24])
    assert picture.startswith(b"\x89PNG") and width > 600 and height > 300

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    scalars = events.Scalars("validation/f1")
    assert [event.step for event in scalars] == [8, 16, 20]
    assert scalars[-1].value == pytest.approx(validation[-1]["f1"])

    assert {path.name for path in predictions.iterdir()} == {
        "predictions.json",
        "nbest_predictions.json",
    }
    index = json.loads((run / "checkpoints" / "index.json").read_text())
    kept = {entry["uuid"] for entry in index}
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"index.json", *kept}
    assert max(entry["steps_completed"] for entry in index) == 20
    assert len(kept) <= 2  # The latest, and the best if that is another one.
    assert "model-hub train --resume" in (run / "README.md").read_text()

    # What it shows: a table per validation and where things are, no bar and no log lines.
    assert finished.output.count("validation after") == 3
    assert "f1" in finished.output and "best so far" in finished.output
    assert "plot.png" in finished.output
    assert "%|" not in finished.errors and "INFO" not in finished.errors
    assert "warning" not in finished.errors.lower(), finished.errors


def ruamel_load(path: pathlib.Path) -> Config:
    import ruamel.yaml

    loaded: Config = ruamel.yaml.YAML(typ="safe", pure=True).load(path.read_text())
    return loaded


def test_exported_model_is_the_trained_one(plain_run: pathlib.Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in (plain_run / "model").iterdir()}
    assert len(modes) == 1  # Who may read the configuration may read the weights.
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(plain_run / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(plain_run / "model")
    newest = max(
        json.loads((plain_run / "checkpoints" / "index.json").read_text()),
        key=lambda entry: entry["steps_completed"],
    )
    import model_hub.huggingface  # noqa: F401 - lets torch.load read Determined's random state

    checkpoint = torch.load(
        plain_run / "checkpoints" / newest["uuid"] / "state_dict.pth", map_location="cpu"
    )
    for name, tensor in checkpoint["models_state_dict"][0].items():
        assert torch.equal(model.state_dict()[name], tensor), name
    encoded = tokenizer("Whom does Nora fear?", "Nora fears Calpex.", return_tensors="pt")
    assert model(**encoded).start_logits.shape == encoded["input_ids"].shape


@pytest.mark.skipif(
    "question-answering" in getattr(transformers.pipelines, "REMOVED_TASKS", {}),
    reason="this transformers has no question-answering pipeline any more",
)
def test_exported_model_loads_in_a_pipeline(plain_run: pathlib.Path) -> None:
    ask = transformers.pipeline("question-answering", model=str(plain_run / "model"))
    answer = ask(question="Whom does Nora fear?", context="Nora fears Calpex.")
    assert answer["answer"] in "Nora fears Calpex."


def test_same_seed_same_run_another_seed_another(
    plain_run: pathlib.Path, workspace: Workspace, command: RunCommand, tmp_path: pathlib.Path
) -> None:
    yaml = workspace.write_yaml(workspace.config)
    for name, seed in (("same", 0), ("other", 1)):
        override = f"reproducibility.experiment_seed={seed}"
        finished = command(
            "model-hub", "train", yaml, "--config", override, "--output-dir", tmp_path / name
        )
        assert finished.code == 0, finished.errors
    assert same_weights(plain_run, tmp_path / "same")
    assert metrics_of(plain_run) == metrics_of(tmp_path / "same")
    assert not same_weights(plain_run, tmp_path / "other")


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_is_as_never_stopped(
    plain_run: pathlib.Path, workspace: Workspace, tmp_path: pathlib.Path, stop_signal: int
) -> None:
    yaml = workspace.write_yaml(workspace.config)
    run = tmp_path / "stopped"
    # The trial stops itself by a signal in the middle of the first epoch.
    trial = workspace.root / "stopping_trial.py"
    trial.write_text(
        "import os\n"
        "from qa_trial import QATrial\n\n\n"
        "class StoppingTrial(QATrial):\n"
        "    def train_batch(self, batch, epoch_idx, batch_idx):\n"
        "        if batch_idx == 6 and self.context.get_initial_batch() == 0:\n"
        f"            os.kill(os.getpid(), {int(stop_signal)})\n"
        "        return super().train_batch(batch, epoch_idx, batch_idx)\n"
    )
    home = tmp_path / "home"
    options = ["--config", "entrypoint=stopping_trial:StoppingTrial", "--output-dir", str(run)]

    def train(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command_line(["model-hub", "train", *words]),
            cwd=tmp_path,
            env=environment(home),
            capture_output=True,
            text=True,
            timeout=900,
        )

    first = train(str(yaml), *options)
    assert first.returncode == 128 + stop_signal, first.stderr
    assert "stopped by" in first.stdout and "after 7 batches" in first.stdout
    # The command is the one to type from here.
    (resume,) = [line.split() for line in first.stdout.splitlines() if "--resume" in line]
    assert resume[:2] == ["model-hub", "train"]
    second = train(*resume[2:])
    assert second.returncode == 0, second.stderr
    assert same_weights(plain_run, run)
    ends = [
        [r for r in metrics_of(path) if r["group"] == "validation"] for path in (plain_run, run)
    ]
    assert ends[0] == ends[1]
    assert max(r["steps_completed"] for r in metrics_of(run)) == 20
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("validation/f1")] == [8, 16, 20]


def test_killed_run_resumes_from_its_last_checkpoint(
    plain_run: pathlib.Path, workspace: Workspace, command: RunCommand, tmp_path: pathlib.Path
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
    resumed = command("model-hub", "train", "--resume", run)
    assert resumed.code == 0, resumed.errors
    assert same_weights(plain_run, run)
    assert not unfinished.exists()
    steps = [r["steps_completed"] for r in metrics_of(run) if r["group"] == "training"]
    assert steps == sorted(set(steps))


def test_finished_run_that_was_moved_resumes(
    plain_run: pathlib.Path, command: RunCommand, tmp_path: pathlib.Path
) -> None:
    """Without a change it changes nothing; with a longer length it trains on."""
    moved = tmp_path / "moved"
    shutil.copytree(plain_run, moved)
    resumed = command("model-hub", "train", "--resume", moved)
    assert resumed.code == 0, resumed.errors
    assert "nothing was left to train: all 20 batches" in resumed.output
    assert same_weights(plain_run, moved)
    assert metrics_of(plain_run) == metrics_of(moved)
    longer = "hyperparameters.num_train_epochs=3"
    resumed = command("model-hub", "train", "--resume", moved, "--config", longer)
    assert resumed.code == 0, resumed.errors
    assert max(r["steps_completed"] for r in metrics_of(moved)) == 30
    assert "continuing after 20 batches" in resumed.output
    assert "done: 10 batches in" in resumed.output and "30 in all" in resumed.output
    assert not same_weights(plain_run, moved)


def test_two_processes_under_torchrun(
    plain_run: pathlib.Path, workspace: Workspace, command: RunCommand, tmp_path: pathlib.Path
) -> None:
    yaml = workspace.write_yaml(workspace.config)
    run = tmp_path / "two"
    launch = ["torchrun", "--standalone", "--nproc_per_node=2", "-m", "model_hub", "train"]
    # Without dropout both ways see the same batches and so the same losses.
    finished = command(*launch, yaml, "--output-dir", run)
    assert finished.code == 0, finished.errors
    assert "on 2 " in finished.output
    assert finished.output.count("validation after 20 batches") == 1
    two, one = metrics_of(run), metrics_of(plain_run)
    assert [r["steps_completed"] for r in two] == [r["steps_completed"] for r in one]
    assert (run / "model" / "model.safetensors").is_file()
    assert (
        "torchrun --nproc_per_node=2 -m model_hub train --resume" in (run / "README.md").read_text()
    )


def test_old_style_yaml_runs_unchanged(
    workspace: Workspace, command: RunCommand, tmp_path: pathlib.Path
) -> None:
    yaml = workspace.write_yaml(old_style(workspace.config))
    run = tmp_path / "run"
    finished = command("model-hub", "train", yaml, "--output-dir", run)
    assert finished.code == 0, finished.errors
    records = [r for r in metrics_of(run) if r["group"] == "training"]
    assert records[-1]["steps_completed"] == 20
    assert records[-1]["learning_rate"] == pytest.approx(0, abs=1e-12)


def old_style(config: Config) -> Config:
    """As the old library's examples were written."""
    return changed(
        config,
        entrypoint="qa_trial:QATrial",
        records_per_epoch=80,
        searcher__max_length={"epochs": 2},
        hyperparameters__num_train_epochs=...,
        hyperparameters__use_apex_amp=False,
        hyperparameters__cache_dir=None,
        hyperparameters__adam_epsilon=1e-8,
        hyperparameters__num_warmup_steps=0,
        data__dataset_name=None,
        data__overwrite_cache=False,
        data__preprocessing_num_workers=None,
        data__pad_to_max_length=True,
        data__version_2_with_negative=False,
        data__null_score_diff_threshold=0,
        data__n_best_size=20,
        data__max_answer_length=30,
    )


def test_local_test_mode_of_det(workspace: Workspace, command: RunCommand) -> None:
    """One batch is trained and one evaluated: metrics are over what was evaluated."""
    workspace.write_yaml(old_style(workspace.config), "squad_local.yaml")
    words = ["det", "experiment", "create", "squad_local.yaml", ".", "--local", "--test"]
    finished = command(*words, cwd=workspace.root)
    shown = finished.output + finished.errors
    assert finished.code == 0, shown
    assert "The test experiment passed" in shown
    assert "'exact_match'" in shown and "validated: 8 records" in shown


def test_ranges_are_picked_reproducibly_and_told(
    workspace: Workspace, command: RunCommand, tmp_path: pathlib.Path
) -> None:
    config = changed(
        workspace.config,
        hyperparameters__max_steps=1,
        hyperparameters__learning_rate={"type": "log", "base": 10, "minval": -5, "maxval": -3},
        hyperparameters__lr_scheduler_type={"type": "categorical", "vals": ["linear", "cosine"]},
    )
    yaml = workspace.write_yaml(config)
    picked = []
    for name in ("a", "b"):
        finished = command("model-hub", "train", yaml, "--output-dir", tmp_path / name)
        assert finished.code == 0, finished.errors
        hparams = ruamel_load(tmp_path / name / "config.yaml")["hyperparameters"]
        assert 1e-5 <= hparams["learning_rate"] <= 1e-3
        assert f"lr_scheduler_type={hparams['lr_scheduler_type']}" in finished.output
        assert "learning_rate=" in finished.output
        picked.append((hparams["learning_rate"], hparams["lr_scheduler_type"]))
    assert picked[0] == picked[1]


@pytest.mark.parametrize("no_color", ["", "1"])
def test_progress_bar_on_a_terminal(
    no_color: str, workspace: Workspace, tmp_path: pathlib.Path
) -> None:
    yaml = workspace.write_yaml(workspace.config)
    reader, writer = pty.openpty()
    rows_and_columns = struct.pack("HHHH", 24, 160, 0, 0)
    fcntl.ioctl(writer, termios.TIOCSWINSZ, rows_and_columns)
    process = subprocess.Popen(
        command_line(["model-hub", "train", str(yaml), "--output-dir", str(tmp_path / "run")]),
        cwd=tmp_path,
        env={**environment(tmp_path / "home"), "TERM": "xterm", "NO_COLOR": no_color},
        stdout=writer,
        stderr=writer,
        close_fds=True,
    )
    os.close(writer)
    shown = b""
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        if not select.select([reader], [], [], 1.0)[0]:
            continue
        try:
            block = os.read(reader, 65536)
        except OSError:  # The other side is closed.
            break
        if not block:
            break
        shown += block
    assert process.wait(timeout=900) == 0
    os.close(reader)
    text = shown.decode(errors="replace")
    for piece in (
        "20/20",
        "loss ",
        "lr ",
        "samples/s",
        "epoch 2.00",
        "validation after 20 batches",
    ):
        assert piece in text, text
    # Of other packages no bar stays on the screen.
    assert "shards" not in text
    assert ("\x1b[32mbest so far\x1b[0m" in text) == (not no_color)
    assert ("\x1b[3" in text) == (not no_color)


def test_default_folder_is_below_runs(
    workspace: Workspace, command: RunCommand, tmp_path: pathlib.Path
) -> None:
    yaml = workspace.write_yaml(changed(workspace.config, hyperparameters__max_steps=1))
    finished = command("model-hub", "train", yaml)
    assert finished.code == 0, finished.errors
    (run,) = (tmp_path / "work" / "runs").iterdir()
    assert run.name.startswith("tiny-")
    assert f"run folder: runs/{run.name}" in finished.output


def test_token_is_shown_and_kept_nowhere(
    workspace: Workspace, command: RunCommand, tmp_path: pathlib.Path
) -> None:
    secret = "hf_verysecrettoken"
    config = changed(
        workspace.config, hyperparameters__max_steps=1, hyperparameters__use_auth_token=secret
    )
    finished = command(
        "model-hub",
        "train",
        workspace.write_yaml(config),
        "--verbose",
        "--output-dir",
        tmp_path / "run",
    )
    assert finished.code == 0, finished.errors
    assert secret not in finished.output + finished.errors
    for file in (tmp_path / "run").rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_what_was_in_the_output_folder_stays(
    workspace: Workspace, command: RunCommand, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "precious"
    (folder / "model").mkdir(parents=True)
    (folder / "thesis.txt").write_text("forty years of work")
    yaml = workspace.write_yaml(changed(workspace.config, data__train_file="nowhere.json"))
    refused = command("model-hub", "train", yaml, "--output-dir", folder)
    assert refused.code == 2 and "--output-dir" in refused.errors and "model" in refused.errors
    (folder / "model").rmdir()
    failed = command("model-hub", "train", yaml, "--output-dir", folder)
    assert failed.code == 2 and "nowhere.json" in failed.errors
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_output_folder_that_cannot_be_made(
    workspace: Workspace, command: RunCommand, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").touch()
    yaml = workspace.write_yaml(workspace.config)
    finished = command("model-hub", "train", yaml, "--output-dir", tmp_path / "file" / "run")
    assert finished.code == 2 and "--output-dir: cannot write" in finished.errors
    no_traceback(finished)


def test_line_that_was_cut_off_is_forgotten(
    plain_run: pathlib.Path, command: RunCommand, tmp_path: pathlib.Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(plain_run, run)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"group": "trai')
    longer = "hyperparameters.num_train_epochs=3"
    resumed = command("model-hub", "train", "--resume", run, "--config", longer)
    assert resumed.code == 0, resumed.errors
    assert max(record["steps_completed"] for record in metrics_of(run)) == 30


def test_asked_to_stop_at_the_last_batch_validates_when_resumed(
    plain_run: pathlib.Path, workspace: Workspace, command: RunCommand, tmp_path: pathlib.Path
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
    stopped = command("model-hub", "train", yaml, "--config", entrypoint, "--output-dir", run)
    assert stopped.code == 128 + signal.SIGTERM and "stopping after this batch" in stopped.errors
    assert not (run / "model").exists()
    resumed = command("model-hub", "train", "--resume", run)
    assert resumed.code == 0, resumed.errors
    assert validations_of(plain_run) == validations_of(run)
    assert same_weights(plain_run, run)


def test_stops_when_a_rank_fails(
    workspace: Workspace, command: RunCommand, tmp_path: pathlib.Path
) -> None:
    trial = workspace.root / "failing_trial.py"
    trial.write_text(
        "from qa_trial import QATrial\n\n\n"
        "class FailingTrial(QATrial):\n"
        "    def train_batch(self, batch, epoch_idx, batch_idx):\n"
        "        if batch_idx == 3 and self.context.distributed.rank == 1:\n"
        "            raise RuntimeError('rank one has had enough')\n"
        "        return super().train_batch(batch, epoch_idx, batch_idx)\n"
    )
    yaml = workspace.write_yaml(workspace.config)
    finished = command(
        *["torchrun", "--standalone", "--nproc_per_node=2", "-m", "model_hub", "train", yaml],
        *["--config", "entrypoint=failing_trial:FailingTrial", "--output-dir", tmp_path / "run"],
        timeout=900,
    )
    assert finished.code != 0
    assert "rank one has had enough" in finished.errors


def test_help_needs_no_heavy_import(command: RunCommand) -> None:
    script = (
        "import sys\n"
        "from model_hub import cli\n"
        "try: cli.main(['train', '--help'])\n"
        "finally: print('heavy:', sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    finished = command("python", "-c", script)
    assert finished.code == 0 and "--resume" in finished.output
    assert "heavy: []" in finished.output
