"""Find a checkpoint: in the folder of a run, elsewhere on this machine, or on a cluster."""

import contextlib
import dataclasses
import logging
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from determined.common import api
from determined.experimental import Determined

from model_hub.errors import UserError
from model_hub.experiment.document import read_config
from model_hub.huggingface.checkpoint import metadata
from model_hub.huggingface.runner.run_folder import RunFolder, is_uuid

logger = logging.getLogger("model_hub")

#: File with the weights in every checkpoint of a PyTorchTrial.
WEIGHTS_FILE = "state_dict.pth"


@dataclasses.dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint on this machine.

    Attributes:
        folder: its folder.
        config: the experiment's configuration.
        hparams: the trial's hyperparameters.
        steps_completed: number of batches trained; None if unknown.
        metrics: metrics of the last validation up to ``steps_completed``.
        validated_after: number of batches trained at that validation; None if there was none.
        command: the command of the training, with ``experiment.yaml`` as its file.
    """

    folder: pathlib.Path
    config: dict[str, Any]
    hparams: dict[str, Any]
    steps_completed: int | None
    metrics: dict[str, Any]
    validated_after: int | None
    command: str


@contextlib.contextmanager
def find_checkpoint(
    name: str, *, which: str = "best", master: str | None = None
) -> Iterator[FoundCheckpoint]:
    """Find a checkpoint; one of a cluster is downloaded, and deleted after the ``with`` block.

    The arguments are those of :func:`model_hub.huggingface.export.export.export_model`.

    Raises:
        UserError: when there is no such checkpoint, or no master answers.
    """
    path = pathlib.Path(name).expanduser()
    if not path.exists() and is_uuid(name):
        with tempfile.TemporaryDirectory() as folder:
            validations = _download(name, pathlib.Path(folder) / name, master)
            yield _read(pathlib.Path(folder) / name, validations)
        return
    if not path.exists():
        raise UserError(
            f"there is no folder {name!r}. Write the folder of a run or of a checkpoint, or the "
            "UUID of a checkpoint on a cluster."
        )
    path = path.resolve()
    if is_run(path):
        path = _choose(RunFolder(path), which)
    elif not (path / WEIGHTS_FILE).is_file():
        raise UserError(
            f"{name!r} is no checkpoint: it has no file {WEIGHTS_FILE}{_advice_for_folder(path)}"
        )
    run = path.parent.parent
    yield _read(path, _validations(RunFolder(run)) if is_run(run) else {})


def _advice_for_folder(path: pathlib.Path) -> str:
    """Return what a folder is that is no checkpoint, and what to write, to end a message."""
    if (path / "config.json").exists():
        return ". It holds an exported model already."
    runs = [run for run in (*path.glob("*"), *path.glob("runs/*")) if is_run(run)]
    if not runs:
        return ", and it is not the folder of a run (run.json) either."
    newest = max(runs, key=lambda run: (run / "run.json").stat().st_mtime)
    return f". It holds runs; write one of them, for instance {os.path.relpath(newest)}."


def is_run(path: pathlib.Path) -> bool:
    """Return whether this is the folder of a run of ``model-hub train``."""
    return (path / "run.json").is_file()


def _choose(run: RunFolder, which: str) -> pathlib.Path:
    """Return the folder of the run's best or latest checkpoint."""
    checkpoints = run.all_checkpoints()
    if not checkpoints:
        raise UserError(f"the run {str(run.path)!r} has no checkpoint yet.")
    best = max(checkpoints, key=lambda checkpoint: checkpoint.steps_completed)
    searcher = read_config(run.config_file).get("searcher") or {}
    validations = _validations(run)
    metric = str(searcher.get("metric"))
    values = {c: validations.get(c.steps_completed, {}).get(metric) for c in checkpoints}
    scores = {c: value for c, value in values.items() if isinstance(value, (int, float))}
    if which != "latest" and scores:
        choose = max if searcher.get("smaller_is_better") is False else min
        best = choose(scores, key=lambda checkpoint: scores[checkpoint])
    return run.checkpoints / best.uuid


def _validations(run: RunFolder) -> dict[int, dict[str, Any]]:
    """Return the metrics of the run's validations, by the number of batches trained."""
    not_metrics = ("group", "steps_completed", "epochs", "time")
    return {
        record["steps_completed"]: {k: v for k, v in record.items() if k not in not_metrics}
        for record in run.read_metrics()
        if record.get("group") == "validation"
    }


def _read(folder: pathlib.Path, validations: Mapping[int, dict[str, Any]]) -> FoundCheckpoint:
    """Read the checkpoint's files; ``validations`` are the metrics known from elsewhere."""
    saved = metadata.read_json(folder / "load_data.json")
    config = saved.get("experiment_config") or {}
    steps = metadata.read_json(folder / "metadata.json").get("steps_completed")
    last = metadata.read_task_metadata(folder / metadata.FOLDER).get("validation") or {}
    known = {last["steps_completed"]: last["metrics"] or {}} if last else {}
    known.update(validations)
    validated_after = max((n for n in known if steps is None or n <= steps), default=None)
    return FoundCheckpoint(
        folder=folder,
        config=config,
        hparams=saved.get("hparams") or config.get("hyperparameters") or {},
        steps_completed=steps,
        metrics={} if validated_after is None else known[validated_after],
        validated_after=validated_after,
        command=_command(folder, config),
    )


def _command(folder: pathlib.Path, config: Mapping[str, Any]) -> str:
    """Return the command of the training: ``det`` if the cluster's defaults are in the config."""
    run = metadata.read_json(folder.parent.parent / "run.json")
    if not run and "resources" in config:
        return "det experiment create experiment.yaml ."
    slots = int(run.get("slots", 1))
    if slots == 1:
        return "model-hub train experiment.yaml"
    return f"torchrun --nproc_per_node={slots} -m model_hub train experiment.yaml"


def _download(uuid: str, folder: pathlib.Path, master: str | None) -> dict[int, dict[str, Any]]:
    """Download a checkpoint; return the metrics of its validation, as :func:`_validations`."""
    subject = f"checkpoint {uuid}"
    address = master or api.get_default_master_url()
    try:
        checkpoint = Determined(master=master).get_checkpoint(uuid)
    except api.errors.NotFoundException as error:
        raise UserError(f"{subject}: the master at {address} does not know it.") from error
    except (api.errors.UnauthenticatedException, api.errors.ForbiddenException) as error:
        raise UserError(
            f"{subject}: the master at {address} does not let you in: {error}. Log in with "
            "'det user login'."
        ) from error
    except (api.errors.APIException, EOFError, OSError) as error:
        raise UserError(f"{subject}: the master at {address} says: {error}") from error
    except (api.errors.MasterNotFoundException, api.errors.BadRequestException) as error:
        raise UserError(
            f"{subject}: no Determined master answers at {address}: {error}. Write its address "
            "with --master (or in the environment variable DET_MASTER)."
        ) from error
    logger.info("Downloading checkpoint %s", uuid)
    try:
        checkpoint.download(str(folder))
    except Exception as error:  # Whatever the client of the cluster's storage raises.
        raise UserError(f"{subject}: cannot be downloaded: {error}") from error
    validation = checkpoint.training.validation_metrics if checkpoint.training else {}
    metrics = (validation or {}).get("avgMetrics") or {}
    steps = (checkpoint.metadata or {}).get("steps_completed")
    return {int(steps): metrics} if metrics and steps is not None else {}
