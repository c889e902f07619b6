"""Starts trials as an agent does: the genuine code of a task container, in processes of its own."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from typing import Any

import expconf
import ports
import psutil
import torch
from master import Master
from reaper import container_processes
from records import Allocation, Checkpoint, Trial, pack

RELOCATION = pathlib.Path(__file__).parent / "relocation"
REAPER = pathlib.Path(__file__).parent / "reaper.py"
# What the entrypoint of a task container runs, without the parts that install and ship logs. It
# calls prep_container twice, the second time for the rendezvous, after the user's start-up hook.
# With one container nobody waits for that, so that one call does the same, faster. Like there, the
# hook runs in the entrypoint's own shell: what it exports stays, and where it fails, the task does.
CONTAINER_SCRIPT = """
set -e
python3 -m determined.exec.prep_container \\
    --download_context_directory --resources --rendezvous --proxy
set -x
test -f startup-hook.sh && source ./startup-hook.sh
set +x
exec python3 -m determined.exec.launch
"""
# Tells the processes of one container, by what they have in their environment.
MARK = "DET_ALLOCATION_ID"


class TrialTimeout(Exception):
    """A trial that does not come to an end."""


def without_launcher(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without the processes that launch several slots; one does not need them."""
    launcher = "python3 -m determined.launch.torch_distributed "
    assert config["entrypoint"].startswith(launcher)
    return {**config, "entrypoint": config["entrypoint"].removeprefix(launcher)}


