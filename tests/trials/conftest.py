"""Whole trainings of a tiny model on a corpus that is made in place."""

import logging
import pathlib
import subprocess
from collections.abc import Iterator

import pytest
from workspaces import (
    Finished,
    RunCommand,
    Workspace,
    command_line,
    environment,
    make_workspace,
)


@pytest.fixture
def workspace(corpus: pathlib.Path, tmp_path: pathlib.Path) -> Workspace:
    """A fresh folder for one test."""
    return make_workspace(corpus, tmp_path / "context")


@pytest.fixture(scope="session")
def plain_run(corpus: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a run of 20 batches that others are compared with; not to be changed."""
    root = tmp_path_factory.mktemp("plain")
    workspace = make_workspace(corpus, root / "context")
    yaml = workspace.write_yaml(workspace.config)
    words = ["model-hub", "train", str(yaml), "--output-dir", str(root / "run")]
    subprocess.run(command_line(words), cwd=root, env=environment(root / "home"), check=True)
    return root / "run"


@pytest.fixture
def probes_run_through(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For jobs of ``option_runs`` in this process: an own folder, and no stop."""
    # The jobs set it themselves; so it is restored at the end.
    monkeypatch.setenv("STOP_AT_BATCH", "-1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(tmp_path: pathlib.Path) -> RunCommand:
    """Runs a program of this environment, as a user would, in an empty folder of its own."""
    home = tmp_path / "home"
    work = tmp_path / "work"
    for folder in (home, work):
        folder.mkdir(exist_ok=True)

    def run(
        *words: str | pathlib.Path,
        cwd: pathlib.Path = work,
        timeout: float = 900,
        **variables: str,
    ) -> Finished:
        done = subprocess.run(
            command_line(words),
            cwd=cwd,
            env=environment(home) | variables,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The command sets up logging for its process, which here is that of all tests."""
    names = (None, "model_hub", "transformers", "datasets", "huggingface_hub")
    loggers = [logging.getLogger(name) for name in names]
    before = [(log, log.level, log.propagate, list(log.handlers)) for log in loggers]
    yield
    for log, level, propagate, handlers in before:
        log.setLevel(level)
        log.propagate = propagate
        log.handlers[:] = handlers
