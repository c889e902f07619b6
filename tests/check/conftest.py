"""The folder that the YAMLs of these tests are checked with."""

import logging
import pathlib
import shutil
from collections.abc import Iterator

import pytest
from workspaces import EXAMPLE

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The files of ``context/`` and the example's trial; not to be changed."""
    folder = tmp_path_factory.mktemp("check") / "context"
    shutil.copytree(HERE / "context", folder)
    shutil.copy(EXAMPLE / "qa_trial.py", folder)
    return folder


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """`model-hub train` sets up logging for its process, which here is that of all tests."""
    loggers = [logging.getLogger(), logging.getLogger("model_hub")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
