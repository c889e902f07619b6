"""What tests of several folders start from."""

import json
import logging
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

# Tests run side by side, so that each gets one core. Threads that wait for work must sleep: torch's
# spin by default, and take the time of those that have some. Both are read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Nothing is downloaded, and nobody waits for a network that is not there. It is read when
# huggingface_hub is imported, which the tests of any folder may do first.
os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import pytest
import torch
from once import make_once
from workspaces import EXAMPLE, Finished, RunCommand, command_line, environment, run_here


def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores, since many tests wait: for a rendezvous, a retry, a deadline."""
    known = hasattr(os, "sched_getaffinity")
    return (len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1) + 1


def make_corpus(folder: pathlib.Path) -> None:
    """Write the demo's data and model, small."""
    sizes = ["--train-rows", "80", "--validation-rows", "30"]
    script = EXAMPLE / "demo" / "make_corpus.py"
    subprocess.run(
        [sys.executable, str(script), "--output-dir", str(folder), "--seed", "5", *sizes],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    # With dropout, so that a run which forgets the random state is found out.
    model_config = folder / "model" / "config.json"
    settings = json.loads(model_config.read_text())
    settings.update(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, hidden_size=32)
    settings.update(num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    settings.update(embedding_size=32)
    model_config.write_text(json.dumps(settings))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """``train.json``, ``validation.json`` and ``model/`` of the demo, small; not to be changed."""
    return make_once(tmp_path_factory, "corpus", make_corpus)


@pytest.fixture(scope="session", autouse=True)
def datasets_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither find nor leave anything in the cache of the person who runs them."""
    folder = tmp_path_factory.mktemp("datasets_cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
        datasets.disable_progress_bars()
        yield
        datasets.enable_progress_bars()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """For tensors as small as here, threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The command sets up logging for its process, which here is that of all tests."""
    names = (None, "model_hub", "transformers", "datasets", "huggingface_hub")
    loggers = [logging.getLogger(name) for name in names]
    before = [(log, log.level, log.propagate, list(log.handlers)) for log in loggers]
    yield
    logging.captureWarnings(False)
    for log, level, propagate, handlers in before:
        log.setLevel(level)
        log.propagate = propagate
        log.handlers[:] = handlers


@pytest.fixture
def homes(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """An empty folder to work in, and one for what programs keep at home."""
    work, home = tmp_path / "work", tmp_path / "home"
    for folder in (work, home):
        folder.mkdir(exist_ok=True)
    return work, home


@pytest.fixture
def command(homes: tuple[pathlib.Path, pathlib.Path]) -> RunCommand:
    """Runs a program of this environment, as a user would, in an empty folder of its own."""
    work, home = homes

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


@pytest.fixture
def command_here(homes: tuple[pathlib.Path, pathlib.Path]) -> RunCommand:
    """Like ``command``, for ``model-hub`` alone and in this process."""
    work, home = homes

    def run(*words: str | pathlib.Path, cwd: pathlib.Path = work, **variables: str) -> Finished:
        return run_here(words, cwd, home, **variables)

    return run
