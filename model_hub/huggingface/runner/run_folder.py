"""The folder of a run on this machine: its paths and files."""

import contextlib
import json
import logging
import math
import os
import pathlib
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from determined.common import detignore

from model_hub._hub import redact_secrets
from model_hub.errors import UserError
from model_hub.experiment import document, yaml_io

logger = logging.getLogger("model_hub")

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

An access token of the Hugging Face Hub is not kept here; where one is needed, log in with
`hf auth login` or add `--config hyperparameters.token=...`.
"""


# Files that only another run, a virtual environment or a conda environment has.
_FOREIGN = ("run.json", "pyvenv.cfg", "conda-meta")


def is_uuid(name: str) -> bool:
    """Return whether this may be the name of a checkpoint, which Determined chooses."""
    return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name) is not None


class Checkpoint(NamedTuple):
    """A complete checkpoint.

    Attributes:
        uuid: name of its folder.
        steps_completed: number of batches trained when it was written.
    """

    uuid: str
    steps_completed: int


class RunFolder:
    """The paths and files of one run, which ``slots`` processes train together."""

    def __init__(self, path: pathlib.Path, slots: int = 1) -> None:
        self.path = path.expanduser().resolve()
        self.slots = slots
        self._run_file = self.path / "run.json"
        self._readme_file = self.path / "README.md"
        self.config_file = self.path / "config.yaml"
        self.metrics_file = self.path / "metrics.jsonl"
        self.plot_file = self.path / "plot.png"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"
        self.code = self.path / "code"
        self.model = self.path / "model"
        self._index_file = self.checkpoints / "index.json"

    @property
    def resume_command(self) -> str:
        """The shell command that resumes the run."""
        path = os.path.relpath(self.path)
        command = ["model-hub", "train"]
        if self.slots > 1:
            # Only the same number of processes ends with the same weights.
            command = ["torchrun", f"--nproc_per_node={self.slots}", "-m", "model_hub", "train"]
        return shlex.join([*command, "--resume", str(self.path) if path.startswith("..") else path])

    def create(self, config: Mapping[str, Any], *, trial: str, context_dir: pathlib.Path) -> None:
        """Create the folder, or use one that has no files of the same names.

        ``trial`` is ``module:Class``; the Python files of ``context_dir`` are copied.

        Raises:
            UserError: when the folder holds a run or files of the same names already, or is not
                writable.
        """
        if self._run_file.exists():
            raise UserError(
                f"--output-dir: {str(self.path)!r} holds a run already. Continue it with "
                f"'{self.resume_command}', or write another folder."
            )
        existing = [path.name for path in self._own_entries() if path.exists()]
        if existing:
            raise UserError(
                f"--output-dir: {str(self.path)!r} holds {', '.join(existing)}, but no run. A run "
                "would overwrite them. Write a new folder."
            )
        try:
            for folder in (self.tensorboard, self.checkpoints):
                folder.mkdir(parents=True)
            self.write_config(config)
            readme = _README.format(name=self.path.name, command=self.resume_command)
            write_text(self._readme_file, readme)
            self._copy_code(context_dir.resolve())
            run = {"trial": trial, "context_dir": str(context_dir.resolve()), "slots": self.slots}
            # Last, because it marks the folder as a run.
            write_text(self._run_file, json.dumps(run, indent=2) + "\n")
        except OSError as error:
            self._remove()
            raise UserError(
                f"--output-dir: cannot write to {str(self.path)!r} ({error.strerror}). "
                "Name another folder."
            ) from error

    def read_run(self) -> tuple[dict[str, Any], str, pathlib.Path]:
        """Return what :meth:`create` wrote: configuration, ``module:Class``, folder of the code.

        Raises:
            UserError: when the folder holds no run.
        """
        try:
            run = json.loads(self._run_file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(
                f"--resume: {str(self.path)!r} holds no run; write the folder that 'model-hub "
                "train' made."
            ) from error
        if run["slots"] != self.slots:
            logger.warning(
                "The run was started with %d processes and continues with %d: it will not end with "
                "the same weights.",
                run["slots"],
                self.slots,
            )
        context_dir = pathlib.Path(run["context_dir"])
        if not context_dir.is_dir():
            # The copy has no data files, but everything that importing the trial needs.
            context_dir = self.code
        return document.read_config(self.config_file), run["trial"], context_dir

    def discard_if_empty(self) -> None:
        """Delete the run if it has neither checkpoints nor metrics, so that it can start again."""
        if not self.all_checkpoints() and not self.read_metrics():
            self._remove()

    def _own_entries(self) -> list[pathlib.Path]:
        """Return the paths of all that a run writes into its folder."""
        paths = (value for value in vars(self).values() if isinstance(value, pathlib.Path))
        return [path for path in paths if path.parent == self.path]

    def _remove(self) -> None:
        """Delete the files of the run, and the folder if nothing else is in it."""
        for entry in self._own_entries():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    entry.unlink()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the configuration, without access tokens."""
        hparams = redact_secrets(config.get("hyperparameters"))
        text = yaml_io.dump_config({**config, "hyperparameters": hparams})
        write_text(self.config_file, text)

    def _copy_code(self, source: pathlib.Path) -> None:
        """Copy the trial's code, and no data; every checkpoint holds it."""
        for file in _code_files(source, self.path):
            target = self.code / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        self.code.mkdir(exist_ok=True)

    def all_checkpoints(self) -> list[Checkpoint]:
        """Return the complete checkpoints, oldest first."""
        try:
            entries = json.loads(self._index_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        found = [Checkpoint(entry["uuid"], entry["steps_completed"]) for entry in entries]
        return [entry for entry in found if (self.checkpoints / entry.uuid).is_dir()]

    def steps_completed(self) -> int:
        """Return the number of batches trained at the newest checkpoint; 0 if there is none."""
        return max((entry.steps_completed for entry in self.all_checkpoints()), default=0)

    def keep_checkpoints(self, kept: list[Checkpoint]) -> None:
        """Make ``kept`` the list of checkpoints and delete all others, also incomplete ones."""
        write_text(
            self._index_file, json.dumps([entry._asdict() for entry in kept], indent=2) + "\n"
        )
        names = {entry.uuid for entry in kept}
        for folder in self.checkpoints.iterdir():
            if folder.is_dir() and folder.name not in names and is_uuid(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Append a line to ``metrics.jsonl``; NaN and infinity, which JSON lacks, become null."""
        clean = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in record.items()
        }
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(clean) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return the records of ``metrics.jsonl``."""
        if not self.metrics_file.exists():
            return []
        records = []
        for line in self.metrics_file.read_text(encoding="utf-8").splitlines():
            # A process that was killed while writing leaves an incomplete line.
            with contextlib.suppress(json.JSONDecodeError):
                records.append(json.loads(line))
        return records

    def forget_metrics_after(self, steps_completed: int | None) -> None:
        """Remove the records of batches that a resumed run trains again, and incomplete lines.

        ``steps_completed`` is the number of batches at the checkpoint that it resumes from; None
        removes all records.
        """
        if not self.metrics_file.exists():
            return
        kept = [
            record
            for record in self.read_metrics()
            if steps_completed is not None and record["steps_completed"] <= steps_completed
        ]
        write_text(self.metrics_file, "".join(json.dumps(record) + "\n" for record in kept))


def _code_files(source: pathlib.Path, run_folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the Python files below a folder, without environments and files in ``.detignore``."""
    ignored_by_det = detignore.make_shutil_ignore(source)
    for folder, folders, files in os.walk(source):
        here = pathlib.Path(folder)
        ignored = set(ignored_by_det(folder, [*folders, *files]))
        folders[:] = [
            name
            for name in folders
            if name not in ignored
            and not name.startswith((".", "__pycache__"))
            and name not in ("node_modules", "site-packages")
            and here / name != run_folder
            # Other runs and environments hold code of their own.
            and not any((here / name / mark).exists() for mark in _FOREIGN)
        ]
        for name in files:
            path = here / name
            if name.endswith(".py") and name not in ignored and not name.startswith("."):
                yield path


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a file atomically: a reader sees the old text or all of the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
