"""Whole trainings of a tiny model on a corpus that is made in place."""

import json
import pathlib
import subprocess
import types
import warnings
from typing import Any

import pytest
from once import make_once
from workspaces import (
    Finished,
    Workspace,
    changed,
    command_line,
    environment,
    make_workspace,
)

from model_hub.huggingface.runner import log_setup


@pytest.fixture
def workspace(corpus: pathlib.Path, tmp_path: pathlib.Path) -> Workspace:
    """A fresh folder for one test."""
    return make_workspace(corpus, tmp_path / "context")


def train_plainly(folder: pathlib.Path, corpus: pathlib.Path) -> None:
    workspace = make_workspace(corpus, folder / "context")
    yaml = workspace.write_yaml(
        changed(workspace.config, data__output_dir=str(folder / "predictions"))
    )
    done = subprocess.run(
        command_line(["model-hub", "train", yaml, "--output-dir", folder / "run"]),
        cwd=folder,
        env=environment(folder / "home"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    finished = {"code": done.returncode, "output": done.stdout, "errors": done.stderr}
    (folder / "finished.json").write_text(json.dumps(finished))


@pytest.fixture(scope="session")
def plain_run(corpus: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a run of 20 batches that others are compared with; not to be changed.

    It was trained by the command, in a process of its own. Beside it are ``predictions``, what its
    last validation has written, and what the command has printed.
    """
    folder = make_once(tmp_path_factory, "plain-run", lambda folder: train_plainly(folder, corpus))
    return folder / "run"


@pytest.fixture
def plain_command(plain_run: pathlib.Path) -> Finished:
    """The command that has trained ``plain_run``."""
    return Finished(**json.loads((plain_run.parent / "finished.json").read_text()))


@pytest.fixture
def probes_run_through(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For jobs of ``option_runs`` in this process: an own folder, and no stop."""
    # The jobs set it themselves; so it is restored at the end.
    monkeypatch.setenv("STOP_AT_BATCH", "-1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def own_deprecations_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command hides deprecations from its users; here those of our own code fail the test.

    So does pyproject.toml's ``filterwarnings``, but the command's filters come before those.
    """

    def hide(action: Any, category: type[Warning]) -> None:
        warnings.filterwarnings(action, category=category)
        warnings.filterwarnings("error", category=category, module="model_hub")

    monkeypatch.setattr(log_setup, "warnings", types.SimpleNamespace(filterwarnings=hide))
