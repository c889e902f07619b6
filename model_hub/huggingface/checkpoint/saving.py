"""Write a trained model and its tokenizer into a folder for `from_pretrained`."""

import contextlib
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from determined import pytorch

from model_hub._hub import redact_secrets
from model_hub.huggingface.model.unwrap import exportable_model, merge_adapter

logger = logging.getLogger("model_hub")


def strip_tokens(checkpoint: pathlib.Path) -> None:
    """Remove access tokens of the Hub from the file that Determined writes beside the weights."""
    file = checkpoint / "load_data.json"
    if not file.exists():
        return
    content = json.loads(file.read_text(encoding="utf-8"))
    clean = {**content, "hparams": redact_secrets(content.get("hparams"))}
    config = content.get("experiment_config")
    if isinstance(config, dict):
        hparams = redact_secrets(config.get("hyperparameters"))
        clean["experiment_config"] = {**config, "hyperparameters": hparams}
    if clean != content:
        file.write_text(json.dumps(clean), encoding="utf-8")


def save_tokenizer(tokenizer: Any, folder: pathlib.Path) -> None:
    """Save a tokenizer, if there is one, without the padding and truncation of its last call."""
    if tokenizer is None:
        return
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_padding()
        backend.no_truncation()
    names = getattr(tokenizer, "model_input_names", None)
    if names != getattr(type(tokenizer), "model_input_names", None):
        # Changed by `build._return_token_type_ids`; `save_pretrained` would lose it.
        tokenizer.init_kwargs["model_input_names"] = list(names or ())
    tokenizer.save_pretrained(folder)


def export_trial(trial: pytorch.PyTorchTrial, folder: pathlib.Path) -> bool:
    """Write the trial's model and tokenizer as transformers' ``from_pretrained`` reads them.

    The folder is replaced if it exists, and appears only when it is complete.

    Returns:
        False if transformers and peft cannot save the trial's model.
    """
    model = exportable_model(trial)
    if model is None:
        logger.warning(
            "The trial has no self.model that transformers can save; nothing is exported."
        )
        return False
    with atomic_folder(folder) as part:
        merge_adapter(model).save_pretrained(part)
        save_tokenizer(getattr(trial, "tokenizer", None), part)
    return True


@contextlib.contextmanager
def atomic_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Give a temporary folder to write into, which replaces ``folder`` at the end."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                # safetensors lets only the owner read its files.
                file.chmod(file.stat().st_mode | (0o044 & part.stat().st_mode))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
