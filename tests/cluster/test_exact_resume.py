"""A trial that is stopped, however often and however rudely, ends as if it had never been.

Weights, optimizer, learning rate and reported validation metrics are compared bit for bit. What is
`slow` here happens in local runs too: tests/trials/test_exact_resume.py and test_two_slots.py.
"""

import hashlib
import json
import pathlib
import shutil
import signal
from typing import Any

import pytest
import torch
from agent import Agent, Run
from master import Master
from once import make_once
from resuming import BATCHES, End, assert_same_end, copy_trials, masking_config
from workspaces import changed

slow = pytest.mark.slow
# With workers, which are ahead of the loop and draw the masks; updates after every second batch.
ALL_AT_ONCE = {
    "hyperparameters__num_workers": 2,
    "optimizations": {"aggregation_frequency": 2},
}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return copy_trials(tmp_path_factory.mktemp("context"))


@pytest.fixture(scope="module")
def config(corpus: pathlib.Path) -> dict[str, Any]:
    return masking_config(corpus)


class Reference:
    """Runs that nothing has disturbed, one for each way of running, made when first asked for."""

    def __init__(self, context: pathlib.Path, factory: pytest.TempPathFactory) -> None:
        self._context = context
        self._factory = factory

    def run(self, config: dict[str, Any], slots: int) -> pathlib.Path:
        """The folder of a run: its end, and its checkpoints by their batch."""

        def make(folder: pathlib.Path) -> None:
            with Master() as master, Agent(master, folder / "agent") as agent:
                run = start(agent, config, self._context, slots)
                run.wait()
                torch.save(end_of(master, agent, run), folder / "end.pt")
                for saved in master.checkpoints:
                    shutil.copytree(
                        agent.checkpoint(saved.uuid), folder / str(saved.steps_completed)
                    )

        key = json.dumps([config, slots], sort_keys=True)
        name = f"reference-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        return make_once(self._factory, name, make)

    def end(self, config: dict[str, Any], slots: int) -> End:
        state, validations = torch.load(self.run(config, slots) / "end.pt")
        return state, validations


def start(
    agent: Agent, config: dict[str, Any], context: pathlib.Path, slots: int, **more: Any
) -> Run:
    """Start a trial. One slot needs none of the processes that launch several."""
    if slots == 1:
        entrypoint = f"python3 -m determined.exec.harness {config['entrypoint']}"
        config = changed(config, entrypoint=entrypoint)
    return agent.start(config, context, slots=slots, **more)


def end_of(master: Master, agent: Agent, run: Run) -> End:
    """The last checkpoint's content and all validation metrics that the master has."""
    latest = master.latest_checkpoint(run.trial.id)
    assert latest is not None and latest.steps_completed == BATCHES
    state = torch.load(agent.checkpoint(latest.uuid) / "state_dict.pth")
    return state, master.reported("validation", run.trial.id)


