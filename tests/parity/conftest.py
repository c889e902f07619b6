"""Nothing is downloaded, and small tensors are computed without threads, which only wait."""

import os

# Before anything imports huggingface_hub, which reads it only then.
os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
