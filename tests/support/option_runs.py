"""Projects to try switches in; runs that are stopped in the middle and continued; 1 slot or 2.

As a program, under torchrun, it does several runs one after another: most of the time of a run on
several slots is spent on importing torch.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import ports
import torch
from safetensors.torch import load_file
from workspaces import command_line, environment, metrics_of

from model_hub import cli
from model_hub.new.tasks import TASKS

BATCHES, STOP = 9, 4
ROWS, VALIDATION_ROWS = 64, 8
SIGTERM = 15
# Names of the modules that an adapter is put on.
ATTENTION = {
    "question-answering": ["query", "value"],
    "causal-language-modeling": ["c_attn"],
}
# Of the validations' logits the tests look at.
PROBE = """
import os, signal
from {module} import {trial}

class ProbeTrial({trial}):
    last = None

    def __init__(self, context):
        super().__init__(context)
        type(self).last = self

    def train_batch(self, batch, epoch_idx, batch_idx):
        if batch_idx == int(os.environ.get("STOP_AT_BATCH", -1)):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().train_batch(batch, epoch_idx, batch_idx)

    def evaluate_batch(self, batch, batch_idx):
        self.outputs = self.model(input_ids=batch["input_ids"])
        return super().evaluate_batch(batch, batch_idx)
