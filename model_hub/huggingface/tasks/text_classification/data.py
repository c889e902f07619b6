"""Datasets of text classification."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import datasets
import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.config.parsing import parse_dict_to_dataclasses
from model_hub.huggingface.data.columns import rename_columns
from model_hub.huggingface.data.load import default_load_dataset, hub_dataset_name
from model_hub.huggingface.tasks._common import preparation
from model_hub.huggingface.tasks._common.reducers import log_baseline_metrics
from model_hub.huggingface.tasks._common.tokenization import sequence_length
from model_hub.huggingface.tasks.text_classification.features import prepare_features
from model_hub.huggingface.tasks.text_classification.reducer import (
    ClassificationReducer,
    RegressionReducer,
)
from model_hub.huggingface.tasks.text_classification.rows import LABEL
from model_hub.huggingface.tasks.text_classification.settings import TextClassificationDataKwargs
from model_hub.huggingface.tasks.text_classification.task import TextClassificationTask

#: Column of validation batches with the number of the split, if there are several splits.
SPLIT_COLUMN = "validation_split"


class TextClassificationDatasets(NamedTuple):
    """The datasets of a text-classification trial.

    Attributes:
        train: features to train on.
        validation: features of all validation splits, concatenated; if there are several,
            :data:`SPLIT_COLUMN` has the number of the split.
    """

    train: datasets.Dataset
    validation: datasets.Dataset


def load_glue(data_config: Mapping[str, Any], finetuning_task: str | None) -> datasets.DatasetDict:
    """Load a GLUE task, or the user's data.

    Args:
        data_config: section ``data``. For ``dataset_name: nyu-mll/glue`` (or its old name
            ``glue``), ``dataset_config_name`` is the task's name by default.
        finetuning_task: ``hyperparameters.finetuning_task``.

    Raises:
        UserError: as :func:`model_hub.huggingface.default_load_dataset`; and when
            ``dataset_config_name`` is another task.
    """
    name = hub_dataset_name(str(data_config.get("dataset_name")))
    if name != "nyu-mll/glue":
        return _load(data_config)
    part = data_config.get("dataset_config_name")
    if part and finetuning_task and part != finetuning_task:
        raise UserError(
            f"data.dataset_config_name is {part!r}, but hyperparameters.finetuning_task is "
            f"{finetuning_task!r}; write the same name in both."
        )
    return _load(
        {
            **data_config,
            "dataset_name": name,
            "dataset_config_name": part or finetuning_task,
            # Every task of GLUE has validation data, MNLI in two splits of other names.
            "validation_split_percentage": None,
        }
    )


def load_xnli(data_config: Mapping[str, Any]) -> datasets.DatasetDict:
    """Load XNLI, with one language for training and one for validation, or local files.

    Args:
        data_config: section ``data``. Each language is a configuration of the dataset
            ``dataset_name`` (None takes ``facebook/xnli``). With ``train_file`` the languages are
            those of the files.

    Raises:
        UserError: when the language is missing, or as
            :func:`model_hub.huggingface.default_load_dataset`.
    """
    if data_config.get("train_file"):
        return _load(data_config)
    language = data_config.get("language")
    train_language = data_config.get("train_language") or language
    if not train_language or not (language or data_config.get("validation_file")):
        raise UserError(
            "data.language is missing: the language to validate on, for instance de "
            "(data.train_language is the one to train on, if it is different)."
        )
    name = hub_dataset_name(data_config.get("dataset_name") or "facebook/xnli")

    def load(part: str) -> datasets.DatasetDict:
        return _load({**data_config, "dataset_name": name, "dataset_config_name": part})

    train = load(train_language)
    if train_language == language or data_config.get("validation_file"):
        return train
    validation = load(str(language))["validation"]
    return datasets.DatasetDict({"train": train["train"], "validation": validation})


def _load(data_config: Mapping[str, Any]) -> datasets.DatasetDict:
    """Load the data; the column that the YAML names as that of labels becomes ``label``."""
    (kwargs,) = parse_dict_to_dataclasses((TextClassificationDataKwargs,), data_config)
    column = kwargs.label_column or LABEL
    loaded = default_load_dataset(data_config, typed_columns=[column], label_column=column)
    return rename_columns(loaded, {"label_column": (column, LABEL)})


def build_datasets(
    raw_datasets: Mapping[str, datasets.Dataset],
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: TextClassificationDataKwargs,
    task: TextClassificationTask,
    model_config: transformers.PretrainedConfig | None = None,
) -> TextClassificationDatasets:
    """Make features of the rows, or read these from the cache.

    Args:
        raw_datasets: rows that :func:`find_task` has checked.
        tokenizer: the tokenizer.
        data_kwargs: section ``data``.
        task: the task, with the numbers of the model's outputs.
        model_config: the model's configuration, for the most tokens that it takes.

    Raises:
        UserError: when ``max_seq_length`` is more than tokenizer or model take.
    """
    length = sequence_length(
        data_kwargs.max_seq_length, tokenizer, model_config, texts=len(task.text_columns)
    )

    def prepare(split: str) -> datasets.Dataset:
        return preparation.prepare_split(
            # Other columns would give their types to features of the same name.
            raw_datasets[split].select_columns([*task.text_columns, LABEL]),
            prepare_features,
            tokenizer,
            data_kwargs,
            f"{split} features",
            text_columns=task.text_columns,
            label_numbers=tuple(task.label_numbers.items()),
            max_seq_length=length,
            pad_to_max_length=data_kwargs.pad_to_max_length,
        )

    splits = [prepare(split) for split in task.validation_splits]
    if len(splits) > 1:
        splits = [rows.add_column(SPLIT_COLUMN, [n] * len(rows)) for n, rows in enumerate(splits)]
    return TextClassificationDatasets(prepare("train"), datasets.concatenate_datasets(splits))


def build_reducer(task: TextClassificationTask) -> ClassificationReducer | RegressionReducer:
    """Return the reducer that computes the task's metrics."""
    if task.is_regression:
        return RegressionReducer(task.metrics)
    return ClassificationReducer(task.num_labels, task.metrics, task.positive, task.metric_suffixes)


def log_majority_baseline(
    task: TextClassificationTask, prepared: TextClassificationDatasets
) -> dict[str, float]:
    """Log and return the metrics of always predicting the most frequent training label.

    For regression it is the mean of the training labels, whose correlation is not defined (NaN).
    """
    train, labels = (_column(rows, "labels") for rows in prepared)
    if task.is_regression:
        reducer = RegressionReducer(task.metrics)
        reducer.update(train.double().mean().expand(len(labels)), labels)
        description = f"always {train.double().mean():.4f}, the mean of the training labels"
        metrics = reducer.cross_slot_reduce([reducer.per_slot_reduce()])
    else:
        counter = ClassificationReducer(
            task.num_labels, task.metrics, task.positive, task.metric_suffixes
        )
        most = torch.bincount(train, minlength=task.num_labels).argmax()
        split = _column(prepared.validation, SPLIT_COLUMN)
        counter.count(most.expand(len(labels)), labels, split if len(split) else None)
        name = task.label_names[int(most)]
        description = f"always the most frequent label of the training data, {name!r}"
        metrics = counter.cross_slot_reduce([counter.per_slot_reduce()])
    log_baseline_metrics(description, metrics)
    return metrics


def _column(rows: datasets.Dataset, name: str) -> torch.Tensor:
    """Return a column of numbers, empty if it does not exist."""
    if name not in rows.column_names:
        return torch.empty(0, dtype=torch.int64)
    column = rows.with_format("arrow", columns=[name])[:].column(name)
    return torch.from_numpy(column.to_numpy().copy())
