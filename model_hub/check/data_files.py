"""Checks of the local files that the YAML names: data, and folders with models."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import datasets

from model_hub import _hub
from model_hub.check import labels, local_models
from model_hub.check.trial import TrialClass
from model_hub.errors import UserError
from model_hub.experiment.document import Document
from model_hub.experiment.findings import ERROR, WARNING, Finding, finding_at, path_in
from model_hub.experiment.schema.ranges import possible_values
from model_hub.experiment.yaml_io import get_path, is_whole
from model_hub.huggingface.config import fields, parsing
from model_hub.huggingface.config.config_findings import is_ours
from model_hub.huggingface.config.model_folders import MODEL_KEYS, is_mounted, no_folder
from model_hub.huggingface.data import load, preview
from model_hub.huggingface.trial import BaseTransformerTrial
from model_hub.utils import AttrDict

Config = Mapping[str, Any]

_ROWS = 100


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
        yield from _data_files(document, config, trial_class)


def hub_names(config: Config) -> list[str]:
    """Return the names of models and data sets on the Hub, which are not looked up."""
    hparams, data = config["hyperparameters"], config["data"]
    found = [
        value
        for key in MODEL_KEYS
        for _, value in possible_values(hparams.get(key), ("hyperparameters", key))
    ]
    found.append(data.get("dataset_name"))
    names = [name for name in found if isinstance(name, str) and _hub.is_repo_id(name)]
    return [name for name in dict.fromkeys(names) if not pathlib.Path(name).exists()]


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
            path = path_in(config, str(error))
            path = path if path[:1] == ("data",) else ("data",)
            missing = len(path) < 2
            yield Finding(path, str(error).rstrip("."), severity, missing=missing)
    splits: dict[str, datasets.Dataset] = {}
    for split, key in (("train", "train_file"), ("validation", "validation_file")):
        file = getattr(kwargs, key)
        if not file or (is_mounted(file, config) and not pathlib.Path(file).exists()):
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
    if "train" in splits:
        yield from _records(config, kwargs.train_file)
        if not kwargs.validation_file:
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
            yield finding_at(config, str(error))
            if not config["data"].get("validation_file"):
                return  # Both splits are of the same file.


def _named_folder(kwargs: Any, config: Config) -> Iterator[Finding]:
    name = kwargs.dataset_name
    if not name or pathlib.Path(name).expanduser().exists() or _hub.is_repo_id(name):
        return
    if not is_mounted(name, config):
        yield Finding(
            ("data", "dataset_name"), f"data.dataset_name: {no_folder(name, 'rajpurkar/squad')}"
        )


def _records(config: Config, file: str) -> Iterator[Finding]:
    """Yield a warning if the old style's length of an epoch is not that of the data."""
    records, length = config.get("records_per_epoch"), get_path(config, "searcher", "max_length")
    if not isinstance(length, Mapping) or "epochs" not in length:
        return
    rows = preview.row_count("data.train_file", file)
    if rows is None:
        return
    limit = config["data"].get("max_train_samples")
    rows = min(rows, limit) if is_whole(limit, 1) else rows
    if not records:
        yield Finding(
            ("searcher", "max_length"),
            "searcher.max_length is in epochs and records_per_epoch is not set; write "
            f"hyperparameters.num_train_epochs, or records_per_epoch: {rows}",
            WARNING,
        )
    elif records != rows:
        yield Finding(
            ("records_per_epoch",),
            f"records_per_epoch is {records}, but data.train_file {file!r} has {rows} rows; write "
            "the number of samples that the trial makes of them",
            WARNING,
        )