@pytest.fixture(scope="module")
def reference(context: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference(context, tmp_path_factory)


@pytest.mark.parametrize(
    ("slots", "stops", "changes"),
    [
        # Between two updates of the weights.
        (2, [9], ALL_AT_ONCE),
        # In the middle of an epoch, at once again, and just behind an epoch's end.
        pytest.param(1, [3, 4, 10], {}, marks=slow),
        pytest.param(2, [9], {}, marks=slow),
        # Between two updates of the weights, and at one.
        pytest.param(1, [7, 12], {"optimizations": {"aggregation_frequency": 3}}, marks=slow),
        pytest.param(1, [8], {"hyperparameters__num_workers": 2}, marks=slow),
    ],
)
def test_preempted(
    slots: int,
    stops: list[int],
    changes: dict[str, Any],
    config: dict[str, Any],
    context: pathlib.Path,
    reference: Reference,
    master: Master,
    agent: Agent,
) -> None:
    config = changed(config, **changes)
    for stop in stops:
        master.preempt_at(stop)
    run = start(agent, config, context, slots)
    run.wait()
    for stop in stops:
        latest = master.latest_checkpoint(run.trial.id)
        assert latest is not None and latest.steps_completed == stop
        run = agent.restart(run)
        run.wait()
    assert_same_end(reference.end(config, slots), end_of(master, agent, run))


@slow
@pytest.mark.parametrize("slots", [1, 2])
def test_preempted_with_state_in_unusual_places(
    slots: int,
    config: dict[str, Any],
    context: pathlib.Path,
    reference: Reference,
    master: Master,
    agent: Agent,
) -> None:
    """Between two updates, for which batches before the stop are computed again."""
    config = changed(
        config,
        entrypoint="stateful_trial:StatefulTrial",
        optimizations={"aggregation_frequency": 3},
    )
    master.preempt_at(7)
    run = start(agent, config, context, slots)
    run.wait()
    run = agent.restart(run)
    run.wait()
    end = end_of(master, agent, run)
    assert "module.1.running_mean" in end[0]["models_state_dict"][0]
    assert_same_end(reference.end(config, slots), end)


@slow
@pytest.mark.parametrize("slots", [1, 2])
def test_killed_between_checkpoints(
    slots: int,
    config: dict[str, Any],
    context: pathlib.Path,
    reference: Reference,
    master: Master,
    agent: Agent,
) -> None:
    run = start(agent, config, context, slots, env={"KILL_AT_BATCH": "14"})
    assert run.wait(expect=None) != 0
    latest = master.latest_checkpoint(run.trial.id)
    assert latest is not None and latest.steps_completed == 12
    run = agent.restart(run)
    run.wait()
    assert_same_end(reference.end(config, slots), end_of(master, agent, run))


@pytest.mark.parametrize("slots", [1, pytest.param(2, marks=slow)])
def test_terminated(
    slots: int,
    config: dict[str, Any],
    context: pathlib.Path,
    reference: Reference,
    master: Master,
    agent: Agent,
) -> None:
    run = start(agent, config, context, slots)
    master.at_batch(14, lambda _: run.send_signal(signal.SIGTERM))
    assert run.wait(expect=None) != 0
    latest = master.latest_checkpoint(run.trial.id)
    assert latest is not None and latest.steps_completed == 12
    run = agent.restart(run)
    run.wait()
    assert_same_end(reference.end(config, slots), end_of(master, agent, run))


@pytest.mark.parametrize(
    ("when", "slots", "changes"),
    [
        ("after", 1, {}),
        pytest.param("after", 2, ALL_AT_ONCE, marks=slow),
        pytest.param("before", 1, {}, marks=slow),
    ],
)
def test_killed_while_a_checkpoint_is_written(
    when: str,
    slots: int,
    changes: dict[str, Any],
    config: dict[str, Any],
    context: pathlib.Path,
    reference: Reference,
    master: Master,
    agent: Agent,
) -> None:
    """Files of the checkpoint are there, but the master has never heard of it."""
    config = changed(config, **changes)
    run = start(agent, config, context, slots, env={"KILL_WHILE_SAVING": when})
    assert run.wait(expect=None) != 0
    latest = master.latest_checkpoint(run.trial.id)
    assert latest is not None and latest.steps_completed == 6
    assert len(list(agent.storage.glob("*/code"))) == 2
    run = agent.restart(run)
    run.wait()
    assert_same_end(reference.end(config, slots), end_of(master, agent, run))


def test_stopped_on_two_slots_continued_on_one(
    config: dict[str, Any],
    context: pathlib.Path,
    reference: Reference,
    master: Master,
    agent: Agent,
) -> None:
    """Not the same numbers, since the batches are dealt out anew; but it loads and goes on."""
    config = changed(config, **ALL_AT_ONCE)
    checkpoint = (reference.run(config, 2) / "12", 12)
    run = start(agent, config, context, 1, checkpoint=checkpoint)
    run.wait()
    state, validations = end_of(master, agent, run)
    assert set(validations) == {15, 20}
    assert not any(name.startswith("module.") for name in state["models_state_dict"][0])
