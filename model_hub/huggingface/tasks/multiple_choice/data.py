"""Datasets of multiple choice, and its baselines."""

from collections.abc import Mapping
from typing import Any

import datasets
import numpy as np
import transformers

from model_hub.huggingface.config.parsing import parse_dict_to_dataclasses
from model_hub.huggingface.data import load
from model_hub.huggingface.data.columns import rename_columns
from model_hub.huggingface.data.problems import Problems
from model_hub.huggingface.tasks._common import preparation, reducers
from model_hub.huggingface.tasks._common.padding import check_padding_token
from model_hub.huggingface.tasks._common.tokenization import sequence_length
from model_hub.huggingface.tasks.multiple_choice.features import prepare_features
from model_hub.huggingface.tasks.multiple_choice.rows import (
    check_rows,
    ending_columns,
    filled_endings,
    right_endings,
)
from model_hub.huggingface.tasks.multiple_choice.settings import MultipleChoiceDataKwargs

#: The datasets of a trial.
MultipleChoiceDatasets = preparation.PreparedDatasets


def load_rows(data_config: Mapping[str, Any]) -> datasets.DatasetDict:
    """Load the data, with the columns ``sent1``, ``sent2``, ``ending0``, ... and ``label``.

    Args:
        data_config: section ``data``; see :class:`MultipleChoiceDataKwargs`.

    Raises:
        UserError: as :func:`model_hub.huggingface.default_load_dataset`, or when there is no column
            of a name that the YAML gives.
    """
    (kwargs,) = parse_dict_to_dataclasses((MultipleChoiceDataKwargs,), data_config)
    label = kwargs.label_column or "label"
    loaded = load.default_load_dataset(data_config, typed_columns=[label], label_column=label)
    return rename_columns(loaded, kwargs.column_names())


def check_splits(
    raw_datasets: Mapping[str, datasets.Dataset], sources: Mapping[str, str] | None = None
) -> None:
    """Check all rows before anything is tokenized.

    Args:
        raw_datasets: rows as loaded, splits ``train`` and ``validation``.
        sources: where each split comes from, for messages.

    Raises:
        UserError: naming everything that is wrong.
    """
    load.check_splits(raw_datasets)
    with Problems() as problems:
        for split, source in preparation.sources_of_splits(sources).items():
            with problems.part():
                check_rows(raw_datasets[split], source)


def build_datasets(
    raw_datasets: Mapping[str, datasets.Dataset],
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: MultipleChoiceDataKwargs,
    model_config: transformers.PretrainedConfig | None = None,
    sources: Mapping[str, str] | None = None,
) -> MultipleChoiceDatasets:
    """Check the rows and make features of them, or read these from the cache.

    Args:
        raw_datasets: rows as loaded, splits ``train`` and ``validation``.
        tokenizer: the tokenizer.
        data_kwargs: section ``data``.
        model_config: the model's configuration, for the most tokens that it takes.
        sources: where each split comes from, for messages; see
            :func:`model_hub.huggingface.split_sources`.

    Raises:
        UserError: when rows, tokenizer or settings are wrong.
    """
    check_padding_token(tokenizer, data_kwargs.pad_to_max_length)
    length = sequence_length(data_kwargs.max_seq_length, tokenizer, model_config, texts=2)
    check_splits(raw_datasets, sources)

    def prepare(split: str) -> datasets.Dataset:
        rows = raw_datasets[split]
        return preparation.prepare_split(
            rows,
            prepare_features,
            tokenizer,
            data_kwargs,
            f"{split} features",
            endings=ending_columns(rows.column_names),
            max_seq_length=length,
            pad_to_max_length=data_kwargs.pad_to_max_length,
        )

    return MultipleChoiceDatasets(prepare("train"), prepare("validation"))


def log_baselines(raw_datasets: Mapping[str, datasets.Dataset]) -> dict[str, float]:
    """Log what predictions without reading score on the validation data.

    Args:
        raw_datasets: rows that :func:`check_rows` has checked.

    Returns:
        ``first``, the accuracy of the first ending of each row, and ``frequent``, that of the
        ending that is most often right in the training rows.
    """
    labels = right_endings(raw_datasets["validation"])
    first = filled_endings(raw_datasets["validation"]).argmax(axis=1)
    frequent = int(np.bincount(right_endings(raw_datasets["train"])).argmax())
    accuracies = {
        "first": float((labels == first).mean()),
        "frequent": float((labels == frequent).mean()),
    }
    reducers.log_baseline_metrics("always the first ending", {"accuracy": accuracies["first"]})
    reducers.log_baseline_metrics(
        f"always ending{frequent}, most often right in the training data",
        {"accuracy": accuracies["frequent"]},
    )
    return accuracies
