"""A stand-in cluster for each test: a master, and an agent that runs trials of it."""

import pathlib
from collections.abc import Callable, Iterator

import pytest
from agent import Agent, Run
from master import Master


@pytest.fixture
def master() -> Iterator[Master]:
    with Master() as it:
        yield it


@pytest.fixture
def agent(master: Master, tmp_path: pathlib.Path) -> Iterator[Agent]:
    """Kills all trials at the end of the test, and fails it if a process survives that."""
    with Agent(master, tmp_path / "agent") as it:
        yield it


@pytest.fixture
def run_trial(agent: Agent) -> Callable[..., Run]:
    """Starts a trial (arguments of `Agent.start`) and waits until it has ended well."""

    def run(*args: object, timeout: float = 900.0, **kwargs: object) -> Run:
        it = agent.start(*args, **kwargs)  # type: ignore[arg-type]
        it.wait(timeout)
        return it

    return run
