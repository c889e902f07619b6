"""What is saved, how it is loaded safely, and export to the Hugging Face layout."""

import collections
import contextlib
import copy
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import transformers
from determined import pytorch

from model_hub._secrets import without_secrets
from model_hub.huggingface import _new_weights

logger = logging.getLogger("model_hub")


def allow_random_state() -> None:
    """Lets ``torch.load`` read the state of numpy's random generator, and nothing else.

    Determined's checkpoints hold it. torch >= 2.6 refuses to unpickle what it does not know, which
    stays as it is for everything but these types: arrays of unsigned 32-bit integers.
    """
    core = getattr(np, "_core", None) or np.core  # By numpy's version.
    reconstruct = core.multiarray._reconstruct
    torch.serialization.add_safe_globals(
        [
            np.ndarray,
            np.dtype,
            np.dtypes.UInt32DType,
            # A checkpoint names it as the numpy that wrote it.
            (reconstruct, "numpy._core.multiarray._reconstruct"),
            (reconstruct, "numpy.core.multiarray._reconstruct"),
        ]
    )


def without_prefix(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights without ``module.`` before their names, if all of them have it.

    The wrapper for several slots puts it there.
    """
    if not state or not all(name.startswith("module.") for name in state):
        return state
    return _renamed(state, lambda name: name.removeprefix("module."))


def fitted_names(state: Mapping[str, Any], wanted: Collection[str]) -> Mapping[str, Any]:
    """The weights with or without ``module.`` before their names, whichever is wanted.

    Args:
        state: weights by name.
        wanted: names of the model that is to load them.
    """
    if set(state) == set(wanted):
        return state
    with_prefix = {f"module.{name}" for name in state}
    if with_prefix == set(wanted):
        return _renamed(state, lambda name: f"module.{name}" if name else "module")
    bare = without_prefix(state)
    return bare if set(bare) == set(wanted) else state


def _renamed(state: Mapping[str, Any], rename: Callable[[str], str]) -> Mapping[str, Any]:
    renamed = collections.OrderedDict((rename(name), value) for name, value in state.items())
    # Versions of modules, by their names; torch reads them when it loads.
    metadata = getattr(state, "_metadata", None)
    if metadata is not None:
        renamed._metadata = collections.OrderedDict(  # type: ignore[attr-defined]
            (rename(name), value) for name, value in metadata.items()
        )
    return renamed


def has_adapter(model: torch.nn.Module) -> bool:
    """Whether the model carries an adapter of the library peft."""
    return hasattr(unwrapped(model), "peft_config")


def without_adapter(model: torch.nn.Module) -> torch.nn.Module:
    """The model that an adapter was put on; the model itself where there is none."""
    inner: Any = model
    return inner.get_base_model() if hasattr(inner, "get_base_model") else model


def trained_part(model: torch.nn.Module, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a model with an adapter only the weights that are trained, and buffers; else all.

    The base model's weights are where they came from, and many times as large; those of them that
    came from nowhere are kept.

    Args:
        model: the model, wrapped or not.
        state: its weights, named without ``module.``.
    """
    if not has_adapter(model):
        return state
    inner = unwrapped(model)
    frozen = _frozen(inner) - _new_weights.marked(inner)
    own = set(tensors_of(inner))
    # What belongs to a frozen weight beside itself: how it is quantized.
    modules = tuple({f"{name.rpartition('.')[0]}." for name in frozen})
    return {
        name: value
        for name, value in state.items()
        if name not in frozen and (name in own or not name.startswith(modules))
    }


def completed(model: torch.nn.Module, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights with those that :func:`trained_part` has left out, as they are in the model.

    Args:
        model: the model, wrapped or not, with the base model's weights.
        state: weights by name, with or without ``module.``.
    """
    if not has_adapter(model):
        return state
    bare = without_prefix(state)
    inner = unwrapped(model)
    own = tensors_of(inner)
    return {**{name: own[name] for name in _frozen(inner) if name in own}, **bare}


def _frozen(model: torch.nn.Module) -> set[str]:
    """Names of the weights that are not trained; one that has two names goes by both."""
    named = model.named_parameters(remove_duplicate=False)
    return {name for name, parameter in named if not parameter.requires_grad}


def tensors_of(model: torch.nn.Module) -> dict[str, Any]:
    """Parameters and buffers by the names of ``state_dict``, without what quantization adds there.

    Args:
        model: the model, without wrappers.
    """
    parameters = (name for name, _ in model.named_parameters(remove_duplicate=False))
    buffers = (name for name, _ in model.named_buffers(remove_duplicate=False))
    names = {*parameters, *buffers}
    return {name: value for name, value in model.state_dict().items() if name in names}


def accept_prefixed_weights(model: torch.nn.Module) -> None:
    """Lets a model load the checkpoint of a run on several slots.

    Determined does so when it continues a run, but not in ``load_trial_from_checkpoint_path``.
    """

    def fit(module: torch.nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
        if prefix == "":
            fitted = dict(fitted_names(completed(module, state), module.state_dict()))
            state.clear()
            state.update(fitted)

    model.register_load_state_dict_pre_hook(fit)  # type: ignore[no-untyped-call]


def forget_tokens(checkpoint: pathlib.Path) -> None:
    """Removes access tokens of the Hub from what Determined has written beside the weights."""
    file = checkpoint / "load_data.json"
    if not file.exists():
        return
    content = json.loads(file.read_text(encoding="utf-8"))
    clean = {**content, "hparams": without_secrets(content.get("hparams"))}
    config = content.get("experiment_config")
    if isinstance(config, dict):
        hparams = without_secrets(config.get("hyperparameters"))
        clean["experiment_config"] = {**config, "hyperparameters": hparams}
    if clean != content:
        file.write_text(json.dumps(clean), encoding="utf-8")


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """The model without the wrappers that distributed training and compilation put around it."""
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        return unwrapped(model.module)
    compiled = getattr(model, "_orig_mod", None)
    return unwrapped(compiled) if isinstance(compiled, torch.nn.Module) else model


def merged(model: Any) -> Any:
    """A copy of the model with its adapter's weights added to its own.

    An adapter that cannot be added, such as a trained prompt, leaves the model as it is; so do
    weights that were loaded in 4 or 8 bits, in which the sum would be rounded.
    """
    if not hasattr(model, "merge_and_unload") or not hasattr(model.base_model, "merge_adapter"):
        return model
    if getattr(without_adapter(model), "is_quantized", False):
        return model
    try:
        return copy.deepcopy(model).merge_and_unload()
    except NotImplementedError:  # peft has methods for which it cannot.
        return model


def exportable_model(trial: Any) -> Any:
    """The trial's model without wrappers, if transformers or peft can save it; else None."""
    model: Any = getattr(trial, "model", None)
    model = unwrapped(model) if isinstance(model, torch.nn.Module) else None
    if isinstance(model, transformers.PreTrainedModel) or (model and has_adapter(model)):
        return model
    return None


def save_tokenizer(tokenizer: Any, folder: pathlib.Path) -> None:
    """Saves a tokenizer, without the padding and truncation of its last call; None does nothing."""
    if tokenizer is None:
        return
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_padding()
        backend.no_truncation()
    names = getattr(tokenizer, "model_input_names", None)
    if names != getattr(type(tokenizer), "model_input_names", None):
        # What the model was trained with (see `_build._tell_segments_apart`); it would be lost.
        tokenizer.init_kwargs["model_input_names"] = list(names or ())
    tokenizer.save_pretrained(folder)


def export_trial(trial: pytorch.PyTorchTrial, folder: pathlib.Path) -> bool:
    """Writes the trial's model and tokenizer as transformers' ``from_pretrained`` reads them.

    Args:
        trial: has ``model``, and ``tokenizer`` if one belongs to it.
        folder: made anew; it appears only when it is whole.

    Returns:
        False if the trial has no model that can be saved so.
    """
    model = exportable_model(trial)
    if model is None:
        logger.warning("The trial has no self.model that transformers can save; none is exported.")
        return False
    with whole_folder(folder) as part:
        merged(model).save_pretrained(part)
        save_tokenizer(getattr(trial, "tokenizer", None), part)
    return True


@contextlib.contextmanager
def whole_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder to write into, which takes the place of ``folder`` once all is written."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                # safetensors lets nobody but the owner read its files; others may read these.
                file.chmod(file.stat().st_mode | (0o044 & part.stat().st_mode))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