"""


@dataclasses.dataclass(frozen=True)
class Job:
    """A call of ``model-hub train``.

    Attributes:
        words: what follows the program's name.
        stop: the number of the batch, from 0, which is the last that it trains; it stops itself
            with a signal, if its trial does as ``STOP_AT_BATCH`` says. None lets it run through.
        code: the exit code where it is not stopped.
    """

    words: list[str]
    stop: int | None = None
    code: int = 0

    def run(self) -> None:
        """Runs it in this process."""
        # The trial of another project, or of an earlier run, goes by the same name.
        for module in ("probe_trial", "stopping_trial"):
            sys.modules.pop(module, None)
        os.environ.pop("STOP_AT_BATCH", None)
        if self.stop is not None:
            os.environ["STOP_AT_BATCH"] = str(self.stop)
        # What is compiled for one model would be tried for the next one as well, until torch gives
        # up and compiles no more.
        torch.compiler.reset()
        code = cli.main(self.words)
        assert code == (self.code if self.stop is None else 128 + SIGTERM), code


@dataclasses.dataclass(frozen=True)
class Project:
    """A folder with a trial, data, and a model with dropout."""

    task: str
    folder: pathlib.Path

    def job(self, run: str, stop: int | None = None, **settings: Any) -> Job:
        """A training of 9 batches; ``settings`` are hyperparameters, or keys with a section."""
        found = {
            "entrypoint": "probe_trial:ProbeTrial",
            "hyperparameters.max_steps": BATCHES,
            "data.max_train_samples": ROWS,
            "data.max_eval_samples": VALIDATION_ROWS,
            "hyperparameters.num_train_epochs": None,
            "min_validation_period": {"batches": 4},
            "perform_initial_validation": False,
            "scheduling_unit": 1,
            **{k if "." in k else f"hyperparameters.{k}": v for k, v in settings.items()},
        }
        words = ["train", str(self.folder / f"{TASKS[self.task].short_name}.yaml")]
        for key, value in found.items():
            words += ["--config", f"{key}={json.dumps(value)}"]
        return Job([*words, "--output-dir", str(self.folder / run)], stop)

    def stopped(self, run: str, **settings: Any) -> list[Job]:
        """A run that is stopped, and its continuation."""
        resume = Job(["train", "--resume", str(self.folder / run)])
        return [self.job(run, STOP, **settings), resume]

    def weights(self, run: str) -> dict[str, torch.Tensor]:
        return load_file(self.folder / run / "model" / "model.safetensors")

    def validations(self, run: str) -> list[dict[str, Any]]:
        records = metrics_of(self.folder / run)
        return [record for record in records if record["group"] == "validation"]

    def same(self, run: str, other: str, tolerance: float = 0.0) -> bool:
        """Whether two runs end with the same weights."""
        a, b = self.weights(run), self.weights(other)
        close = (torch.allclose(a[name], b[name], rtol=0, atol=tolerance) for name in a)
        return a.keys() == b.keys() and all(close)


def new_project(task: str, folder: pathlib.Path) -> Project:
    assert cli.main(["new", task, str(folder)]) == 0
    # The trial that is to be probed.
    module, trial = TASKS[task].trial.split(":")
    (folder / "probe_trial.py").write_text(PROBE.format(module=module, trial=trial))
    config = folder / "model" / "config.json"
    settings = json.loads(config.read_text())
    # So that a run which forgets the random state is found out.
    settings.update({name: 0.1 for name in settings if "drop" in name and settings[name] == 0.0})
    # Tracing a model to compile it takes seconds a layer.
    settings.update({name: 1 for name in settings if name in ("num_hidden_layers", "n_layer")})
    config.write_text(json.dumps(settings))
    return Project(task, folder)


def stopping_trial(folder: pathlib.Path, entrypoint: str) -> str:
    """Write a trial that stops itself as a ``Job`` wants it into a folder; its ``module:Class``."""
    module, trial = entrypoint.split(":")
    (folder / "stopping_trial.py").write_text(
        "import os, signal\n"
        f"from {module} import {trial}\n\n\n"
        f"class StoppingTrial({trial}):\n"
        "    def train_batch(self, batch, epoch_idx, batch_idx):\n"
        "        if batch_idx == int(os.environ.get('STOP_AT_BATCH', -1)):\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "        return super().train_batch(batch, epoch_idx, batch_idx)\n"
    )
    return "stopping_trial:StoppingTrial"


def switches_of(task: str, *, gpu: bool) -> dict[str, dict[str, Any]]:
    """What is switched on, alone and together, and under which name."""
    lora = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ATTENTION[task]}
    everything = {
        "bf16": True,
        "peft": lora,
        "gradient_checkpointing": True,
        "gradient_accumulation_steps": 2,
        "group_by_length": True,
    }
    compiled = {"torch_compile": True, "torch_compile_backend": "eager"}
    on_gpu = {
        "fp16": {"fp16": True},
        "fp16_accumulation": {"fp16": True, "gradient_accumulation_steps": 2},
        "tf32": {"tf32": True},
    }
    return {
        **(on_gpu if gpu else {}),
        "bf16": {"bf16": True},
        "gradient_checkpointing": {"gradient_checkpointing": True},
        "accumulation": {"gradient_accumulation_steps": 3},
        "lora": {"peft": lora},
        "dora": {"peft": {**lora, "use_dora": True}},
        "freeze": {"freeze": "*embeddings*" if task == "question-answering" else "*wte*"},
        "group_by_length": {"group_by_length": True},
        "workers": {"dataloader_num_workers": 2},
        "everything": everything,
        "compile_bf16": {**compiled, "bf16": True},
    }


def tolerance(name: str) -> float:
    """What is compiled may be compiled otherwise after a start in the middle."""
    return 1e-5 if "compile" in name else 0.0


def run_on_two_slots(jobs: list[Job], folder: pathlib.Path) -> list[str]:
    """Runs jobs one after another, in two processes that each of them trains in.

    Returns:
        What each job has printed, on both slots.
    """
    file = folder / "jobs.json"
    free = ports.free_ports(len(jobs))
    work = [(port, dataclasses.asdict(job)) for port, job in zip(free, jobs, strict=True)]
    file.write_text(json.dumps(work))
    launcher = ["torchrun", "--standalone", "--nproc_per_node=2", __file__, str(file)]
    done = subprocess.run(
        command_line(launcher),
        cwd=folder,
        env=environment(folder / "home"),
        capture_output=True,
        text=True,
        timeout=900 * len(jobs),
    )
    assert done.returncode == 0, done.stderr[-8000:]
    return [
        "".join(_output_file(folder, number, rank).read_text("utf-8") for rank in (0, 1))
        for number in range(len(jobs))
    ]


def _output_file(folder: pathlib.Path, number: int, rank: int) -> pathlib.Path:
    return folder / f"output-{number}-{rank}.txt"


def main() -> None:
    """Runs the jobs in a file on this slot, as its sibling does."""
    # Where the processes meet, they leave what those of the next job would stumble over.
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"
    jobs = pathlib.Path(sys.argv[1])
    for number, (port, job) in enumerate(json.loads(jobs.read_text())):
        os.environ["MASTER_PORT"] = str(port)
        output = _output_file(jobs.parent, number, int(os.environ["RANK"]))
        try:
            with (
                output.open("w", encoding="utf-8") as file,
                contextlib.redirect_stdout(file),
                contextlib.redirect_stderr(file),
            ):
                Job(**job).run()
        except BaseException:
            print(f"job {number}: {job}", output.read_text("utf-8"), file=sys.stderr)
            raise


if __name__ == "__main__":
    main()
