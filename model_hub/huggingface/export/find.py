"""Finding a checkpoint, in a run's folder, elsewhere on this machine, or on a cluster."""

import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from determined.common import api
from determined.experimental import Determined

from model_hub.errors import UserError
from model_hub.experiment import yaml_io
from model_hub.huggingface.checkpoint import metadata
from model_hub.huggingface.runner.run_folder import Checkpoint, RunFolder

logger = logging.getLogger("model_hub")

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: What every checkpoint of a PyTorchTrial holds.
WEIGHTS_FILE = "state_dict.pth"


@dataclasses.dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint on this machine, and what is known of it.

    Attributes:
        folder: where it is.
        config: the experiment's configuration.
        hparams: the trial's hyperparameters.
        steps_completed: batches trained; None if it is not known.
        metrics: results of the validation after these batches, or of the last one before.
        validated_after: batches of that validation; None if there are no results.
        command: what has been typed for the training, with ``experiment.yaml`` as its file.
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
    """Finds a checkpoint; one of a cluster is there until the end of the ``with`` block.

    Args:
        name: the folder of a run, a checkpoint's folder, or the UUID of a checkpoint of a cluster.
        which: of a run, its ``best`` or its ``latest`` checkpoint.
        master: address of the cluster's master; None takes that of the environment variable
            ``DET_MASTER``, or this machine.

    Raises:
        UserError: when there is no such checkpoint, or no master answers.
    """
    path = pathlib.Path(name).expanduser()
    if not path.exists() and _UUID.fullmatch(name):
        with tempfile.TemporaryDirectory() as folder:
            metrics = _download(name, pathlib.Path(folder) / name, master)
            yield _read(pathlib.Path(folder) / name, metrics)
        return
    if not path.exists():
        raise UserError(
            f"there is no folder {name!r}. Write the folder of a run or of a checkpoint, or the "
            "UUID of a checkpoint on a cluster."
        )
    path = path.resolve()
    if is_run(path):
        chosen, metrics = _choose(RunFolder(path), which)
        yield _read(RunFolder(path).checkpoints / chosen.uuid, metrics)
        return
    if not is_checkpoint(path):
        raise UserError(f"{name!r} is no checkpoint: it has no file {WEIGHTS_FILE}{_instead(path)}")
    run = path.parent.parent
    yield _read(path, _metrics_of_run(RunFolder(run)) if is_run(run) else {})


def _instead(path: pathlib.Path) -> str:
    """What a folder is that is no checkpoint, and what to write."""
    if (path / "config.json").exists():
        return ". It holds an exported model already."
    runs = [run for run in path.glob("*") if is_run(run)] + [
        run for run in path.glob("runs/*") if is_run(run)
    ]
    if not runs:
        return ", and it is not the folder of a run (run.json) either."
    newest = max(runs, key=lambda run: (run / "run.json").stat().st_mtime)
    return f". It holds runs; write one of them, for instance {os.path.relpath(newest)}."


def is_run(path: pathlib.Path) -> bool:
    """Whether ``model-hub train`` has made this folder."""
    return (path / "run.json").is_file()


def is_checkpoint(path: pathlib.Path) -> bool:
    """Whether this is the folder of a checkpoint."""
    return (path / WEIGHTS_FILE).is_file()


def is_uuid(name: str) -> bool:
    """Whether this may be the name of a checkpoint on a cluster."""
    return bool(_UUID.fullmatch(name))


def _choose(run: RunFolder, which: str) -> tuple[Checkpoint, dict[int, dict[str, Any]]]:
    checkpoints = run.all_checkpoints()
    if not checkpoints:
        raise UserError(f"the run {str(run.path)!r} has no checkpoint yet.")
    latest = max(checkpoints, key=lambda entry: entry.steps_completed)
    metrics = _metrics_of_run(run)
    searcher = yaml_io.read_config(run.config_file).get("searcher") or {}
    smaller_is_better = searcher.get("smaller_is_better") is not False
    scores = {
        entry: value
        for entry in checkpoints
        if isinstance(
            value := metrics.get(entry.steps_completed, {}).get(str(searcher.get("metric"))),
            (int, float),
        )
    }
    if which == "latest" or not scores:
        return latest, metrics
    best = (min if smaller_is_better else max)(scores, key=lambda entry: scores[entry])
    return best, metrics


def _metrics_of_run(run: RunFolder) -> dict[int, dict[str, Any]]:
    """Results of the run's validations, by the batches before."""
    not_results = ("group", "steps_completed", "epochs", "time")
    return {
        record["steps_completed"]: {k: v for k, v in record.items() if k not in not_results}
        for record in run.read_metrics()
        if record.get("group") == "validation"
    }


def _read(folder: pathlib.Path, validations: Mapping[int, dict[str, Any]]) -> FoundCheckpoint:
    """What the checkpoint's files tell; ``validations`` are known from elsewhere."""
    saved = _json(folder / "load_data.json")
    config = saved.get("experiment_config") or {}
    steps = _json(folder / "metadata.json").get("steps_completed")
    last = metadata.read_task_metadata(folder / metadata.FOLDER).get("validation") or {}
    known = {last["steps_completed"]: last["metrics"] or {}} if last else {}
    known.update(validations)
    before = [number for number in known if steps is None or number <= steps]
    validated_after = max(before, default=None)
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
    run = _json(folder.parent.parent / "run.json")
    if not run and "resources" in config:
        return "det experiment create experiment.yaml ."
    slots = int(run.get("slots", 1))
    train = "model-hub train experiment.yaml"
    if slots == 1:
        return train
    return f"torchrun --nproc_per_node={slots} -m model_hub train experiment.yaml"


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _download(uuid: str, folder: pathlib.Path, master: str | None) -> dict[int, dict[str, Any]]:
    """Fetches a checkpoint; the results of its validation as the master knows them."""
    said = f"checkpoint {uuid}"
    address = master or api.get_default_master_url()
    try:
        checkpoint = Determined(master=master).get_checkpoint(uuid)
    except api.errors.NotFoundException as error:
        raise UserError(f"{said}: the master at {address} does not know it.") from error
    except (api.errors.UnauthenticatedException, api.errors.ForbiddenException) as error:
        raise UserError(
            f"{said}: the master at {address} does not let you in: {error}. Log in with "
            "'det user login'."
        ) from error
    except (api.errors.APIException, EOFError, OSError) as error:
        raise UserError(f"{said}: the master at {address} says: {error}") from error
    except (api.errors.MasterNotFoundException, api.errors.BadRequestException) as error:
        raise UserError(
            f"{said}: no Determined master answers at {address}: {error}. Write its address with "
            "--master (or in the environment variable DET_MASTER)."
        ) from error
    logger.info("Downloading checkpoint %s", uuid)
    try:
        checkpoint.download(str(folder))
    except Exception as error:  # Of the client of whatever storage the cluster has.
        raise UserError(f"{said}: cannot be downloaded: {error}") from error
    results = checkpoint.training.validation_metrics if checkpoint.training else {}
    steps = (checkpoint.metadata or {}).get("steps_completed")
    metrics = (results or {}).get("avgMetrics") or {}
    return {int(steps): metrics} if metrics and steps is not None else {}
