"""Export the model of a checkpoint to a folder that `from_pretrained` loads."""

import contextlib
import dataclasses
import logging
import pathlib
import shutil
from typing import Any

from model_hub.errors import UserError
from model_hub.huggingface.checkpoint import metadata, saving
from model_hub.huggingface.export import find, model_card, rebuild
from model_hub.huggingface.export.find import FoundCheckpoint
from model_hub.huggingface.model import untrained, unwrap

logger = logging.getLogger("model_hub")

# --overwrite deletes a folder only if it holds one of these.
_MODEL_FILES = ("config.json", "adapter_config.json")
# Files in a checkpoint that are not copied, since `save_pretrained` writes them.
_SAVED_WITH_WEIGHTS = ("config.json", "generation_config.json", "adapter_config.json")


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """An exported model.

    Attributes:
        folder: the folder that holds it.
        steps_completed: number of batches it was trained on; None if unknown.
        architecture: name of its class.
        is_adapter: whether the folder holds only an adapter.
        metrics: its validation metrics.
    """

    folder: pathlib.Path
    steps_completed: int | None
    architecture: str
    is_adapter: bool
    metrics: dict[str, Any]

    def summary(self, shown: pathlib.Path) -> str:
        """Return the lines to print; ``shown`` is the folder as the user wrote it."""
        model = f"the adapter of a {self.architecture}" if self.is_adapter else self.architecture
        steps = "" if self.steps_completed is None else f", after {self.steps_completed} batches"
        results = model_card.evaluation_results(self.metrics)
        width = max(map(len, results), default=0)
        lines = [f"{shown}: {model}{steps}"]
        lines += [f"  {name:<{width}}  {value:g}" for name, value in results.items()]
        return "\n".join(lines)


def export_model(
    name: str,
    folder: pathlib.Path,
    *,
    which: str = "best",
    master: str | None = None,
    merge: bool = True,
    overwrite: bool = False,
    base_model: str | None = None,
    run_trial_code: bool = False,
) -> ExportResult:
    """Write the model of a checkpoint as ``from_pretrained`` reads it, with a model card.

    Args:
        name: a run's folder, a checkpoint's folder or the UUID of one on a cluster.
        folder: folder to write; it must not exist, or be empty.
        which: of a run, the ``best`` or the ``latest`` checkpoint.
        master: address of the cluster's master; None is that of the environment variable
            ``DET_MASTER``, or this machine.
        merge: add an adapter's weights to those of the base model; False writes only the adapter.
        overwrite: replace an exported model in the folder.
        base_model: name or folder of an adapter's base model; None is the one of the training.
        run_trial_code: let the code in the checkpoint build the model.

    Raises:
        UserError: when there is no such checkpoint, its model cannot be built, or the folder is not
            empty.
    """
    folder = folder.expanduser().resolve()
    _check_folder(folder, overwrite)
    with find.find_checkpoint(name, which=which, master=master) as checkpoint:
        if checkpoint.folder.is_relative_to(folder):
            raise UserError(f"{str(folder)!r} holds the checkpoint itself. Write another folder.")
        with contextlib.ExitStack() as stack:
            try:
                part = stack.enter_context(saving.atomic_folder(folder))
            except OSError as error:
                raise UserError(f"cannot write {str(folder)!r}: {error.strerror}.") from error
            model = _write_model(
                checkpoint,
                part,
                merge=merge,
                base_model=base_model,
                run_trial_code=run_trial_code,
            )
            model_card.write_model_card(checkpoint, model, part, name=folder.name)
    return ExportResult(
        folder,
        checkpoint.steps_completed,
        type(unwrap.strip_adapter(model)).__name__,
        unwrap.has_adapter(model),
        checkpoint.metrics,
    )


def _check_folder(folder: pathlib.Path, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{str(folder)!r} is a file. Write the name of a new folder.")
    if not any(folder.iterdir()):
        return
    is_model = any((folder / file).exists() for file in _MODEL_FILES)
    if not overwrite:
        hint = ", or --overwrite" if is_model else ""
        raise UserError(f"{str(folder)!r} is not empty. Write another folder{hint}.")
    if not is_model:
        raise UserError(
            f"--overwrite: {str(folder)!r} holds no exported model ({' or '.join(_MODEL_FILES)}), "
            "so it is not deleted. Write another folder."
        )


def _write_model(
    checkpoint: FoundCheckpoint,
    folder: pathlib.Path,
    *,
    merge: bool,
    base_model: str | None,
    run_trial_code: bool,
) -> Any:
    """Write weights, configuration, tokenizer and metadata; return the model as it is written."""
    if run_trial_code:
        trial = rebuild.load_trial(checkpoint.folder)
        model, tokenizer = unwrap.exportable_model(trial), getattr(trial, "tokenizer", None)
        if model is None:
            raise UserError("the trial has no self.model that transformers can save.")
        settings = metadata.experiment_metadata(trial)
    else:
        model, tokenizer = rebuild.rebuild_model(checkpoint, base_model)
        data = checkpoint.config.get("data")
        settings = metadata.metadata_from_config(
            checkpoint.hparams, data if isinstance(data, dict) else {}
        )
    if merge:
        model = unwrap.merge_adapter(model)
    elif unwrap.has_adapter(model) and untrained.frozen_untrained(model):
        raise UserError(
            "--no-merge: the adapter was trained on weights of which some are in no file of "
            "pretrained weights, and is useless without them. Leave --no-merge out."
        )
    model.save_pretrained(folder)
    if unwrap.has_adapter(model):
        metadata.write_config(model, folder / metadata.BASE_CONFIG)
    saved = checkpoint.folder / metadata.FOLDER
    if run_trial_code or not (saved / "config.json").exists():
        saving.save_tokenizer(tokenizer, folder)
        metadata.write_task_metadata(settings, folder)
        return model
    for file in saved.iterdir():
        if file.name not in _SAVED_WITH_WEIGHTS:
            shutil.copy(file, folder)
    return model
