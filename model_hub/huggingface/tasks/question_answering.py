"""Question answering on SQuAD-like data: settings, features, batches, metrics, and asking."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import datasets
import transformers

from model_hub.huggingface import _data
from model_hub.huggingface.tasks import _batches
from model_hub.huggingface.tasks._ask import Answer, answer_questions
from model_hub.huggingface.tasks._batches import QuestionAnsweringCollator, pop_feature_columns
from model_hub.huggingface.tasks._beams import (
    BeamSearchCollator,
    BeamSearchReducer,
    select_n_best_beams,
)
from model_hub.huggingface.tasks._lengths import model_max_length
from model_hub.huggingface.tasks._spans import SpanCandidates, select_n_best_spans
from model_hub.huggingface.tasks._squad_metrics import squad_v1_metrics, squad_v2_metrics
from model_hub.huggingface.tasks._squad_reducer import QuestionAnsweringReducer
from model_hub.huggingface.tasks._squad_rows import check_columns, drop_misaligned_answers
from model_hub.huggingface.tasks._squad_settings import (
    QuestionAnsweringDataKwargs,
    check_lengths,
)
from model_hub.huggingface.tasks._windows import (
    number_features,
    prepare_train_features,
    prepare_validation_features,
)

__all__ = [
    "FEATURE_COLUMNS",
    "Answer",
    "BeamSearchCollator",
    "BeamSearchReducer",
    "QuestionAnsweringCollator",
    "QuestionAnsweringDataKwargs",
    "QuestionAnsweringDatasets",
    "QuestionAnsweringReducer",
    "SpanCandidates",
    "answer_questions",
    "build_datasets",
    "check_columns",
    "check_lengths",
    "drop_misaligned_answers",
    "number_features",
    "pop_feature_columns",
    "prepare_train_features",
    "prepare_validation_features",
    "select_n_best_beams",
    "select_n_best_spans",
    "squad_v1_metrics",
    "squad_v2_metrics",
]

#: Columns of a validation batch that the reducer reads and the model does not take.
FEATURE_COLUMNS = _batches.FEATURE_COLUMNS


class QuestionAnsweringDatasets(NamedTuple):
    """What a question-answering trial trains and validates on.

    Attributes:
        train: features to train on.
        validation: features to validate on, with ``feature_id`` and what the reducer reads.
        examples: the flat validation rows that the features were made of.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    examples: datasets.Dataset


def build_datasets(
    raw_datasets: Mapping[str, datasets.Dataset],
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: QuestionAnsweringDataKwargs,
    model_config: transformers.PretrainedConfig | None = None,
    sources: Mapping[str, str] | None = None,
    *,
    beam_search: bool = False,
) -> QuestionAnsweringDatasets:
    """Checks the rows and makes features of them; what was made before comes from the cache.

    Args:
        raw_datasets: flat SQuAD rows, splits ``train`` and ``validation``.
        tokenizer: a fast tokenizer.
        data_kwargs: section ``data``.
        model_config: tells how many tokens the model takes.
        sources: where each split comes from, for messages; see
            :func:`model_hub.huggingface.split_sources`.
        beam_search: the model has a beam-search head: training features also tell where context
            and CLS token are, for :class:`BeamSearchCollator`.

    Raises:
        UserError: when lengths or rows are not as they should be.
    """
    _data.check_splits(raw_datasets)
    check_lengths(tokenizer, data_kwargs, model_max_length(model_config))
    for split in ("train", "validation"):
        check_columns(raw_datasets[split], (sources or {}).get(split, f"split {split!r}"))

    def prepare(
        rows: datasets.Dataset, function: Any, description: str, **settings: Any
    ) -> datasets.Dataset:
        return _data.prepare_dataset(
            rows,
            function,
            tokenizer=tokenizer,
            num_proc=data_kwargs.preprocessing_num_workers,
            overwrite_cache=data_kwargs.overwrite_cache,
            description=description,
            max_seq_length=data_kwargs.max_seq_length,
            doc_stride=data_kwargs.doc_stride,
            pad_to_max_length=data_kwargs.pad_to_max_length,
            **settings,
        )

    examples = raw_datasets["validation"]
    train_rows = drop_misaligned_answers(raw_datasets["train"])
    return QuestionAnsweringDatasets(
        prepare(train_rows, prepare_train_features, "training features", with_places=beam_search),
        number_features(prepare(examples, prepare_validation_features, "validation features")),
        examples,
    )
