"""The stand-in cluster, proved with a plain PyTorchTrial that has nothing to do with our library.

What holds here holds for Determined itself; what our trials add is tested elsewhere. Nothing of our
library runs here, so that whole trainings are `slow`: they are for who changes the stand-in.
"""

import contextlib
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import torch
from agent import MARK, Agent, Run, TrialTimeout
from books import Conflict
from master import Master
from reaper import container_processes
from records import Metrics

slow = pytest.mark.slow

BATCHES = 12
# With two slots an epoch has 4 batches for each, with one it has 8.
TRIAL = """
import determined as det
import numpy as np
import torch
from determined import pytorch

# Else Determined cannot read its own checkpoints with torch >= 2.6.
torch.serialization.add_safe_globals(
    [np.ndarray, np.dtype, np._core.multiarray._reconstruct, np.dtypes.UInt32DType]
)


class MLPTrial(pytorch.PyTorchTrial):
    def __init__(self, context):
        self.context = context
        if context.get_hparam("learning_rate") > 1:
            raise det.InvalidHP("that is no learning rate")
        model = torch.nn.Sequential(
            torch.nn.Linear(3, 8), torch.nn.Dropout(0.1), torch.nn.ReLU(), torch.nn.Linear(8, 1)
        )
        self.model = context.wrap_model(model)
        self.optimizer = context.wrap_optimizer(
            torch.optim.Adam(self.model.parameters(), lr=context.get_hparam("learning_rate"))
        )
        x = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
        self.data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))

    def train_batch(self, batch, epoch_idx, batch_idx):
        loss = torch.nn.functional.mse_loss(self.model(batch[0]), batch[1])
        self.context.backward(loss)
        self.context.step_optimizer(self.optimizer)
        print(f"trained batch {batch_idx}", flush=True)
        return {"loss": loss}

    def evaluate_batch(self, batch):
        loss = torch.nn.functional.mse_loss(self.model(batch[0]), batch[1])
        return {"validation_loss": float(loss)}

    def build_training_data_loader(self):
        return pytorch.DataLoader(self.data, batch_size=4, shuffle=False)

    def build_validation_data_loader(self):
        return pytorch.DataLoader(self.data, batch_size=4, shuffle=False)
"""
# The same training as a script of its own.
SCRIPT = """
import determined as det
from determined import pytorch
from mlp_trial import MLPTrial

info = det.get_cluster_info()
with pytorch.init(hparams=info.trial.hparams) as context:
    pytorch.Trainer(MLPTrial(context), context).fit(
        max_length=pytorch.Batch(12),
        validation_period=pytorch.Batch(4),
        reporting_period=pytorch.Batch(1),
        latest_checkpoint=info.latest_checkpoint,
    )
"""
COMMAND = "python3 -m determined.launch.torch_distributed -- python3 train.py"
CONFIG: dict[str, Any] = {
    "name": "mlp",
    "entrypoint": "mlp_trial:MLPTrial",
    "hyperparameters": {"learning_rate": 0.01, "global_batch_size": 4},
    "searcher": {
        "name": "single",
        "metric": "validation_loss",
        "max_length": {"batches": BATCHES},
    },
    "min_validation_period": {"batches": 4},
    "scheduling_unit": 1,
}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("context")
    (directory / "mlp_trial.py").write_text(TRIAL)
    (directory / "train.py").write_text(SCRIPT)
    return directory


@pytest.fixture(scope="module")
def whole(
    context: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Master, Agent, Run]]:
    """A run on one slot that nothing has disturbed."""
    with Master() as master, Agent(master, tmp_path_factory.mktemp("whole") / "agent") as agent:
        run = agent.start(CONFIG, context)
        run.wait()
        yield master, agent, run


def latest_steps(master: Master, run: Run) -> int:
    """How many batches the checkpoint has that a restart would begin from."""
    latest = master.latest_checkpoint(run.trial.id)
    assert latest is not None
    return latest.steps_completed


def weights(master: Master, agent: Agent, run: Run) -> dict[str, torch.Tensor]:
    """The weights in the last checkpoint of a trial, without the prefix of several slots."""
    latest = master.latest_checkpoint(run.trial.id)
    assert latest is not None
    state = torch.load(agent.checkpoint(latest.uuid) / "state_dict.pth", weights_only=False)
    (model,) = state["models_state_dict"]
    return {name.removeprefix("module."): tensor for name, tensor in model.items()}


