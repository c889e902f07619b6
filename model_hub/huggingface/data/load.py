"""Loads the data that section `data` of the YAML names."""

import logging
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import datasets

from model_hub import _hub
from model_hub.errors import UserError
from model_hub.huggingface.config.fields import DatasetKwargs
from model_hub.huggingface.config.parsing import parse_dict_to_dataclasses
from model_hub.huggingface.data import files
from model_hub.huggingface.data.data_file import DataFile, ReadOptions, find_files
from model_hub.huggingface.data.problems import Problems
from model_hub.huggingface.data.split import split_rows

logger = logging.getLogger("model_hub")

# Names of data sets in old YAMLs and trials -> names under which the same data can be loaded today.
# conll2003 and conllpp were scripts; the others have moved to their owners.
_MOVED = {
    "conll2003": "tomaarsen/conll2003",
    "conllpp": "tomaarsen/conllpp",
    "glue": "nyu-mll/glue",
    "squad": "rajpurkar/squad",
    "squad_v2": "rajpurkar/squad_v2",
    "swag": "allenai/swag",
    "wikitext": "Salesforce/wikitext",
    "xnli": "facebook/xnli",
}
_VALIDATION_KEYS = (
    "data.validation_file, or data.validation_split_percentage (per cent of the training data to "
    "take for it)"
)


def hub_dataset_name(name: str) -> str:
    """Return today's name of a data set that old YAMLs name differently, unless it is a folder."""
    return name if pathlib.Path(name).exists() else _MOVED.get(name, name)


def load_from_hub(kwargs: DatasetKwargs) -> datasets.DatasetDict:
    """Load all splits of ``data.dataset_name``, a name on the Hub or a folder.

    Raises:
        UserError: if it cannot be loaded, or has no split ``train``.
    """
    name = hub_dataset_name(str(kwargs.dataset_name))
    if name != kwargs.dataset_name:
        logger.info("data.dataset_name: %s is now called %s.", kwargs.dataset_name, name)
    folder = pathlib.Path(name).expanduser()
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(
                name, kwargs.dataset_config_name, revision=kwargs.dataset_revision
            )
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        cause = _root_cause(error) if "generating" in str(error) else error
        reason = _hub.explain_load_error(name, cause)
        advice = (
            "Data sets that are Python scripts can no longer be loaded; write another name, or "
            "data.dataset_revision: refs/convert/parquet."
            if "script" in reason
            else "Write the name of a data set on the Hugging Face Hub that this machine can reach "
            "or has in its cache, or a folder."
        )
        raise UserError(
            f"data.dataset_name: cannot load {name!r}"
            + (f" ({kwargs.dataset_config_name})" if kwargs.dataset_config_name else "")
            + f": {reason}. {advice}"
        ) from error
    if isinstance(loaded, datasets.Dataset):
        loaded = datasets.DatasetDict({"train": loaded})
    if "train" not in loaded:
        raise UserError(f"data.dataset_name: {name!r} has no split 'train', only {sorted(loaded)}.")
    return loaded


def limit_rows(splits: datasets.DatasetDict, kwargs: DatasetKwargs) -> datasets.DatasetDict:
    """Keep the first ``max_train_samples`` and ``max_eval_samples`` rows of the splits.

    Every validation split is limited by itself; splits for neither training nor validation are not.
    """
    limited = datasets.DatasetDict()
    for name, rows in splits.items():
        limit = None
        if name == "train":
            limit = kwargs.max_train_samples
        elif name.startswith("validation"):
            limit = kwargs.max_eval_samples
        limited[name] = rows if limit is None or limit >= len(rows) else rows.select(range(limit))
    return limited


