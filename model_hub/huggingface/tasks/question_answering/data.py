"""Datasets of question answering."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import datasets
import transformers

from model_hub.huggingface.config.parsing import parse_dict_to_dataclasses
from model_hub.huggingface.data import load
from model_hub.huggingface.data.columns import rename_columns
from model_hub.huggingface.data.problems import Problems
from model_hub.huggingface.tasks._common import preparation
from model_hub.huggingface.tasks._common.tokenization import model_max_length
from model_hub.huggingface.tasks.question_answering.features import (
    number_features,
    prepare_train_features,
    prepare_validation_features,
)
from model_hub.huggingface.tasks.question_answering.rows import (
    NEEDED_COLUMNS,
    check_columns,
    check_ids,
    drop_misaligned_answers,
)
from model_hub.huggingface.tasks.question_answering.settings import (
    QuestionAnsweringDataKwargs,
    check_lengths,
)


class QuestionAnsweringDatasets(NamedTuple):
    """The datasets of a question-answering trial.

    Attributes:
        train: features to train on.
        validation: features to validate on, with ``feature_id`` and what the reducer reads.
        examples: the flat validation rows that the features were made of.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    examples: datasets.Dataset


def load_rows(data_config: Mapping[str, Any]) -> datasets.DatasetDict:
    """Load the data, with the columns ``id``, ``context``, ``question`` and ``answers``.

    Args:
        data_config: section ``data``; see :class:`QuestionAnsweringDataKwargs`.

    Raises:
        UserError: as :func:`model_hub.huggingface.default_load_dataset`, or when there is no column
            of a name that the YAML gives.
    """
    (kwargs,) = parse_dict_to_dataclasses((QuestionAnsweringDataKwargs,), data_config)
    names = kwargs.column_names(NEEDED_COLUMNS)
    return rename_columns(preparation.load_text_rows(data_config), names)


def check_rows(
    raw_datasets: Mapping[str, datasets.Dataset],
    data_kwargs: QuestionAnsweringDataKwargs,
    sources: Mapping[str, str] | None = None,
) -> dict[str, datasets.Dataset]:
    """Check all rows before anything is tokenized.

    Args:
        raw_datasets: rows as loaded, splits ``train`` and ``validation``.
        data_kwargs: section ``data``.
        sources: where each split comes from, for messages.

    Returns:
        The splits, without training rows whose answer is not at its position.

    Raises:
        UserError: naming everything that is wrong.
    """
    load.check_splits(raw_datasets)
    where = preparation.sources_of_splits(sources)
    with Problems() as problems:
        for split, source in where.items():
            with problems.part():
                check_columns(raw_datasets[split], source, data_kwargs.version_2_with_negative)
                if split == "validation":
                    check_ids(raw_datasets[split], source)
    train = drop_misaligned_answers(raw_datasets["train"], where["train"])
    return {"train": train, "validation": raw_datasets["validation"]}


def build_datasets(
    raw_datasets: Mapping[str, datasets.Dataset],
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: QuestionAnsweringDataKwargs,
    model_config: transformers.PretrainedConfig | None = None,
    sources: Mapping[str, str] | None = None,
    *,
    beam_search: bool = False,
) -> QuestionAnsweringDatasets:
    """Check the rows and make features of them, or read these from the cache.

    Args:
        raw_datasets: flat SQuAD rows, splits ``train`` and ``validation``.
        tokenizer: a fast tokenizer.
        data_kwargs: section ``data``.
        model_config: the model's configuration, for the most tokens that it takes.
        sources: where each split comes from, for messages; see
            :func:`model_hub.huggingface.split_sources`.
        beam_search: the model has a beam-search head: training features also have the columns of
            context and CLS token, for :class:`BeamSearchCollator`.

    Raises:
        UserError: when lengths or rows are wrong.
    """
    check_lengths(tokenizer, data_kwargs, model_max_length(model_config))
    rows = check_rows(raw_datasets, data_kwargs, sources)

    def prepare(
        rows: datasets.Dataset, function: Callable[..., Any], description: str, **settings: Any
    ) -> datasets.Dataset:
        return preparation.prepare_split(
            rows,
            function,
            tokenizer,
            data_kwargs,
            description,
            max_seq_length=data_kwargs.max_seq_length,
            doc_stride=data_kwargs.doc_stride,
            pad_to_max_length=data_kwargs.pad_to_max_length,
            **settings,
        )

    examples = rows["validation"]
    return QuestionAnsweringDatasets(
        prepare(
            rows["train"], prepare_train_features, "training features", with_places=beam_search
        ),
        number_features(prepare(examples, prepare_validation_features, "validation features")),
        examples,
    )
