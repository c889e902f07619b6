"""What is saved, how it is loaded safely, and export to the Hugging Face layout."""

import collections
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import transformers
from determined import pytorch

from model_hub._secrets import without_secrets

logger = logging.getLogger("model_hub")


def allow_random_state() -> None:
    """Lets ``torch.load`` read the state of numpy's random generator, and nothing else.

    Determined's checkpoints hold it. torch >= 2.6 refuses to unpickle what it does not know, which
    stays as it is for everything but these types: arrays of unsigned 32-bit integers.
    """
    # numpy 2 moved the function and pickles it by its new name.
    multiarray = getattr(np, "_core", None) or np.core
    torch.serialization.add_safe_globals(
        [np.ndarray, np.dtype, np.dtypes.UInt32DType, multiarray.multiarray._reconstruct]
    )


def without_prefix(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights without ``module.`` before their names, if all of them have it.

    The wrapper for several slots puts it there.
    """
    if not state or not all(name.startswith("module.") for name in state):
        return state
    return collections.OrderedDict(
        (name.removeprefix("module."), value) for name, value in state.items()
    )


def accept_prefixed_weights(model: torch.nn.Module) -> None:
    """Lets a model load the checkpoint of a run on several slots.

    Determined does so when it continues a run, but not in ``load_trial_from_checkpoint_path``.
    """
    if "module" in dict(model.named_children()):
        return  # The names are the model's own, or the wrapper's.

    def strip(_: Any, state: dict[str, Any], prefix: str, *__: Any) -> None:
        if prefix == "":
            renamed = dict(without_prefix(state))
            state.clear()
            state.update(renamed)

    model.register_load_state_dict_pre_hook(strip)  # type: ignore[no-untyped-call]


def forget_tokens(checkpoint: pathlib.Path) -> None:
    """Removes access tokens of the Hub from what Determined has written beside the weights."""
    file = checkpoint / "load_data.json"
    if not file.exists():
        return
    content = json.loads(file.read_text(encoding="utf-8"))
    clean = without_secrets(content)
    if clean != content:
        file.write_text(json.dumps(clean), encoding="utf-8")


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """The model without the wrappers that distributed training and compilation put around it."""
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        return unwrapped(model.module)
    compiled = getattr(model, "_orig_mod", None)
    return unwrapped(compiled) if isinstance(compiled, torch.nn.Module) else model


def export_trial(trial: pytorch.PyTorchTrial, folder: pathlib.Path) -> bool:
    """Writes the trial's model and tokenizer as transformers' ``from_pretrained`` reads them.

    Args:
        trial: has ``model``, and ``tokenizer`` if one belongs to it.
        folder: made anew; it appears only when it is whole.

    Returns:
        False if the trial has no model that can be saved so.
    """
    model = getattr(trial, "model", None)
    model = unwrapped(model) if isinstance(model, torch.nn.Module) else None
    if not isinstance(model, transformers.PreTrainedModel):
        logger.warning("The trial has no self.model that transformers can save; none is exported.")
        return False
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    model.save_pretrained(part)
    tokenizer = getattr(trial, "tokenizer", None)
    if tokenizer is not None:
        # Padding and truncation of the last call are not the tokenizer's; they would be saved too.
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            backend.no_padding()
            backend.no_truncation()
        tokenizer.save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)
    return True
