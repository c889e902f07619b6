"""`model-hub train`: what it does, shows and leaves behind."""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import struct
import subprocess
import termios
import threading

import pytest
import torch
import transformers
from task_runs import same_weights
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from workspaces import (
    Config,
    Finished,
    RunCommand,
    Workspace,
    changed,
    command_line,
    environment,
    metrics_of,
    no_traceback,
)

from model_hub import cli


def test_leaves_a_whole_run_folder(plain_run: pathlib.Path, plain_command: Finished) -> None:
    finished, run, predictions = plain_command, plain_run, plain_run.parent / "predictions"
    assert "best so far" in finished.output and "\x1b" not in finished.output + finished.errors

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
    plain_run: pathlib.Path, workspace: Workspace, command_here: RunCommand, tmp_path: pathlib.Path
) -> None:
    yaml = workspace.write_yaml(workspace.config)
    for name, seed in (("same", 0), ("other", 1)):
        override = f"reproducibility.experiment_seed={seed}"
        finished = command_here(
            "model-hub", "train", yaml, "--config", override, "--output-dir", tmp_path / name
        )
        assert finished.code == 0, finished.errors
    assert same_weights(plain_run, tmp_path / "same")
    assert metrics_of(plain_run) == metrics_of(tmp_path / "same")
    assert not same_weights(plain_run, tmp_path / "other")


@pytest.mark.slow
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
    workspace: Workspace, command_here: RunCommand, tmp_path: pathlib.Path
) -> None:
    yaml = workspace.write_yaml(old_style(workspace.config))
    run = tmp_path / "run"
    finished = command_here("model-hub", "train", yaml, "--output-dir", run)
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
    workspace: Workspace, command_here: RunCommand, tmp_path: pathlib.Path
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
        finished = command_here("model-hub", "train", yaml, "--output-dir", tmp_path / name)
        assert finished.code == 0, finished.errors
        hparams = ruamel_load(tmp_path / name / "config.yaml")["hyperparameters"]
        assert 1e-5 <= hparams["learning_rate"] <= 1e-3
        assert f"lr_scheduler_type={hparams['lr_scheduler_type']}" in finished.output
        assert "learning_rate=" in finished.output
        picked.append((hparams["learning_rate"], hparams["lr_scheduler_type"]))
    assert picked[0] == picked[1]


class Terminal:
    """A terminal of 160 columns; what is written on it is read by a thread."""

    def __init__(self) -> None:
        self.reader, self.writer = pty.openpty()
        fcntl.ioctl(self.writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 160, 0, 0))
        self._shown = b""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        # Until nobody has the other side open, which is an error or the end, by the system.
        with contextlib.suppress(OSError):
            while block := os.read(self.reader, 65536):
                self._shown += block

    def text(self) -> str:
        """All that was written, after the last writer has closed it."""
        self._thread.join()
        os.close(self.reader)
        return self._shown.decode(errors="replace")


BAR = ("20/20", "loss ", "lr ", "samples/s", "epoch 2.00", "validation after 20 batches")


def test_progress_bar_on_a_terminal(workspace: Workspace, tmp_path: pathlib.Path) -> None:
    yaml = workspace.write_yaml(workspace.config)
    terminal = Terminal()
    done = subprocess.run(
        command_line(["model-hub", "train", yaml, "--output-dir", tmp_path / "run"]),
        cwd=tmp_path,
        env={**environment(tmp_path / "home"), "TERM": "xterm", "NO_COLOR": ""},
        stdout=terminal.writer,
        stderr=terminal.writer,
        timeout=900,
    )
    os.close(terminal.writer)
    text = terminal.text()
    assert done.returncode == 0 and not [piece for piece in BAR if piece not in text], text
    # Of other packages no bar stays on the screen.
    assert "shards" not in text
    assert "\x1b[32mbest so far\x1b[0m" in text


def test_no_colors_where_they_are_not_wanted(
    workspace: Workspace, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    yaml = workspace.write_yaml(workspace.config)
    terminal = Terminal()
    with (
        open(terminal.writer, "w", encoding="utf-8") as screen,
        contextlib.redirect_stdout(screen),
        contextlib.redirect_stderr(screen),
    ):
        code = cli.main(["train", str(yaml), "--output-dir", str(tmp_path / "run")])
    text = terminal.text()
    assert code == 0 and not [piece for piece in BAR if piece not in text], text
    assert "best so far" in text and "\x1b[3" not in text


def test_default_folder_is_below_runs(
    workspace: Workspace, command_here: RunCommand, tmp_path: pathlib.Path
) -> None:
    yaml = workspace.write_yaml(changed(workspace.config, hyperparameters__max_steps=1))
    finished = command_here("model-hub", "train", yaml)
    assert finished.code == 0, finished.errors
    (run,) = (tmp_path / "work" / "runs").iterdir()
    assert run.name.startswith("tiny-")
    assert f"run folder: runs/{run.name}" in finished.output


def test_token_is_shown_and_kept_nowhere(
    workspace: Workspace, command_here: RunCommand, tmp_path: pathlib.Path
) -> None:
    secret = "hf_verysecrettoken"
    config = changed(
        workspace.config, hyperparameters__max_steps=1, hyperparameters__use_auth_token=secret
    )
    finished = command_here(
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
    workspace: Workspace, command_here: RunCommand, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "precious"
    (folder / "model").mkdir(parents=True)
    (folder / "thesis.txt").write_text("forty years of work")
    yaml = workspace.write_yaml(changed(workspace.config, data__train_file="nowhere.json"))
    refused = command_here("model-hub", "train", yaml, "--output-dir", folder)
    assert refused.code == 2 and "--output-dir" in refused.errors and "model" in refused.errors
    (folder / "model").rmdir()
    failed = command_here("model-hub", "train", yaml, "--output-dir", folder)
    assert failed.code == 2 and "nowhere.json" in failed.errors
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_output_folder_that_cannot_be_made(
    workspace: Workspace, command_here: RunCommand, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").touch()
    yaml = workspace.write_yaml(workspace.config)
    finished = command_here("model-hub", "train", yaml, "--output-dir", tmp_path / "file" / "run")
    assert finished.code == 2 and "--output-dir: cannot write" in finished.errors
    no_traceback(finished)


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