@dataclasses.dataclass
class Run:
    """One start of a trial.

    Attributes:
        trial: The trial, the same for all its starts.
        allocation: What the master knows about this start.
        process: The first process of the container.
        root: What stands for / in the container, with `run/determined` and `home`.
        workdir: Where the trial runs: its context directory is unpacked here.
        log: Standard output and standard error of all processes.
        left_behind: Command lines of processes that were still there after the first one had
            ended by itself. On a cluster they would keep the container, and its GPUs, busy.
    """

    trial: Trial
    allocation: Allocation
    process: "subprocess.Popen[bytes]"
    root: pathlib.Path
    tmp: pathlib.Path
    log: pathlib.Path
    left_behind: list[str] = dataclasses.field(default_factory=list)

    @property
    def workdir(self) -> pathlib.Path:
        # Not run/determined/workdir: at paths that end like that, Determined suspects a symbolic
        # link and changes to the real thing.
        return self.root / "workdir"

    def output(self) -> str:
        """All that the trial has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def processes(self) -> list[psutil.Process]:
        """The living processes of the container, also those that have left its process group."""
        return container_processes(MARK, self.allocation.id)

    def send_signal(self, number: signal.Signals, first_only: bool = False) -> None:
        """Signal all processes of the container, or the first only, as `docker stop` does."""
        if first_only:
            self.process.send_signal(number)
            return
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """Kill the container; returns when no process of it is left."""
        while self.processes():
            self.send_signal(signal.SIGKILL)
            self.process.poll()
            time.sleep(0.02)
        self.process.wait()

    def wait(self, timeout: float = 900.0, expect: int | None = 0) -> int:
        """Wait until the trial has ended; the exit code of the container.

        What is left of the container then is noted in `left_behind` and killed.

        Args:
            timeout: In seconds.
            expect: The exit code that it has to have; None is any.

        Raises:
            TrialTimeout: It has not ended; it is killed.
            AssertionError: It ended with another exit code. Both tell what the trial has printed.
        """
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TrialTimeout(f"still running after {timeout} s:\n{self.output()}") from None
        # Helpers of Python's that end with their parent need a moment for it, and a core.
        deadline = time.monotonic() + 20
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                self.left_behind.append(" ".join(process.cmdline()))
        self.kill()
        if expect is not None and code != expect:
            raise AssertionError(f"exit code {code} instead of {expect}:\n{self.output()}")
        return code


class Agent:
    """Runs trials of one master on this machine's GPUs, or on its CPUs.

    Everything that a trial writes goes below `directory`, except for sockets and temporary files,
    which want a short path: they go to a folder of their own in /tmp, which `close` removes. Should
    this process end without it, the reaper does the same.

    Attributes:
        storage: The checkpoint storage of all trials; a checkpoint is the folder of its uuid.
    """

    def __init__(self, master: Master, directory: pathlib.Path):
        self.master = master
        self.directory = directory
        self.storage = directory / "checkpoints"
        self.storage.mkdir(parents=True)
        self.runs: list[Run] = []
        self._tmp = pathlib.Path(tempfile.mkdtemp(prefix="det-", dir="/tmp"))
        self._reaper = subprocess.Popen(
            [sys.executable, str(REAPER), master.cluster_id, str(self._tmp)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def start(
        self,
        config: dict[str, Any],
        context: pathlib.Path,
        *,
        slots: int = 1,
        hparams: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        experiment_id: int | None = None,
        checkpoint: tuple[pathlib.Path, int] | None = None,
    ) -> Run:
        """Start a new trial.

        Args:
            config: The experiment configuration as a user writes it, as a dict. The master's
                defaults are filled in; checkpoints go to `storage` in any case.
            context: The context directory.
            slots: How many processes train together, on GPUs where there are as many.
            hparams: The hyperparameters of this trial, where they are not the first values of
                those in `config`.
            env: More environment variables, beside those that the configuration asks for.
            experiment_id: Of the experiment that this is a further trial of.
            checkpoint: A checkpoint's folder, and how many batches are in it: what an earlier start
                of the trial would have saved. It is copied into `storage`.
        """
        full = expconf.complete(config, str(self.storage), slots)
        # A master hands out JSON, so that nothing but JSON arrives in a trial.
        full = json.loads(json.dumps(full))
        chosen = expconf.sample(full["hyperparameters"]) if hparams is None else hparams
        trial = self.master.create_trial(full, chosen, pack(context), experiment_id)
        if checkpoint is not None:
            folder, steps = checkpoint
            name = str(uuid.uuid4())
            shutil.copytree(folder, self.checkpoint(name))
            self.master.checkpoints.append(Checkpoint(name, trial.id, "", steps, {}, {}))
        return self._start(trial, slots, env or {})

    def restart(
        self, run: Run, *, slots: int | None = None, env: dict[str, str] | None = None
    ) -> Run:
        """Start the trial of an ended run again, from the latest checkpoint the master knows of."""
        assert run.process.poll() is not None, "the trial is still running"
        return self._start(run.trial, slots or run.allocation.slots, env or {})

    def checkpoint(self, uuid: str) -> pathlib.Path:
        """The folder of a checkpoint."""
        return self.storage / uuid

    def close(self) -> None:
        """Kill what still runs.

        Raises:
            AssertionError: A process has survived even that.
        """
        for run in self.runs:
            run.kill()
        left = [process for run in self.runs for process in run.processes()]
        self._reaper.communicate()
        assert not left, f"processes have survived: {left}"

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, trial: Trial, slots: int, env: dict[str, str]) -> Run:
        allocation = self.master.allocate(trial, slots)
        root = self.directory / f"trial-{trial.id}-run-{allocation.run_id}"
        for name in ("home", "workdir", "run/determined/info", "run/determined/train"):
            (root / name).mkdir(parents=True)
        tmp = self._tmp / f"{trial.id}-{allocation.run_id}"
        tmp.mkdir()
        log = root / "output.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", CONTAINER_SCRIPT],
                cwd=root / "workdir",
                env=self._environment(trial, allocation, root, tmp)
                | expconf.environment_variables(trial.config)
                | env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        run = Run(trial, allocation, process, root, tmp, log)
        self.runs.append(run)
        return run

    def _environment(
        self,
        trial: Trial,
        allocation: Allocation,
        root: pathlib.Path,
        tmp: pathlib.Path,
    ) -> dict[str, str]:
        """The environment of a container: nothing of ours gets in, the master's variables do."""
        c10d, first, second = ports.free_ports(3)
        environment = {
            "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.defpath]),
            "HOME": str(root / "home"),
            "TMPDIR": str(tmp),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(RELOCATION),
            "PYTHONUNBUFFERED": "1",
            "CONTAINER_ROOT": str(root),
            # Several processes share few cores.
            "OMP_NUM_THREADS": "1",
            # No test needs the network; one that asks for it is to fail at once.
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "C10D_PORT": str(c10d),
            "INTER_TRAIN_PROCESS_COMM_PORT_1": str(first),
            "INTER_TRAIN_PROCESS_COMM_PORT_2": str(second),
            "DET_MASTER": self.master.url,
            "DET_CLUSTER_ID": self.master.cluster_id,
            "DET_AGENT_ID": "stand-in-agent",
            "DET_SLOT_IDS": json.dumps(list(range(allocation.slots))),
            "DET_TASK_ID": trial.task_id,
            "DET_TASK_TYPE": "TRIAL",
            MARK: allocation.id,
            "DET_SESSION_TOKEN": allocation.session_token,
            "DET_USER": "determined",
            "DET_RESOURCES_ID": allocation.resources_id,
            "DET_RESOURCES_TYPE": "docker-container",
            "DET_CONTAINER_ID": allocation.resources_id,
            "DET_EXPERIMENT_ID": str(trial.experiment_id),
            "DET_TRIAL_ID": str(trial.id),
            "DET_TRIAL_RUN_ID": str(allocation.run_id),
            "DET_TRIAL_SEED": str(trial.config["reproducibility"]["experiment_seed"]),
            "DET_EXPERIMENT_CONFIG": json.dumps(trial.config),
            "DET_HPARAMS": json.dumps(trial.hparams),
            "DET_STEPS_COMPLETED": str(allocation.steps_completed),
        }
        if allocation.latest_checkpoint is not None:
            environment["DET_LATEST_CHECKPOINT"] = allocation.latest_checkpoint
        gpus = range(allocation.slots)
        if torch.cuda.device_count() < len(gpus):
            # Slots are CPUs. Determined looks for GPUs by this program.
            gpus = range(0)
            program = root / "bin" / "nvidia-smi"
            program.parent.mkdir()
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
            environment["PATH"] = os.pathsep.join([str(program.parent), environment["PATH"]])
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
        return environment
