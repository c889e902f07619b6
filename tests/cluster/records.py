"""What the stand-in master remembers, as tests read it."""

import dataclasses
import io
import pathlib
import tarfile
from typing import Any


@dataclasses.dataclass
class Allocation:
    """One stay of a trial on the cluster: from its start to its exit, preemption or death."""

    id: str
    run_id: int
    slots: int
    session_token: str
    resources_id: str
    # What this stay starts from.
    latest_checkpoint: str | None
    steps_completed: int
    preempted: bool = False
    # Whether the trial has been answered that it is preempted, and whether it said that it will go.
    told: bool = False
    acknowledged: bool = False
    # Training reports since the last report of progress.
    fresh_reports: int = 0


@dataclasses.dataclass
class Trial:
    """A trial: `config` as a master hands it out, `context` the packed context directory."""

    id: int
    experiment_id: int
    task_id: str
    config: dict[str, Any]
    hparams: dict[str, Any]
    context: bytes
    allocations: list[Allocation] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Metrics:
    """One report. `archived`: a later stay of the trial went back behind it and repeated it."""

    trial_id: int
    run_id: int
    group: str
    steps_completed: int
    metrics: dict[str, Any]
    batch_metrics: list[dict[str, Any]] | None
    archived: bool = False


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A registered checkpoint; `resources` are the sizes of its files in bytes."""

    uuid: str
    trial_id: int
    allocation_id: str
    steps_completed: int
    metadata: dict[str, Any]
    resources: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Progress:
    """`fraction` of the training is done, in [0, 1]."""

    trial_id: int
    run_id: int
    fraction: float


@dataclasses.dataclass(frozen=True)
class Status:
    """What the trial says it is doing: "training", "validating" or "checkpointing"."""

    trial_id: int
    run_id: int
    state: str


@dataclasses.dataclass(frozen=True)
class EarlyExit:
    """The trial gave up for good, for example with EXITED_REASON_INVALID_HP."""

    trial_id: int
    run_id: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Submission:
    """What `det experiment create` has sent.

    `config_text` is the YAML file as written; `files` are the contents of the context directory
    by their paths in it, with "/"; `modes` are the permissions.
    """

    experiment_id: int
    config_text: str
    files: dict[str, bytes]
    directories: list[str]
    modes: dict[str, int]
    body: dict[str, Any]

    def unpack(self, directory: pathlib.Path) -> pathlib.Path:
        """Write the submitted context directory to `directory` and return that."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in self.directories:
            (directory / name).mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (directory / name).write_bytes(content)
            (directory / name).chmod(self.modes[name] & 0o777)
        return directory


def pack(directory: pathlib.Path) -> bytes:
    """A directory as the `.tar.gz` that a master hands out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted(directory.rglob("*")):
            if "__pycache__" not in path.parts:
                archive.add(path, path.relative_to(directory).as_posix(), recursive=False)
    return buffer.getvalue()
