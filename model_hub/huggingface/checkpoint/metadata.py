"""What belongs to a model beside its weights: kept in every checkpoint, and in exported folders.

With it a model can be built without the trial, its code and its data.
"""

import copy
import importlib.metadata
import json
import logging
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

import transformers

import model_hub
from model_hub._hub import redact_secrets
from model_hub.huggingface.checkpoint import saving
from model_hub.huggingface.model import unwrap

logger = logging.getLogger("model_hub")

#: The folder within a checkpoint.
FOLDER = "model_hub"
#: The file with the settings, in that folder and beside exported weights.
SETTINGS_FILE = "model_hub.json"
#: The folder beside an adapter's weights that holds its base model's configuration: names of labels
#: and the class to build. With a config.json beside it transformers would not see the adapter.
BASE_CONFIG = "base_config"

# Keys of section `data` that tell where training data is, or how it is prepared ahead.
_OF_TRAINING_ONLY = frozenset(
    {
        "cache_dir",
        "chat_template",  # It stands in the tokenizer.
        "chat_template_file",
        "dataset_revision",
        "output_dir",
        "overwrite_cache",
        "packing",
        "pad_to_max_length",
        "preprocessing_num_workers",
        "train_file",
        "validation_file",
        "validation_split_percentage",
    }
)
_PACKAGES = ("torch", "transformers", "datasets", "determined", "peft")


def task_metadata(trial: Any) -> dict[str, Any]:
    """What asking the trained model needs to know, with the columns that the trial has found.

    Args:
        trial: has ``context``; ``hparams`` and ``data_config`` are taken where it has them.

    Returns:
        As :func:`metadata_from_config`.
    """
    hparams = _section(trial, "hparams", "get_hparams")
    settings = metadata_from_config(hparams, _section(trial, "data_config", "get_data_config"))
    # A trial that does not inherit from BaseTransformerTrial has no such method.
    settings["data"].update(getattr(trial, "task_metadata", dict)())
    return settings


def metadata_from_config(hparams: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """What the YAML says of asking the model.

    Args:
        hparams: section ``hyperparameters``.
        data: section ``data``.

    Returns:
        ``model_mode``, ``finetuning_task``, ``versions``, and under ``data`` keys of that section.
    """
    kept = {k: v for k, v in redact_secrets(data).items() if k not in _OF_TRAINING_ONLY}
    return {
        "model_mode": hparams.get("model_mode"),
        "finetuning_task": hparams.get("finetuning_task"),
        "data": kept,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of what a training depends on, by name."""
    found = {"python": platform.python_version(), "model-hub": model_hub.__version__}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write_metadata(trial: Any, checkpoint: pathlib.Path, validation: Mapping[str, Any]) -> None:
    """Writes configuration, tokenizer and settings of the trial's model into a checkpoint.

    A training never ends because of it: what cannot be written is warned of. A trial without a
    model of transformers gets no folder.

    Args:
        trial: the trial.
        checkpoint: its folder.
        validation: ``steps_completed`` and ``metrics`` of the last one; empty if there was none.
    """
    model = unwrap.exportable_model(trial)
    if model is None:
        return
    folder = checkpoint / FOLDER
    folder.mkdir(exist_ok=True)
    try:
        write_config(model, folder)
        if unwrap.has_adapter(model):
            model.peft_config[model.active_adapter].save_pretrained(folder)
        saving.save_tokenizer(getattr(trial, "tokenizer", None), folder)
        write_task_metadata({**task_metadata(trial), "validation": validation}, folder)
    except Exception as error:
        logger.warning(
            "The checkpoint does not tell how its model is built, so that 'model-hub export' has "
            "to run the trial: %s",
            error,
        )


def complete_export(trial: Any, folder: pathlib.Path) -> None:
    """Adds to an exported folder what asking the model needs beside the weights.

    Args:
        trial: the trial that was exported.
        folder: where to.
    """
    write_task_metadata(task_metadata(trial), folder)
    if (folder / "adapter_config.json").exists():
        write_config(unwrap.exportable_model(trial), folder / BASE_CONFIG)


def write_config(model: Any, folder: pathlib.Path) -> None:
    """The configurations of a model (that of an adapter: its base) and of its generation."""
    base: Any = unwrap.strip_adapter(model)
    config: transformers.PretrainedConfig = copy.deepcopy(base.config)
    config.architectures = [type(base).__name__]
    # The type in which weights are saved; that of the file which they once came from may differ.
    config.dtype = getattr(base, "dtype", None)
    config.save_pretrained(folder)
    if base.can_generate() and base.generation_config is not None:
        base.generation_config.save_pretrained(folder)


def write_task_metadata(settings: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Writes :data:`SETTINGS_FILE`."""
    text = json.dumps(settings, indent=2, ensure_ascii=False, default=_plain)
    (folder / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")


def read_task_metadata(folder: pathlib.Path) -> dict[str, Any]:
    """What :func:`write_task_metadata` wrote; empty where there is no such file."""
    try:
        content = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _section(trial: Any, name: str, getter: str) -> dict[str, Any]:
    value = getattr(trial, name, None)
    if value is None:
        try:
            value = getattr(trial.context, getter)()
        except (AttributeError, ValueError):
            value = {}
    return dict(value) if isinstance(value, Mapping) else {}


def _plain(value: Any) -> Any:
    """What JSON has no type for."""
    if hasattr(value, "tolist"):  # Numbers and arrays of numpy.
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)
