"""Folders that the YAML names as models."""

import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import utils
from transformers.utils import peft_utils

from model_hub import _hub
from model_hub.experiment.findings import ERROR, WARNING, Finding, dotted
from model_hub.experiment.schema.ranges import possible_values
from model_hub.experiment.yaml_io import get_path

#: Hyperparameters that name a model or a part of it.
MODEL_KEYS = ("pretrained_model_name_or_path", "config_name", "model_name", "tokenizer_name")
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model",
    "sentencepiece.bpe.model", "tokenizer.model", "spm.model",
)  # fmt: skip
_TOKENIZER_FILE = re.compile("vocab|token|spiece|sentencepiece|spm|bpe|merges")
_WEIGHT_FILES = (
    utils.SAFE_WEIGHTS_NAME, utils.SAFE_WEIGHTS_INDEX_NAME, utils.WEIGHTS_NAME,
    utils.WEIGHTS_INDEX_NAME, peft_utils.ADAPTER_SAFE_WEIGHTS_NAME, peft_utils.ADAPTER_WEIGHTS_NAME,
)  # fmt: skip


def model_findings(config: Mapping[str, Any], *, is_loaded: bool) -> Iterator[Finding]:
    """Yield folders that are not there, or have no model; relative to the working directory.

    Args:
        config: the experiment's configuration; ``hyperparameters`` is a mapping.
        is_loaded: whether weights and tokenizer are loaded from the folders, and not only if the
            trial's own code does so.
    """
    hparams = config["hyperparameters"]
    severity = ERROR if is_loaded else WARNING
    for key in MODEL_KEYS:
        path = ("hyperparameters", key)
        for value_path, value in possible_values(hparams.get(key), path):
            if not isinstance(value, str):
                continue
            folder = pathlib.Path(value).expanduser()
            if folder.is_dir():
                file = _missing_file(folder, key)
                if file:
                    yield Finding(
                        value_path,
                        f"{dotted(path)}: the folder {value!r} has no {file}; write a folder that "
                        "save_pretrained has written",
                    )
                elif not _has_weights(folder, key, hparams):
                    yield Finding(
                        value_path,
                        f"{dotted(path)}: the folder {value!r} has no weights "
                        f"({utils.SAFE_WEIGHTS_NAME}); write a folder that has them, or "
                        "use_pretrained_weights: false for random ones",
                        severity,
                    )
                elif not _has_tokenizer(folder, key, hparams):
                    yield Finding(value_path, no_tokenizer(value), severity)
            elif not _hub.is_repo_id(value) and not is_mounted(value, config):
                yield Finding(
                    value_path,
                    f"{dotted(path)}: {no_folder(value, 'google-bert/bert-base-uncased')}",
                )


def _missing_file(folder: pathlib.Path, key: str) -> str:
    """Return the file that a folder lacks; an empty text if it has what the key needs."""
    needed = _TOKENIZER_FILES if key == "tokenizer_name" else ("config.json",)
    # The configuration of the weights in `model_name` is that of `config_name`.
    return "" if key == "model_name" or _has_any(folder, needed) else needed[0]


def _has_weights(folder: pathlib.Path, key: str, hparams: Mapping[str, Any]) -> bool:
    """Return whether a folder has weights, or needs none for this key."""
    source = "model_name" if hparams.get("model_name") else "pretrained_model_name_or_path"
    is_new = hparams.get("use_pretrained_weights") is False
    searched = isinstance(hparams.get("use_pretrained_weights"), Mapping)
    return key != source or is_new or searched or _has_any(folder, _WEIGHT_FILES)


def _has_tokenizer(folder: pathlib.Path, key: str, hparams: Mapping[str, Any]) -> bool:
    """Return whether a folder has a file that may be a tokenizer's, or needs none for this key."""
    if key != "pretrained_model_name_or_path" or hparams.get("tokenizer_name"):
        return True
    return any(_TOKENIZER_FILE.search(file.name) for file in folder.iterdir())


def no_tokenizer(name: Any) -> str:
    """Return the message that a folder, or a name on the Hub, has no tokenizer."""
    return (
        "hyperparameters.pretrained_model_name_or_path (or tokenizer_name): there is no tokenizer "
        f"in {name!r}, or its vocabulary is empty; copy the tokenizer's files there "
        "(tokenizer.json, tokenizer_config.json), or write hyperparameters.tokenizer_name"
    )


def _has_any(folder: pathlib.Path, names: tuple[str, ...]) -> bool:
    return any((folder / name).is_file() for name in names)


def is_mounted(file: str, config: Mapping[str, Any]) -> bool:
    """Return whether the path is in the container, so that this machine need not have it."""
    mounts = config.get("bind_mounts")
    targets = [get_path(mount, "container_path") for mount in mounts] if mounts else []
    targets.append("/run/determined")
    return any(
        isinstance(target, str) and pathlib.PurePosixPath(file).is_relative_to(target)
        for target in targets
    )


def no_folder(name: str, example: str) -> str:
    """Return the message that there is no folder of that name, and ``example`` as advice."""
    return (
        f"there is no folder {name!r} (looked in {pathlib.Path.cwd()}); write a folder, or a name "
        f"on the Hugging Face Hub such as {example}"
    )
