"""Checks of the local files that the YAML names: data, and folders with models."""

import contextlib
import inspect
import logging
import pathlib
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import datasets

from model_hub import _hub
from model_hub.check import local_models
from model_hub.check.trial import TrialClass
from model_hub.errors import UserError
from model_hub.experiment.document import Document
from model_hub.experiment.findings import ERROR, WARNING, Finding, finding_at, path_in
from model_hub.experiment.schema.ranges import possible_values
from model_hub.experiment.search_space import pick_hyperparameters
from model_hub.huggingface.config import fields, parsing
from model_hub.huggingface.config.config_findings import is_ours
from model_hub.huggingface.config.model_folders import MODEL_KEYS, is_mounted, no_folder
from model_hub.huggingface.data import load
from model_hub.huggingface.data.files import load_file
from model_hub.huggingface.trial import BaseTransformerTrial
from model_hub.utils import AttrDict

Config = Mapping[str, Any]
Splits = Mapping[str, datasets.Dataset]


def file_findings(
    document: Document, config: Config, trial_class: TrialClass | None, rows: int | None
) -> Iterator[Finding]:
    """Yield what is wrong with files and folders; paths are relative to the working directory.

    Args:
        document: the YAML.
        config: its value; the sections are mappings.
        trial_class: None where it could not be imported.
        rows: read only so many rows of each split; None reads all.
    """
    if is_ours(trial_class):
        yield from _data_files(document, config, trial_class, rows)


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
    document: Document, config: Config, trial_class: TrialClass | None, rows: int | None
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
    yield from _named_folder(kwargs, config)
    files = {"train": kwargs.train_file, "validation": kwargs.validation_file}
    if any(file and _is_elsewhere(file, config) for file in files.values()):
        return
    on_hub = kwargs.dataset_name and not pathlib.Path(kwargs.dataset_name).expanduser().exists()
    if on_hub or not (kwargs.train_file or kwargs.dataset_name) or trial_class is None:
        raw_datasets = yield from _load_alone(config, files)
    else:
        raw_datasets = yield from _load_and_check(config, trial_class, rows)
    if raw_datasets is not None:
        yield from local_models.local_model_findings(document, config, trial_class, raw_datasets)


def _is_elsewhere(file: str | list[str], config: Config) -> bool:
    """Return whether a file is in the container, but not on this machine."""
    names = [file] if isinstance(file, str) else file
    return any(is_mounted(name, config) and not pathlib.Path(name).exists() for name in names)


def _load_alone(
    config: Config, files: Mapping[str, Any]
) -> Generator[Finding, None, Splits | None]:
    """Read the files without the rest of the data, which is not on this machine."""
    splits = {}
    for split, file in files.items():
        if file:
            try:
                splits[split] = load_file(f"data.{split}_file", file)
            except UserError as error:
                yield from _findings(config, error)
    return splits


def _load_and_check(
    config: Config, trial_class: TrialClass, rows: int | None
) -> Generator[Finding, None, Splits | None]:
    """Load and check the data as the training does; return it if nothing is wrong with it."""
    hparams, _ = pick_hyperparameters(config["hyperparameters"], 0)
    data = AttrDict(config["data"])
    if rows is not None:
        for name in ("max_train_samples", "max_eval_samples"):
            data[name] = min(rows, data.get(name) or rows)
    metric = {"metric": config["searcher"].get("metric")}
    warnings: list[str] = []
    try:
        with _logged_warnings(warnings):
            raw_datasets = trial_class.load_data(  # type: ignore[attr-defined]
                AttrDict(hparams), data
            )
            check: Any = trial_class.check_data  # type: ignore[attr-defined]
            # Trials made by an earlier version of `model-hub new` do not take the metric.
            if "metric" not in inspect.signature(check).parameters:
                metric = {}
            check(raw_datasets, AttrDict(hparams), data, **metric)
    except UserError as error:
        yield from _findings(config, error)
        return None
    except Exception as error:  # The trial's own code may raise anything.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        yield Finding(("data",), f"data: the trial's load_data or check_data raised {reason}")
        return None
    for message in warnings:
        yield finding_at(config, message, WARNING)
    found: Splits = raw_datasets
    return found


@contextlib.contextmanager
def _logged_warnings(messages: list[str]) -> Iterator[None]:
    """Add what the library logs as a warning to ``messages`` in place of printing it."""
    logger = logging.getLogger("model_hub")
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _findings(config: Config, error: UserError) -> Iterator[Finding]:
    for message in getattr(error, "problems", [str(error)]):
        yield finding_at(config, message)


def _named_folder(kwargs: Any, config: Config) -> Iterator[Finding]:
    name = kwargs.dataset_name
    if not name or pathlib.Path(name).expanduser().exists() or _hub.is_repo_id(name):
        return
    if not is_mounted(name, config):
        yield Finding(
            ("data", "dataset_name"), f"data.dataset_name: {no_folder(name, 'rajpurkar/squad')}"
        )
