"""A stand-in cluster for each test, and a run on two slots that several tests look at."""

import pathlib
from collections.abc import Callable, Iterator

import probing
import pytest
from agent import Agent, Run
from master import Master
from once import make_once


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


@pytest.fixture(scope="session")
def probing_context(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return probing.write_context(tmp_path_factory.mktemp("context"))


@pytest.fixture
def two_slot_run(
    corpus: pathlib.Path, probing_context: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> probing.TwoSlotRun:
    """Validated on 21 rows, unevenly split; its preparation outlasts the processes' patience."""
    folder = make_once(
        tmp_path_factory,
        "two-slot-run",
        lambda folder: probing.train_on_two_slots(folder, corpus, probing_context),
    )
    return probing.read(folder)
