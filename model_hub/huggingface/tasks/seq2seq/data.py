"""Datasets of sequence-to-sequence tasks."""

from collections.abc import Mapping
from typing import NamedTuple

import datasets
import numpy as np
import transformers

from model_hub.huggingface.data import load
from model_hub.huggingface.tasks._common import preparation
from model_hub.huggingface.tasks.seq2seq import metrics
from model_hub.huggingface.tasks.seq2seq.features import prepare_features
from model_hub.huggingface.tasks.seq2seq.rows import find_columns, language_codes, mark_languages
from model_hub.huggingface.tasks.seq2seq.settings import (
    Seq2SeqDataKwargs,
    TranslationDataKwargs,
    source_length,
)

#: Column of validation batches with the row numbers, by which the reducer finds references.
ROW_COLUMN = "row"


class Seq2SeqDatasets(NamedTuple):
    """The datasets of a summarization or translation trial.

    Attributes:
        train: features to train on.
        validation: features to validate on, with their row number in ``row``.
        references: the validation rows that the features were made of.
        target_column: column of these with the reference texts.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    references: datasets.Dataset
    target_column: str


def build_datasets(
    raw_datasets: Mapping[str, datasets.Dataset],
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: Seq2SeqDataKwargs,
    model_config: transformers.PretrainedConfig | None = None,
    *,
    dataset_name: str | None = None,
    sources: Mapping[str, str] | None = None,
) -> Seq2SeqDatasets:
    """Check the rows and make features of them, or read these from the cache.

    Args:
        raw_datasets: splits ``train`` and ``validation``.
        tokenizer: the tokenizer.
        data_kwargs: section ``data``, of summarization or of translation.
        model_config: the model's configuration, for the most tokens that it takes.
        dataset_name: ``data.dataset_name``, for the columns of known datasets.
        sources: where each split comes from, for messages; see
            :func:`model_hub.huggingface.split_sources`.

    Raises:
        UserError: when lengths, columns or languages are wrong, or the package that computes the
            metric is not installed.
    """
    load.check_splits(raw_datasets)
    # Fail before the preparation, not after it, if the package is missing.
    if isinstance(data_kwargs, TranslationDataKwargs):
        metrics.bleu_scorer()
    else:
        metrics.rouge_scorer()
    max_source_length = source_length(data_kwargs, tokenizer, model_config)
    rows, columns = find_columns(
        {name: raw_datasets[name] for name in ("train", "validation")},
        data_kwargs,
        dataset_name,
        sources,
    )
    languages = language_codes(tokenizer, data_kwargs)
    # Already here, since the tokenizer's state is part of the cache's key.
    mark_languages(tokenizer, languages)

    def prepare(split: str, max_target_length: int) -> datasets.Dataset:
        return preparation.prepare_split(
            rows[split],
            prepare_features,
            tokenizer,
            data_kwargs,
            f"{split} features",
            source_column=columns.source,
            target_column=columns.target,
            max_source_length=max_source_length,
            max_target_length=max_target_length,
            source_prefix=data_kwargs.source_prefix or "",
            pad_to_max_length=data_kwargs.pad_to_max_length,
            languages=languages,
        )

    validation = prepare("validation", data_kwargs.generated_length)
    return Seq2SeqDatasets(
        prepare("train", data_kwargs.max_target_length),
        validation.add_column(ROW_COLUMN, np.arange(len(validation))),
        rows["validation"],
        columns.target,
    )
