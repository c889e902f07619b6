"""Load a trained model from an exported folder, a run, a checkpoint or the Hub."""

import contextlib
import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import torch
import transformers

from model_hub import _hub
from model_hub.errors import UserError
from model_hub.huggingface.checkpoint import metadata
from model_hub.huggingface.config.peft_config import import_peft
from model_hub.huggingface.export import architectures, export, find
from model_hub.huggingface.model import untrained
from model_hub.huggingface.runner.run_folder import is_uuid

_ADAPTER = "adapter_config.json"


@contextlib.contextmanager
def exported_model(name: str, which: str | None, master: str | None) -> Iterator[str]:
    """Give the folder of an exported model, or its name on the Hub.

    A checkpoint is exported into a folder that is deleted after the ``with`` block. The arguments
    are those of :func:`model_hub.huggingface.inference.predict.predict`.

    Raises:
        UserError: when a checkpoint cannot be exported.
    """
    path = pathlib.Path(name).expanduser()
    is_run = find.is_run(path)
    model = path / "model" if is_run else path
    is_model = any((model / name).is_file() for name in ("config.json", _ADAPTER))
    if is_model and not (is_run and which):
        yield str(model)
    elif path.exists() or is_uuid(name):
        with tempfile.TemporaryDirectory(prefix="model-hub-") as folder:
            made = pathlib.Path(folder) / "model"
            export.export_model(name, made, which=which or "best", master=master)
            yield str(made)
    else:
        yield name


def load_model(
    folder: str, task: str | None, device: torch.device
) -> tuple[Any, transformers.PreTrainedTokenizerBase, str]:
    """Load a model for a task; None is the task of the model's class.

    ``folder`` is an exported model, or a name on the Hub.

    Returns:
        The model, in evaluation mode; the tokenizer; the task.

    Raises:
        UserError: when they cannot be loaded, or the model was not trained for the task.
    """
    base = _base_model_of_adapter(folder)
    base_config = pathlib.Path(folder) / metadata.BASE_CONFIG
    try:
        config = transformers.AutoConfig.from_pretrained(
            base_config if base_config.is_dir() else base or folder
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder!r}: cannot load configuration and tokenizer: "
            f"{_hub.explain_load_error(folder, error)}. Write the folder of an exported model, a "
            "run or a checkpoint, or the name of a model on the Hugging Face Hub that this machine "
            "can reach or has in its cache."
        ) from error
    architecture = next(iter(config.architectures or []), "")
    class_task = architectures.task_of(architecture)
    task = task or class_task
    if task is None:
        raise UserError(
            f"the task of the model's class {architecture!r} is not known. "
            f"Write --task, one of {', '.join(architectures.AUTO_CLASSES)}."
        )
    model_class = architectures.model_class(architecture) if task == class_task else None
    model_class = model_class or getattr(transformers, architectures.AUTO_CLASSES[task])
    model = _load_weights(base or folder, model_class, config, folder if base else None)
    try:
        model.to(device)
    except RuntimeError as error:
        raise UserError(f"--device {str(device)!r}: {str(error).splitlines()[0]}") from error
    return model.eval(), tokenizer, task


def _base_model_of_adapter(folder: str) -> str | None:
    """Return name or folder of an adapter's base model; None if the folder holds no adapter."""
    try:
        text = (pathlib.Path(folder) / _ADAPTER).read_text(encoding="utf-8")
    except OSError:
        return None
    return str(json.loads(text)["base_model_name_or_path"])


def _load_weights(
    name: str, model_class: Any, config: transformers.PretrainedConfig, adapter: str | None
) -> Any:
    try:
        model = model_class.from_pretrained(name, config=config)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{name!r}: cannot load the weights: {str(error).splitlines()[0]}"
        ) from error
    if adapter is not None:
        return _add_adapter(model, adapter)
    missing = untrained.missing_keys(model)
    if missing:
        raise UserError(
            f"{name!r} has no trained weights for {', '.join(missing[:3])} "
            f"of a {type(model).__name__}: its answers would be random. Train it for this task, "
            "or write another --task."
        )
    return model


def _add_adapter(model: Any, folder: str) -> Any:
    peft = import_peft(f"the adapter in {folder!r}")
    adapted: Any = peft.PeftModel.from_pretrained(model, folder)
    missing = untrained.frozen_untrained(adapted)
    if missing:
        raise UserError(
            f"neither the adapter in {folder!r} nor its base model has trained weights for "
            f"{', '.join(missing[:3])}: its answers would be random. Export it without "
            "--no-merge, or train it with their modules in peft.modules_to_save."
        )
    # A merged adapter takes no time.
    if hasattr(adapted.base_model, "merge_adapter"):
        return adapted.merge_and_unload()
    return adapted


def parse_device(name: str | None) -> torch.device:
    """Return the device of that name; None is a GPU if there is one, else the CPU.

    Raises:
        UserError: when there is no such device.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise UserError(
            f"--device is {name!r}; write cpu, cuda or cuda:1, for instance."
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device is {name!r}, but torch finds no GPU here.")
    return device