def assert_same_end(
    whole: tuple[Master, Agent, Run], master: Master, agent: Agent, run: Run
) -> None:
    """Interrupted or not, a training has the same numbers in all reports and the same weights."""
    for group in ("training", "validation"):
        assert master.reported(group) == whole[0].reported(group)
    expected, got = weights(*whole), weights(master, agent, run)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


@slow
def test_one_slot_to_the_end(whole: tuple[Master, Agent, Run]) -> None:
    master, agent, run = whole
    assert list(master.reported("training")) == list(range(1, BATCHES + 1))
    assert list(master.reported("validation")) == [4, 8, 12]
    assert [report.fraction for report in master.progress] == pytest.approx(
        [batch / BATCHES for batch in range(1, BATCHES + 1)]
    )
    assert {status.state for status in master.statuses} == {
        "training",
        "validating",
        "checkpointing",
    }
    # All are told where the training is.
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    assert [each["acceleratorType"] for each in master.accelerators] == [kind]
    assert not master.early_exits and not run.allocation.acknowledged

    for saved in master.checkpoints:
        assert saved.metadata["steps_completed"] == saved.steps_completed
        folder = agent.checkpoint(saved.uuid)
        sizes = {
            f"{path.relative_to(folder)}": path.stat().st_size
            for path in folder.rglob("*")
            if path.is_file()
        }
        assert "code/mlp_trial.py" in sizes
        assert {
            name: size for name, size in saved.resources.items() if not name.endswith("/")
        } == sizes
    assert latest_steps(master, run) == BATCHES


@slow
def test_best_validation_decides_what_is_saved(whole: tuple[Master, Agent, Run]) -> None:
    master, _, run = whole
    losses = {
        steps: metrics["validation_loss"]
        for steps, metrics in master.reported("validation").items()
    }
    assert master.best_validation(run.trial.experiment_id) == pytest.approx(min(losses.values()))
    improved = {
        steps
        for steps, loss in losses.items()
        if loss < min([losses[before] for before in losses if before < steps], default=1e9)
    }
    # With the policy "best", and one more at the end in any case.
    assert {saved.steps_completed for saved in master.checkpoints} == improved | {BATCHES}


@slow
def test_everything_was_understood_and_nothing_is_left(whole: tuple[Master, Agent, Run]) -> None:
    master, _, run = whole
    assert master.unknown == [] and master.unauthorized == []
    assert run.left_behind == []
    # The fixed places of a container have been moved away from this machine's own.
    assert [path for path in pathlib.Path("/tmp").glob(f"*{run.allocation.id}*")] == []
    assert run.tmp.joinpath("tensorboard").is_symlink()
    assert run.root.joinpath("run/determined/info/trial.json").exists()


@slow
def test_the_config_is_what_a_master_hands_out(whole: tuple[Master, Agent, Run]) -> None:
    """An independent look at what arrived in the container."""
    _, agent, run = whole
    info = json.loads((run.root / "run/determined/info/trial.json").read_text())
    config = info["config"]
    assert config["hyperparameters"]["learning_rate"] == {"type": "const", "val": 0.01}
    assert info["hparams"] == {"learning_rate": 0.01, "global_batch_size": 4}
    assert config["min_validation_period"] == {"batches": 4}
    assert config["min_checkpoint_period"] == {"batches": 0}
    assert config["searcher"]["smaller_is_better"] is True
    assert config["optimizations"]["aggregation_frequency"] == 1
    assert config["checkpoint_storage"]["container_path"] == str(agent.storage)


@slow
def test_two_slots_preempted_and_resumed(
    master: Master, agent: Agent, context: pathlib.Path
) -> None:
    master.preempt_at(5)
    run = agent.start(CONFIG, context, slots=2)
    run.wait()
    assert {"rank=0", "rank=1"} <= set(re.findall(r"rank=\d", run.output()))
    assert run.allocation.acknowledged
    assert list(master.reported("training")) == [1, 2, 3, 4, 5]
    assert latest_steps(master, run) == 5

    again = agent.restart(run)
    again.wait()
    assert again.allocation.steps_completed == 5
    assert list(master.reported("training")) == list(range(1, BATCHES + 1))
    assert list(master.reported("validation")) == [4, 8, 12]
    assert "trained batch 4" not in again.output() and "trained batch 5" in again.output()
    assert master.unknown == []


