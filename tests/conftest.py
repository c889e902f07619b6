"""What tests of several folders start from."""

import json
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
from workspaces import EXAMPLE


def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores, since many tests wait: for a rendezvous, a retry, a deadline."""
    known = hasattr(os, "sched_getaffinity")
    return (len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """``train.json``, ``validation.json`` and ``model/`` of the demo, small."""
    folder = tmp_path_factory.mktemp("corpus")
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
    return folder


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
