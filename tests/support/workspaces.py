"""Configurations that train a tiny model, and ways to run the commands on them."""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import ruamel.yaml
import torch

from model_hub import cli

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "huggingface" / "question-answering"
ENTRYPOINT = (
    "python3 -m determined.launch.torch_distributed "
    "python3 -m model_hub.huggingface.train qa_trial:QATrial"
)

Config = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Workspace:
    """A folder with data, a model without weights, and the example's trial.

    Attributes:
        root: the folder.
        config: a configuration that trains in it for 20 batches.
    """

    root: pathlib.Path
    config: Config

    def write_yaml(self, config: Config, name: str = "tiny.yaml") -> pathlib.Path:
        path = self.root / name
        with path.open("w", encoding="utf-8") as file:
            ruamel.yaml.YAML(typ="safe", pure=True).dump(config, file)
        return path


def make_workspace(corpus: pathlib.Path, root: pathlib.Path) -> Workspace:
    root.mkdir()
    (root / "qa_trial.py").write_bytes((EXAMPLE / "qa_trial.py").read_bytes())
    config: Config = {
        "name": "tiny",
        "entrypoint": ENTRYPOINT,
        "hyperparameters": {
            "model_mode": "question-answering",
            "pretrained_model_name_or_path": str(corpus / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "num_train_epochs": 2,
            "learning_rate": 1e-3,
        },
        "data": {
            "train_file": str(corpus / "train.json"),
            "validation_file": str(corpus / "validation.json"),
            "max_seq_length": 96,
            "doc_stride": 32,
        },
        "searcher": {"name": "single", "metric": "f1", "smaller_is_better": False},
        "min_validation_period": {"batches": 8},
        "scheduling_unit": 4,
    }
    return Workspace(root, config)


def changed(config: Config, **changes: Any) -> Config:
    """A copy of the configuration: ``hyperparameters__max_steps=3`` sets one key of a section.

    The value ``...`` removes the key.
    """
    result: Config = json.loads(json.dumps(config))
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = result
        for name in parents:
            node = node.setdefault(name, {})
        if value is ...:
            node.pop(last, None)
        else:
            node[last] = value
    return result


@dataclasses.dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    output: str
    errors: str


RunCommand = Callable[..., Finished]


def command_line(words: Sequence[str | pathlib.Path]) -> list[str]:
    """The command with the program of this environment in the place of its name.

    Processes that are more than this machine's GPUs train on its CPUs.
    """
    program, *rest = map(str, words)
    line = [str(pathlib.Path(sys.executable).with_name(program)), *rest]
    given = [word.split("=")[1] for word in rest if word.startswith("--nproc_per_node=")]
    if 0 < torch.cuda.device_count() < max(map(int, given), default=0):
        return ["env", "CUDA_VISIBLE_DEVICES=", *line]
    return line


def environment(home: pathlib.Path) -> dict[str, str]:
    """Variables for a child process: no network, caches below ``home``, one thread."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DET_", "HF_", "COVERAGE"))}
    return {
        **kept,
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def run_here(
    words: Sequence[str | pathlib.Path], cwd: pathlib.Path, home: pathlib.Path, **variables: str
) -> Finished:
    """``model-hub`` in this process: importing torch takes longer than a tiny training.

    An error that the command does not expect is raised here, where a process would end with a
    traceback.
    """
    program, *rest = map(str, words)
    assert program == "model-hub"
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"HOME": str(home), **variables}.items():
            patch.setenv(name, value)
        patch.chdir(cwd)
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = cli.main(rest)
    return Finished(code, output.getvalue(), errors.getvalue())


def metrics_of(run: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` without what depends on the clock."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    clock = ("time", "samples_per_second")
    return [{k: v for k, v in json.loads(line).items() if k not in clock} for line in lines]


def no_traceback(finished: Finished) -> None:
    assert not re.search(r"Traceback|File \".*\", line \d+", finished.errors + finished.output)