def _root_cause(error: BaseException) -> BaseException:
    """Return the first error of a chain; those that ``datasets`` raises from it say little."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def default_load_dataset(
    data_config: Mapping[str, Any],
    *,
    typed_columns: Collection[str] | None = None,
    label_column: str | None = None,
    contiguous_split: bool = False,
) -> datasets.DatasetDict:
    """Load the data that section ``data`` of the YAML names.

    This is either ``dataset_name`` (a name on the Hugging Face Hub with ``dataset_config_name`` and
    ``dataset_revision``, or a folder written by ``save_to_disk``), or ``train_file`` and
    ``validation_file``: csv, tsv, json, jsonl, parquet, txt or arrow files, also compressed (gz,
    bz2, xz, zst); a path, a pattern, a folder, or a list of these. Beside a ``dataset_name``,
    ``validation_file`` replaces its split ``validation``. Without validation data,
    ``validation_split_percentage`` per cent of the training rows become validation rows and are not
    trained on. Then ``max_train_samples`` and ``max_eval_samples`` keep the first rows.

    Args:
        data_config: section ``data``; keys other than those of ``DatasetKwargs`` are ignored.
        typed_columns: columns of csv files whose types are found (whole numbers, numbers with a
            decimal point); the cells of others are text. None finds the types of all, booleans
            too. A value is never changed: ``007`` is text.
        label_column: column of class labels, which have the same shares in both splits.
        contiguous_split: the first rows become validation rows, not random ones; text files are
            always divided so.

    Returns:
        The splits, ``train`` and ``validation`` among them. A data set with several validation
        splits (MNLI: ``validation_matched`` and ``validation_mismatched``) keeps these instead,
        unless there is a percentage.

    Raises:
        UserError: if no data is named, a file is missing or broken, or there is neither validation
            data nor a percentage.
    """
    (kwargs,) = parse_dict_to_dataclasses((DatasetKwargs,), data_config)
    check_sources(kwargs)
    options = ReadOptions(
        delimiter=kwargs.delimiter,
        quotechar=kwargs.quotechar,
        encoding=kwargs.encoding,
        typed_columns=None if typed_columns is None else tuple(typed_columns),
    )
    named = {"train": kwargs.train_file, "validation": kwargs.validation_file}
    limits = {"train": kwargs.max_train_samples, "validation": kwargs.max_eval_samples}
    if kwargs.validation_split_percentage is not None and not kwargs.validation_file:
        limits.pop("train")
    max_rows = {split: limit for split, limit in limits.items() if limit is not None}
    found: dict[str, list[DataFile]] = {}
    splits = datasets.DatasetDict()
    with Problems() as problems:
        for split, names in named.items():
            if names:
                with problems.part():
                    found[split] = find_files(f"data.{split}_file", names)
        if kwargs.dataset_name:
            with problems.part():
                splits.update(load_from_hub(kwargs))
        if found:
            splits.update(files.load_files(found, options, max_rows))
    others = any(name.startswith("validation_") for name in splits)
    percentage = kwargs.validation_split_percentage
    if "validation" not in splits and (percentage is not None or not others):
        is_text = any(file.format == "text" for file in found.get("train", []))
        splits["train"], splits["validation"] = split_rows(
            splits["train"],
            _check_percentage(percentage),
            seed=kwargs.validation_split_seed,
            contiguous=contiguous_split or is_text,
            label_column=label_column,
            group_column=kwargs.group_column,
        )
    return limit_rows(splits, kwargs)


def check_sources(kwargs: DatasetKwargs) -> None:
    """Check that the settings name training data once, and validation data if it is in a file.

    Raises:
        UserError: if they do not.
    """
    if kwargs.dataset_name and kwargs.train_file:
        raise UserError(
            "data.dataset_name and data.train_file are both set; remove one of them (an old file "
            "may say dataset_name: null)."
        )
    if not kwargs.dataset_name and not kwargs.train_file:
        raise UserError(
            "section data names no data: write data.dataset_name (a data set on the Hugging Face "
            "Hub or a folder) or data.train_file (and data.validation_file)."
        )
    if kwargs.train_file and not kwargs.validation_file:
        _check_percentage(kwargs.validation_split_percentage)


def check_splits(raw_datasets: Mapping[str, datasets.Dataset]) -> None:
    """Check that there is a split ``validation``.

    Args:
        raw_datasets: the result of :func:`default_load_dataset`.

    Raises:
        UserError: if there is none, as in a data set with several validation splits.
    """
    if "validation" not in raw_datasets:
        found = f"there is no split 'validation', only {sorted(raw_datasets)}"
        raise UserError(f"data.dataset_name: {found}. Write {_VALIDATION_KEYS}.")


def _check_percentage(percentage: float | None) -> float:
    if percentage is None:
        raise UserError(f"there is no validation data: write {_VALIDATION_KEYS}.")
    if not 0 < percentage < 100:
        raise UserError(
            f"data.validation_split_percentage is {percentage}, but should be between 0 and 100."
        )
    return percentage
