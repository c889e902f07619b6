"""A trial that is stopped, however often and however rudely, ends as if it had never been.

Weights, optimizer, learning rate and reported validation metrics are compared bit for bit.
"""

import hashlib
import json
import os
import pathlib
import shutil
import signal
from collections.abc import Iterator
from typing import Any

import filelock
import pytest
import torch
from agent import Agent, Run
from master import Master
from workspaces import changed

import model_hub.huggingface  # noqa: F401 - lets torch.load read Determined's random state

BATCHES = 20
TRIALS = pathlib.Path(__file__).parent / "trials"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("context")
    for name in ("masking_trial.py", "stateful_trial.py"):
        shutil.copy(TRIALS / name, folder)
    return folder


@pytest.fixture(scope="module")
def config(corpus: pathlib.Path) -> dict[str, Any]:
    """20 batches, an epoch has 9 of them and a half; a checkpoint after each 6."""
    return {
        "name": "masking",
        "entrypoint": "masking_trial:MaskingTrial",
        "hyperparameters": {
            "model_mode": "masked-lm",
            "pretrained_model_name_or_path": str(corpus / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "learning_rate": 1e-3,
            "weight_decay": 0.01,
            "num_warmup_steps": 3,
        },
        "data": {"train_file": str(corpus / "train.json")},
        "searcher": {
            "name": "single",
            "metric": "validation_loss",
            "max_length": {"batches": BATCHES},
        },
        "min_validation_period": {"batches": 5},
        "min_checkpoint_period": {"batches": 6},
        "checkpoint_policy": "none",
        "scheduling_unit": 1,
    }


class Reference:
    """Runs that nothing has disturbed, one for each way of running, made when first asked for.

    Kept in files, since several processes of one test session ask for them.
    """

    def __init__(self, context: pathlib.Path, folder: pathlib.Path) -> None:
        self._context = context
        self._folder = folder

    def end(self, config: dict[str, Any], slots: int) -> tuple[dict[str, Any], dict[int, Any]]:
        # Each process of the session has a corpus and a model of its own, all the same.
        settings = changed(
            config, hyperparameters__pretrained_model_name_or_path=..., data__train_file=...
        )
        key = json.dumps([settings, slots], sort_keys=True)
        folder = self._folder / hashlib.sha256(key.encode()).hexdigest()[:16]
        file = folder / "end.pt"
        self._folder.mkdir(exist_ok=True)
        with filelock.FileLock(folder.with_suffix(".lock")):
            if not file.exists():
                with Master() as master, Agent(master, folder) as agent:
                    run = agent.start(config, self._context, slots=slots)
                    run.wait()
                    torch.save(end_of(master, agent, run), file)
        state, validations = torch.load(file)
        return state, validations


def end_of(master: Master, agent: Agent, run: Run) -> tuple[dict[str, Any], dict[int, Any]]:
    """The last checkpoint's content and all validation metrics that the master has."""
    latest = master.latest_checkpoint(run.trial.id)
    assert latest is not None and latest.steps_completed == BATCHES
    state = torch.load(agent.checkpoint(latest.uuid) / "state_dict.pth")
    return state, master.reported("validation", run.trial.id)


@pytest.fixture(scope="module")
def reference(context: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.getbasetemp()
    # Where the session has several processes, each of them has a folder in the session's.
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    return Reference(context, folder / "reference")


def differences(one: Any, other: Any, name: str = "") -> Iterator[str]:
    """Where two nested states are not the same to the last bit."""
    if isinstance(one, torch.Tensor):
        if not torch.equal(one, other):
            yield name
    elif isinstance(one, dict):
        if one.keys() != other.keys():
            yield f"{name}: {sorted(map(str, one.keys() ^ other.keys()))}"
        for key in one.keys() & other.keys():
            yield from differences(one[key], other[key], f"{name}.{key}")
    elif isinstance(one, (list, tuple)):
        if len(one) != len(other):
            yield name
        for number, pair in enumerate(zip(one, other, strict=False)):
            yield from differences(*pair, f"{name}.{number}")
    elif one != other:
        yield name


COMPARED = ("models_state_dict", "optimizers_state_dict", "lr_schedulers_state_dict")


def assert_same_end(
    expected: tuple[dict[str, Any], dict[int, Any]], found: tuple[dict[str, Any], dict[int, Any]]
) -> None:
    for part in COMPARED:
        assert expected[0][part], part
        assert not list(differences(expected[0][part], found[0][part], part))
    assert expected[1] == found[1]
    assert set(found[1]) == {5, 10, 15, 20}


@pytest.mark.parametrize(
    ("slots", "stops", "changes"),
    [
        # In the middle of an epoch, at once again, and just behind an epoch's end.
        (1, [3, 4, 10], {}),
        (2, [9], {}),
        # Between two updates of the weights, and at one.
        (1, [7, 12], {"optimizations": {"aggregation_frequency": 3}}),
        (2, [9], {"optimizations": {"aggregation_frequency": 2}}),
        # With workers, which are ahead of the loop and draw the masks.
        (1, [8], {"hyperparameters__num_workers": 2}),
        (2, [11], {"hyperparameters__num_workers": 2}),
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
    run = agent.start(config, context, slots=slots)
    run.wait()
    for stop in stops:
        latest = master.latest_checkpoint(run.trial.id)
        assert latest is not None and latest.steps_completed == stop
        run = agent.restart(run)
        run.wait()
    assert_same_end(reference.end(config, slots), end_of(master, agent, run))


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
    run = agent.start(config, context, slots=slots)
    run.wait()
    run = agent.restart(run)
    run.wait()
    end = end_of(master, agent, run)
    assert "module.1.running_mean" in end[0]["models_state_dict"][0]
    assert_same_end(reference.end(config, slots), end)


@pytest.mark.parametrize("slots", [1, 2])
def test_killed_between_checkpoints(
    slots: int,
    config: dict[str, Any],
    context: pathlib.Path,
    reference: Reference,
    master: Master,
    agent: Agent,
) -> None:
    run = agent.start(config, context, slots=slots, env={"KILL_AT_BATCH": "14"})
    assert run.wait(expect=None) != 0
    latest = master.latest_checkpoint(run.trial.id)
    assert latest is not None and latest.steps_completed == 12
    run = agent.restart(run)
    run.wait()
    assert_same_end(reference.end(config, slots), end_of(master, agent, run))


@pytest.mark.parametrize("slots", [1, 2])
def test_terminated(
    slots: int,
    config: dict[str, Any],
    context: pathlib.Path,
    reference: Reference,
    master: Master,
    agent: Agent,
) -> None:
    run = agent.start(config, context, slots=slots)
    master.at_batch(14, lambda _: run.send_signal(signal.SIGTERM))
    assert run.wait(expect=None) != 0
    latest = master.latest_checkpoint(run.trial.id)
    assert latest is not None and latest.steps_completed == 12
    run = agent.restart(run)
    run.wait()
    assert_same_end(reference.end(config, slots), end_of(master, agent, run))


@pytest.mark.parametrize(("when", "slots"), [("before", 1), ("after", 2)])
def test_killed_while_a_checkpoint_is_written(
    when: str,
    slots: int,
    config: dict[str, Any],
    context: pathlib.Path,
    reference: Reference,
    master: Master,
    agent: Agent,
) -> None:
    """Files of the checkpoint are there, but the master has never heard of it."""
    run = agent.start(config, context, slots=slots, env={"KILL_WHILE_SAVING": when})
    assert run.wait(expect=None) != 0
    latest = master.latest_checkpoint(run.trial.id)
    assert latest is not None and latest.steps_completed == 6
    assert len(list(agent.storage.glob("*/code"))) == 2
    run = agent.restart(run)
    run.wait()
    assert_same_end(reference.end(config, slots), end_of(master, agent, run))


def test_stopped_on_two_slots_continued_on_one(
    config: dict[str, Any], context: pathlib.Path, master: Master, agent: Agent
) -> None:
    """Not the same numbers, since the batches are dealt out anew; but it loads and goes on."""
    master.preempt_at(7)
    run = agent.start(config, context, slots=2)
    run.wait()
    run = agent.restart(run, slots=1)
    run.wait()
    state, validations = end_of(master, agent, run)
    assert set(validations) == {5, 10, 15, 20}
    assert not any(name.startswith("module.") for name in state["models_state_dict"][0])