@slow
def test_preempted_and_resumed_is_as_if_it_never_was(
    whole: tuple[Master, Agent, Run], master: Master, agent: Agent, context: pathlib.Path
) -> None:
    """Here with a script for an entrypoint, as a shell command."""
    master.preempt_at(7)
    run = agent.start(CONFIG | {"entrypoint": COMMAND}, context)
    run.wait()
    assert list(master.reported("training")) == list(range(1, 8))

    again = agent.restart(run)
    again.wait()
    assert again.trial is run.trial and again.allocation.run_id == 2
    assert_same_end(whole, master, agent, run)


@slow
def test_killed_in_the_middle_it_goes_back_to_its_checkpoint(
    whole: tuple[Master, Agent, Run], master: Master, agent: Agent, context: pathlib.Path
) -> None:
    """Here with a script for an entrypoint, as a list of words."""
    run = agent.start(CONFIG | {"entrypoint": COMMAND.split()}, context)
    # Batch 4 was validated and saved, 5 and 6 are lost.
    master.at_batch(6, lambda _: run.kill())
    assert run.wait(expect=None) == -signal.SIGKILL
    assert latest_steps(master, run) == 4

    again = agent.restart(run)
    again.wait()
    assert [report.steps_completed for report in master.metrics if report.archived] == [5, 6]
    assert_same_end(whole, master, agent, run)


@slow
def test_a_bad_network_does_not_lose_the_run(
    whole: tuple[Master, Agent, Run], master: Master, agent: Agent, context: pathlib.Path
) -> None:
    """Lost requests, lost answers, slow answers, and a master that is not there for a while."""
    faults = [
        master.drop("/progress", times=2),
        master.drop("/runner/metadata", times=1, acted_on=True),
        master.slow(0.5, "/metrics", times=3),
    ]
    absences = []

    def vanish(_: object) -> None:
        absences.append(time.monotonic())
        master.vanish(2)

    master.at_batch(6, vanish)
    run = agent.start(CONFIG, context)
    run.wait()
    assert [fault.hits for fault in faults] == [2, 1, 3]
    # It was refused during the absence, and has come after it.
    assert "Connection refused" in run.output()
    assert time.monotonic() - absences[0] > 2
    assert_same_end(whole, master, agent, run)


@slow
def test_errors_of_the_master(
    whole: tuple[Master, Agent, Run], master: Master, agent: Agent, context: pathlib.Path
) -> None:
    """Determined does not repeat a request that was answered with an error, unless told to.

    So the process ends; the training goes on when the master starts it again.
    """
    faults = []

    def be_ill(_: object) -> None:
        faults.append(master.fail(500, "/trials/", seconds=1.5))

    master.at_batch(6, be_ill)
    run = agent.start(CONFIG, context)
    assert run.wait(expect=None) != 0
    assert faults[0].hits and "APIException" in run.output()

    # What a user can put into the environment to sit out the same.
    patience = {
        "total": 20,
        "backoff_factor": 0.1,
        "status_forcelist": [500, 502, 503, 504],
        "allowed_methods": False,
    }
    master.at_batch(9, be_ill)
    agent.restart(run, env={"DET_RETRY_CONFIG": json.dumps(patience)}).wait()
    assert faults[1].hits
    assert_same_end(whole, master, agent, run)


@slow
def test_invalid_hyperparameters_are_an_early_exit(
    master: Master, run_trial: Callable[..., Run], context: pathlib.Path
) -> None:
    run_trial(CONFIG, context, hparams={"learning_rate": 2.0, "global_batch_size": 4})
    assert [exit.reason for exit in master.early_exits] == ["EXITED_REASON_INVALID_HP"]
    assert master.reported("training") == {} and master.checkpoints == []


@slow
def test_a_terminated_trial_leaves_no_process(
    agent: Agent, master: Master, context: pathlib.Path
) -> None:
    endless = CONFIG | {"searcher": CONFIG["searcher"] | {"max_length": {"batches": 10**6}}}
    run = agent.start(endless, context)
    master.wait_until(lambda: len(master.reported("training")) > 1)
    alive = run.processes()
    # Two launchers, pid server, torchrun, pid client, log wrapper and worker.
    assert len(alive) >= 7
    # So that to kill the process group of the first alone would not do.
    assert len({os.getpgid(process.pid) for process in alive}) > 1
    run.send_signal(signal.SIGTERM)
    assert run.wait(expect=None) != 0
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            assert process.status() == psutil.STATUS_ZOMBIE


