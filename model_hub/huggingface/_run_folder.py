"""The folder that a run on this machine leaves behind: what stands in it, and where."""

import json
import math
import os
import pathlib
import shlex
import shutil
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from model_hub._secrets import without_secrets
from model_hub.errors import UserError
from model_hub.huggingface import _experiment

_README = """\
# {name}

| file | holds |
|---|---|
| `config.yaml` | the configuration as it was run, with every default and picked value |
| `metrics.jsonl` | every report of the training and of the validations, one JSON object a line |
| `plot.png` | loss and metrics over the training |
| `tensorboard/` | the same for `tensorboard --logdir .` |
| `checkpoints/` | what a run continues from; `index.json` says which is which |
| `model/` | the final model and tokenizer for `from_pretrained` (once the run is through) |

To continue this run, after a stop or with a longer `--config hyperparameters.max_steps=...`:

```shell
{command}
```
"""


class Checkpoint(NamedTuple):
    """A checkpoint that was written completely.

    Attributes:
        uuid: name of its folder.
        steps_completed: batches trained when it was written.
    """

    uuid: str
    steps_completed: int


class RunFolder:
    """The paths and files of one run.

    Args:
        path: the folder.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path.expanduser().resolve()
        self.config_file = self.path / "config.yaml"
        self.metrics_file = self.path / "metrics.jsonl"
        self.plot_file = self.path / "plot.png"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"
        self.code = self.path / "code"
        self.model = self.path / "model"
        self._run_file = self.path / "run.json"
        self._index_file = self.checkpoints / "index.json"

    @property
    def resume_command(self) -> str:
        """What to type to continue the run."""
        path = os.path.relpath(self.path)
        return shlex.join(
            [
                "model-hub",
                "train",
                "--resume",
                path if not path.startswith("..") else str(self.path),
            ]
        )

    def create(self, config: Mapping[str, Any], *, trial: str, context_dir: pathlib.Path) -> None:
        """Makes the folder.

        Args:
            config: the configuration as it is run.
            trial: ``module:Class``.
            context_dir: the folder of the trial's code; its Python and YAML files are copied.

        Raises:
            UserError: when there is a run in it already.
        """
        if self._run_file.exists():
            raise UserError(
                f"--output-dir: {str(self.path)!r} holds a run already. Continue it with "
                f"'{self.resume_command}', or write another folder."
            )
        for folder in (self.tensorboard, self.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        self.write_config(config)
        readme = _README.format(name=self.path.name, command=self.resume_command)
        write_text(self.path / "README.md", readme)
        self._copy_code(context_dir.resolve())
        run = {"trial": trial, "context_dir": str(context_dir.resolve())}
        # Last: with it, the folder is a run.
        write_text(self._run_file, json.dumps(run, indent=2) + "\n")

    def read_run(self) -> tuple[dict[str, Any], str, pathlib.Path]:
        """What :meth:`create` wrote: configuration, ``module:Class``, folder of the code.

        Raises:
            UserError: when the folder holds no run, or the code is gone.
        """
        try:
            run = json.loads(self._run_file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(
                f"--resume: {str(self.path)!r} holds no run; write the folder that 'model-hub "
                "train' made."
            ) from error
        context_dir = pathlib.Path(run["context_dir"])
        if not context_dir.is_dir():
            # The copy has no data files, but all that is needed to import the trial.
            context_dir = self.code
        return _experiment.read_config(self.config_file), run["trial"], context_dir

    def discard_if_empty(self) -> None:
        """Deletes the folder if nothing was trained or measured, so that it can be used again."""
        if not self.all_checkpoints() and not self.read_metrics():
            shutil.rmtree(self.path, ignore_errors=True)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Writes the configuration, without access tokens."""
        write_text(self.config_file, _experiment.dump_config(without_secrets(config)))

    def _copy_code(self, source: pathlib.Path) -> None:
        """Copies the trial's code, which goes into every checkpoint, and nothing large."""
        for file in _code_files(source, self.path):
            target = self.code / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        self.code.mkdir(exist_ok=True)

    def all_checkpoints(self) -> list[Checkpoint]:
        """The checkpoints that are whole, oldest first."""
        try:
            entries = json.loads(self._index_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        found = [Checkpoint(entry["uuid"], entry["steps_completed"]) for entry in entries]
        return [entry for entry in found if (self.checkpoints / entry.uuid).is_dir()]

    def keep_checkpoints(self, kept: list[Checkpoint]) -> None:
        """Makes ``kept`` the list of checkpoints, and deletes all others, unfinished ones too."""
        write_text(
            self._index_file, json.dumps([entry._asdict() for entry in kept], indent=2) + "\n"
        )
        names = {entry.uuid for entry in kept}
        for folder in self.checkpoints.iterdir():
            if folder.is_dir() and folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Adds one line to ``metrics.jsonl``; what is no number in JSON (NaN) becomes null."""
        clean = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in record.items()
        }
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(clean) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``."""
        if not self.metrics_file.exists():
            return []
        lines = self.metrics_file.read_text(encoding="utf-8").splitlines()
        # Whoever was killed while writing leaves a part of a line behind.
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def forget_metrics_after(self, steps_completed: int) -> None:
        """Drops the reports of batches that a run continued from a checkpoint trains again."""
        records = self.read_metrics()
        kept = [record for record in records if record["steps_completed"] <= steps_completed]
        if len(kept) < len(records):
            write_text(self.metrics_file, "".join(json.dumps(record) + "\n" for record in kept))


def _code_files(source: pathlib.Path, run_folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for folder, folders, files in os.walk(source):
        here = pathlib.Path(folder)
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", "__pycache__"))
            and here / name != run_folder
            # Other runs and virtual environments hold code that is not the trial's.
            and not (here / name / "run.json").exists()
            and not (here / name / "pyvenv.cfg").exists()
        ]
        for name in files:
            if name.endswith((".py", ".yaml", ".yml")):
                yield here / name


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a file in one step: a reader sees the old text or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
