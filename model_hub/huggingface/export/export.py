"""A checkpoint becomes a folder of the Hugging Face layout, and goes to the Hub if it is wanted."""

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

# What marks a folder as an exported model, which --overwrite may delete.
_MODEL_FILES = ("config.json", "adapter_config.json")
# Files of a description that `save_pretrained` writes itself.
_WRITTEN_WITH_WEIGHTS = ("config.json", "generation_config.json", "adapter_config.json")


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """What was exported.

    Attributes:
        folder: where to.
        steps_completed: batches that the model was trained; None if it is not known.
        architecture: its class.
        is_adapter: whether the folder holds an adapter alone.
        metrics: results of its validation.
    """

    folder: pathlib.Path
    steps_completed: int | None
    architecture: str
    is_adapter: bool
    metrics: dict[str, Any]

    def summary(self, shown: pathlib.Path) -> str:
        """What to tell; ``shown`` is the folder as the user has written it."""
        what = f"the adapter of a {self.architecture}" if self.is_adapter else self.architecture
        steps = "" if self.steps_completed is None else f", after {self.steps_completed} batches"
        numbers = model_card.evaluation_results(self.metrics)
        width = max(map(len, numbers), default=0)
        lines = [f"{shown}: {what}{steps}"]
        lines += [f"  {name:<{width}}  {value:g}" for name, value in numbers.items()]
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
    """Writes the model of a checkpoint as ``from_pretrained`` reads it, with a model card.

    Args:
        name: a run's folder, a checkpoint's folder or the UUID of one on a cluster.
        folder: where to; it must not be there, or be empty.
        which: of a run, the ``best`` or the ``latest`` checkpoint.
        master: address of the cluster's master.
        merge: add an adapter's weights to those of the model; else write the adapter alone.
        overwrite: delete an exported model that is there.
        base_model: where the weights are that an adapter was put on; None is where they were at the
            training.
        run_trial_code: let the code in the checkpoint build the model.

    Raises:
        UserError: when there is no such checkpoint, its model cannot be built, or the folder is in
            use.
    """
    folder = folder.expanduser().resolve()
    _check_folder(folder, overwrite)
    with find.find_checkpoint(name, which=which, master=master) as found:
        if found.folder.is_relative_to(folder):
            raise UserError(f"{str(folder)!r} holds the checkpoint itself. Write another folder.")
        with contextlib.ExitStack() as stack:
            try:
                part = stack.enter_context(saving.atomic_folder(folder))
            except OSError as error:
                raise UserError(f"cannot write {str(folder)!r}: {error.strerror}.") from error
            model = (_write_trial if run_trial_code else _write_rebuilt)(
                found, part, merge, base_model
            )
            settings = metadata.read_task_metadata(part)
            model_card.write_model_card(found, model, settings, part, name=folder.name)
    return ExportResult(
        folder,
        found.steps_completed,
        type(unwrap.strip_adapter(model)).__name__,
        unwrap.has_adapter(model),
        found.metrics,
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


def _write_rebuilt(
    found: FoundCheckpoint, folder: pathlib.Path, merge: bool, base_model: str | None
) -> Any:
    model, tokenizer = rebuild.rebuild_model(found, base_model)
    model = _save(model, folder, merge)
    if tokenizer is not None:
        saving.save_tokenizer(tokenizer, folder)
        # No trial is there to be asked.
        hparams, data = found.hparams, found.config.get("data")
        settings = metadata.metadata_from_config(hparams, data if isinstance(data, dict) else {})
        metadata.write_task_metadata(settings, folder)
        return model
    for file in (found.folder / metadata.FOLDER).iterdir():
        if file.name not in _WRITTEN_WITH_WEIGHTS:
            shutil.copy(file, folder)
    return model


def _write_trial(
    found: FoundCheckpoint, folder: pathlib.Path, merge: bool, base_model: str | None
) -> Any:
    trial = rebuild.load_run_trial(found.folder)
    model = unwrap.exportable_model(trial)
    if model is None:
        raise UserError("the trial has no self.model that transformers can save.")
    model = _save(model, folder, merge)
    saving.save_tokenizer(getattr(trial, "tokenizer", None), folder)
    metadata.write_task_metadata(metadata.task_metadata(trial), folder)
    return model


def _save(model: Any, folder: pathlib.Path, merge: bool) -> Any:
    if merge:
        model = unwrap.merge_adapter(model)
    else:
        _check_adapter_alone(model)
    model.save_pretrained(folder)
    if unwrap.has_adapter(model):
        metadata.write_config(model, folder / metadata.BASE_CONFIG)
    return model


def _check_adapter_alone(model: Any) -> None:
    """Check that pretrained weights are all that the adapter needs beside itself.

    Raises:
        UserError: when it needs frozen weights that only the checkpoint has.
    """
    if unwrap.has_adapter(model) and untrained.frozen_untrained(model):
        raise UserError(
            "--no-merge: the adapter was trained on weights of which some are in no file of "
            "pretrained weights, and is useless without them. Leave --no-merge out."
        )