def test_a_trial_that_fails_or_does_not_end_is_reported(
    agent: Agent, context: pathlib.Path
) -> None:
    failing = agent.start(CONFIG | {"entrypoint": "echo out of coffee >&2; exit 3"}, context)
    with pytest.raises(AssertionError, match=r"exit code 3(.|\n)*out of coffee"):
        failing.wait()

    stuck = agent.start(CONFIG | {"entrypoint": "sleep 600 & sleep 601"}, context)
    deadline = time.monotonic() + 600
    while "sleep 601" not in stuck.output():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(TrialTimeout, match="still running after 3 s"):
        stuck.wait(timeout=3)
    assert stuck.processes() == []

    careless = agent.start(CONFIG | {"entrypoint": "sleep 602 & exit 0"}, context)
    careless.wait()
    assert careless.left_behind == ["sleep 602"] and careless.processes() == []


def test_killed_tests_leave_no_trial_behind(tmp_path: pathlib.Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    script = f"""
import pathlib, sys, time
sys.path[:0] = {[path for path in sys.path if path]}
from agent import Agent
from master import Master

master = Master()
agent = Agent(master, pathlib.Path({str(tmp_path / "agent")!r}))
config = {{"entrypoint": "echo started; sleep 900", "searcher": {{"metric": "none"}}}}
run = agent.start(config, pathlib.Path({str(context)!r}))
while "started" not in run.output().splitlines():
    time.sleep(0.05)
print(run.allocation.id, run.tmp, flush=True)
time.sleep(900)
"""
    tests = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert tests.stdout is not None
    allocation, tmp = tests.stdout.readline().split()
    assert container_processes(MARK, allocation)
    tests.kill()
    tests.wait()
    deadline = time.monotonic() + 900
    while container_processes(MARK, allocation) or pathlib.Path(tmp).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("smaller_is_better", "values", "best"),
    [
        (True, [0.5, 0.25, 0.75], 0.25),
        (False, [0.5, 0.25, 0.75], 0.75),
        # In single precision; and a database takes NaN for more than any number.
        (True, [1 / 3, math.nan], 0.33333334),
        (False, [0.5, math.nan], math.nan),
    ],
)
def test_best_validation_is_over_all_trials_of_the_experiment(
    master: Master, smaller_is_better: bool, values: list[float], best: float
) -> None:
    searcher = {"metric": "loss", "smaller_is_better": smaller_is_better}
    trials = [master.create_trial({"searcher": searcher}, {}, b"", 1) for _ in values]
    stranger = master.create_trial({"searcher": searcher}, {}, b"", 2)
    assert master.best_validation(1) is None
    for trial, value in zip(trials, values, strict=True):
        master.add_metrics(Metrics(trial.id, 1, "validation", 4, {"loss": value}, None))
        # Neither training metrics nor those of another experiment count.
        master.add_metrics(Metrics(trial.id, 1, "training", 4, {"loss": -100 * value}, None))
        master.add_metrics(Metrics(stranger.id, 1, "validation", trial.id, {"loss": -9.0}, None))
    assert master.best_validation(1) == pytest.approx(best, rel=0, abs=0, nan_ok=True)


def test_a_report_twice_is_refused_unless_a_restart_repeats_it(master: Master) -> None:
    trial = master.create_trial({}, {}, b"")
    master.add_metrics(Metrics(trial.id, 1, "validation", 4, {"loss": 1.0}, None))
    master.add_metrics(Metrics(trial.id, 1, "validation", 8, {"loss": 2.0}, None))
    with pytest.raises(Conflict, match="loss"):
        master.add_metrics(Metrics(trial.id, 1, "validation", 4, {"loss": 3.0}, None))
    master.add_metrics(Metrics(trial.id, 2, "validation", 4, {"loss": 4.0}, None))
    assert master.reported("validation") == {4: {"loss": 4.0}}


def test_nobody_is_answered_without_a_token(master: Master) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{master.url}/api/v1/me", timeout=600)
    assert refused.value.code == 401
    assert [request.path for request in master.unauthorized] == ["/api/v1/me"]
