"""What a model needs beside its weights, kept in every checkpoint and in exported folders.

With it, a model can be built without the trial, its code and its data.
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

#: Folder within a checkpoint.
FOLDER = "model_hub"
#: File with the task's metadata, in that folder and beside exported weights.
SETTINGS_FILE = "model_hub.json"
#: Folder beside an adapter's weights with the base model's configuration: its class and names of
#: labels. If config.json were beside the weights, transformers would not see the adapter.
BASE_CONFIG = "base_config"

# Keys of section `data` that are of use in the training alone.
_TRAINING_ONLY = frozenset(
    {
        "cache_dir",
        "chat_template",  # The tokenizer has it.
        "chat_template_file",
        "chat_template_kwargs",
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


def experiment_metadata(trial: Any) -> dict[str, Any]:
    """Return the metadata of a trial: :func:`metadata_from_config` with the columns it found.

    The trial has ``context``, and may have ``hparams``, ``data_config`` and ``task_metadata()``,
    which returns further keys of ``data``.
    """
    hparams = _section(trial, "hparams", "get_hparams")
    settings = metadata_from_config(hparams, _section(trial, "data_config", "get_data_config"))
    # A trial that does not inherit from BaseTransformerTrial has no such method.
    settings["data"].update(getattr(trial, "task_metadata", dict)())
    return settings


def metadata_from_config(hparams: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the YAML that inference with the model needs, and versions.

    Returns:
        ``model_mode``, ``finetuning_task``, ``data`` (keys of that section) and ``versions``.
    """
    return {
        "model_mode": hparams.get("model_mode"),
        "finetuning_task": hparams.get("finetuning_task"),
        "data": {k: v for k, v in redact_secrets(data).items() if k not in _TRAINING_ONLY},
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages a training depends on, by name."""
    installed = {"python": platform.python_version(), "model-hub": model_hub.__version__}
    for name in _PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def write_metadata(trial: Any, checkpoint: pathlib.Path, validation: Mapping[str, Any]) -> None:
    """Write configuration, tokenizer and metadata of the trial's model into a checkpoint.

    A failure is logged, and does not end the training. Nothing is written for a model that neither
    transformers nor peft can save. ``validation`` has ``steps_completed`` and ``metrics`` of the
    last validation; it is empty if there was none.
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
        write_task_metadata({**experiment_metadata(trial), "validation": validation}, folder)
    except Exception as error:
        logger.warning(
            "The configuration of the model cannot be written into the checkpoint; 'model-hub "
            "export' has to build it from the YAML, or by --run-trial-code: %s",
            error,
        )


def complete_export(trial: Any, folder: pathlib.Path) -> None:
    """Add metadata, and the base model's configuration for an adapter, to an exported folder."""
    write_task_metadata(experiment_metadata(trial), folder)
    if (folder / "adapter_config.json").exists():
        write_config(unwrap.exportable_model(trial), folder / BASE_CONFIG)


def write_config(model: Any, folder: pathlib.Path) -> None:
    """Write the configuration of a model, or of an adapter's base model, and of generation."""
    base: Any = unwrap.strip_adapter(model)
    config: transformers.PretrainedConfig = copy.deepcopy(base.config)
    config.architectures = [type(base).__name__]
    # The dtype of the weights in the checkpoint; that of the pretrained file may differ.
    config.dtype = getattr(base, "dtype", None)
    config.save_pretrained(folder)
    if base.can_generate() and base.generation_config is not None:
        base.generation_config.save_pretrained(folder)


def write_task_metadata(settings: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Write :data:`SETTINGS_FILE`."""
    text = json.dumps(settings, indent=2, ensure_ascii=False, default=_to_json)
    (folder / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")


def read_task_metadata(folder: pathlib.Path) -> dict[str, Any]:
    """Read what :func:`write_task_metadata` wrote; an empty dict if there is no such file."""
    return read_json(folder / SETTINGS_FILE)


def read_json(file: pathlib.Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty dict if there is no such file, or no object."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _section(trial: Any, name: str, getter: str) -> dict[str, Any]:
    """Return a section of the YAML from the trial's attribute, or else from its context."""
    value = getattr(trial, name, None)
    if value is None:
        try:
            value = getattr(trial.context, getter)()
        except (AttributeError, ValueError):
            value = {}
    return dict(value) if isinstance(value, Mapping) else {}


def _to_json(value: Any) -> Any:
    """Convert a value that JSON has no type for."""
    if hasattr(value, "tolist"):  # Numpy's numbers and arrays.
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)
