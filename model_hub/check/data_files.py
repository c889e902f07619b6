"""Checks of the local files that the YAML names: data, and folders with models."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import datasets

from model_hub import _hub
from model_hub.check import labels, local_models
from model_hub.check.document import Document
from model_hub.check.trial import TrialClass, is_ours
from model_hub.errors import UserError
from model_hub.experiment.findings import ERROR, WARNING, Finding, dotted
from model_hub.experiment.schema.ranges import possible_values
from model_hub.experiment.yaml_io import get_path
from model_hub.huggingface.config import fields, parsing
from model_hub.huggingface.data import load, preview
from model_hub.huggingface.trial import BaseTransformerTrial
from model_hub.utils import AttrDict

Config = Mapping[str, Any]

_ROWS = 100
_MODEL_KEYS = ("pretrained_model_name_or_path", "config_name", "model_name", "tokenizer_name")
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model",
    "sentencepiece.bpe.model", "tokenizer.model", "spm.model",
)  # fmt: skip


def file_findings(
    document: Document, config: Config, trial_class: TrialClass | None
) -> Iterator[Finding]:
    """Yield what is wrong with files and folders; paths are relative to the working directory.

    Args:
        document: the YAML.
        config: its value; the sections are mappings.
        trial_class: None where it could not be imported.
    """
    if is_ours(trial_class):
        # Reading a few rows would print progress bars between the findings.
        datasets.disable_progress_bars()
        yield from _model_findings(config)
        yield from _data_files(document, config, trial_class)


def hub_names(config: Config) -> list[str]:
    """Return the names of models and data sets on the Hub, which are not looked up."""
    hparams, data = config["hyperparameters"], config["data"]
    found = [
        value
        for key in _MODEL_KEYS
        for _, value in possible_values(hparams.get(key), ("hyperparameters", key))
    ]
    found.append(data.get("dataset_name"))
    names = [name for name in found if isinstance(name, str) and _hub.is_repo_id(name)]
    return [name for name in dict.fromkeys(names) if not pathlib.Path(name).exists()]


def _model_findings(config: Config) -> Iterator[Finding]:
    for key in _MODEL_KEYS:
        path = ("hyperparameters", key)
        for value_path, value in possible_values(config["hyperparameters"].get(key), path):
            if not isinstance(value, str):
                continue
            folder = pathlib.Path(value).expanduser()
            needed = _TOKENIZER_FILES if key == "tokenizer_name" else ("config.json",)
            if folder.is_dir():
                if not any((folder / name).is_file() for name in needed):
                    yield Finding(
                        value_path,
                        f"{dotted(path)}: the folder {value!r} has no {needed[0]}; write a folder "
                        "that save_pretrained has written",
                    )
            elif not _hub.is_repo_id(value) and not _is_mounted(value, config):
                yield Finding(
                    value_path,
                    f"{dotted(path)}: {_no_folder(value, 'google-bert/bert-base-uncased')}",
                )


def _is_mounted(file: str, config: Config) -> bool:
    """Return whether the path is in the container, so that this machine need not have it."""
    mounts = config.get("bind_mounts")
    targets = [get_path(mount, "container_path") for mount in mounts] if mounts else []
    targets.append("/run/determined")
    return any(
        isinstance(target, str) and pathlib.PurePosixPath(file).is_relative_to(target)
        for target in targets
    )


def _data_files(
    document: Document, config: Config, trial_class: TrialClass | None
) -> Iterator[Finding]:
    data_types = getattr(trial_class, "data_types", (fields.DatasetKwargs,))
    try:
        (kwargs,) = parsing.parse_dict_to_dataclasses((fields.DatasetKwargs,), config["data"])
    except UserError:
        return  # Reported by the checks of the values.
    declared = data_types is not BaseTransformerTrial.data_types and trial_class is not None
    if fields.DatasetKwargs in data_types:
        try:
            load.check_sources(kwargs)
        except UserError as error:
            # A trial that does not declare its keys may take its data from elsewhere.
            severity = ERROR if declared else WARNING
            path = document.path_in(str(error))
            path = path if path[:1] == ("data",) else ("data",)
            missing = len(path) < 2
            yield Finding(path, str(error).rstrip("."), severity, missing=missing)
    splits: dict[str, datasets.Dataset] = {}
    for split, key in (("train", "train_file"), ("validation", "validation_file")):
        file = getattr(kwargs, key)
        if not file or (_is_mounted(file, config) and not pathlib.Path(file).exists()):
            continue
        try:
            rows = preview.read_first_rows(f"data.{key}", file, _ROWS)
        except UserError as error:
            yield Finding(("data", key), str(error).rstrip("."))
            continue
        if rows is not None:
            splits[split] = rows
    yield from _named_folder(kwargs, config)
    local = dict(splits)
    if "train" in splits and not kwargs.validation_file:
        splits["validation"] = splits["train"]
    wrong = []
    if splits and trial_class is not None and hasattr(trial_class, "check_data"):
        wrong = list(_columns(document, config, trial_class, splits))
    yield from wrong
    if not wrong:
        # These checks need the right columns.
        yield from labels.label_findings(config, local)
        yield from local_models.local_model_findings(document, config, trial_class, splits)


def _columns(
    document: Document,
    config: Config,
    trial_class: TrialClass,
    splits: Mapping[str, datasets.Dataset],
) -> Iterator[Finding]:
    # One split at a time, so that errors of both are found.
    for split, rows in splits.items():
        try:
            trial_class.check_data(  # type: ignore[attr-defined]
                datasets.DatasetDict({split: rows}),
                AttrDict(config["hyperparameters"]),
                AttrDict(config["data"]),
            )
        except UserError as error:
            yield document.finding(str(error))
            if not config["data"].get("validation_file"):
                return  # Both splits are of the same file.


def _named_folder(kwargs: Any, config: Config) -> Iterator[Finding]:
    name = kwargs.dataset_name
    if not name or pathlib.Path(name).expanduser().exists() or _hub.is_repo_id(name):
        return
    if not _is_mounted(name, config):
        yield Finding(
            ("data", "dataset_name"), f"data.dataset_name: {_no_folder(name, 'rajpurkar/squad')}"
        )


def _no_folder(name: str, example: str) -> str:
    return (
        f"there is no folder {name!r} (looked in {pathlib.Path.cwd()}); write a folder, or a name "
        f"on the Hugging Face Hub such as {example}"
    )
