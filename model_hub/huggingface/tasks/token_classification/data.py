"""Datasets and collator of token classification."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import datasets
import pyarrow.compute as pc
import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.data.prepare import prepare_dataset
from model_hub.huggingface.tasks._common.padding import pad_rows, side_to_pad
from model_hub.huggingface.tasks._common.tokenization import sequence_length
from model_hub.huggingface.tasks.token_classification.features import prepare_features
from model_hub.huggingface.tasks.token_classification.rows import (
    Tagging,
    TokenClassificationDataKwargs,
)

logger = logging.getLogger("model_hub")


@dataclasses.dataclass
class TokenClassificationCollator:
    """Makes a batch of a list of features, padded to the longest of them.

    Attributes:
        tokenizer: tells padding values and, by ``side_to_pad``, their side; it need not have a
            padding token.
    """

    tokenizer: transformers.PreTrainedTokenizerBase

    def __post_init__(self) -> None:
        self._side = side_to_pad(self.tokenizer)

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch: int64 tensors, ``[batch, length]``; padding has the label -100."""
        return pad_rows(features, self.tokenizer, padding_side=self._side)


class TokenClassificationDatasets(NamedTuple):
    """What a token-classification trial trains and validates on.

    Attributes:
        train: features to train on.
        validation: features to validate on.
    """

    train: datasets.Dataset
    validation: datasets.Dataset


def build_datasets(
    raw_datasets: Mapping[str, datasets.Dataset],
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: TokenClassificationDataKwargs,
    tagging: Tagging,
    model_config: transformers.PretrainedConfig | None = None,
) -> TokenClassificationDatasets:
    """Makes features of the rows; what was made before comes from the cache.

    Words that the model does not get to see, because their sentence is longer than a sequence or
    the tokenizer makes nothing of them, are counted in a warning: metrics are without them.

    Args:
        raw_datasets: rows as loaded, splits ``train`` and ``validation``.
        tokenizer: a fast tokenizer.
        data_kwargs: section ``data``.
        tagging: what :func:`read_tagging` found, with the labels in the model's order.
        model_config: tells how many tokens the model takes.

    Raises:
        UserError: when tokenizer and settings do not go together, or no row is left.
    """
    if not tokenizer.is_fast:
        raise UserError(
            f"{type(tokenizer).__name__} is a tokenizer in pure Python, which does not tell which "
            "word a token belongs to; token classification needs that. Write in "
            "hyperparameters.tokenizer_name a tokenizer that has a file tokenizer.json."
        )
    if data_kwargs.pad_to_max_length and tokenizer.pad_token_id is None:
        raise UserError(
            "data.pad_to_max_length is true, but the tokenizer has no padding token. Write "
            "data.pad_to_max_length: false; batches are then padded to their longest sequence."
        )
    if len(tagging.labels) < 2:
        raise UserError(
            f"there is only the label {tagging.labels[0]!r}, so that there is nothing to tell "
            f"apart. Column {tagging.tags_column} should hold at least two labels."
        )
    length = sequence_length(data_kwargs.max_seq_length, tokenizer, model_config, texts=1)

    def prepare(split: str) -> datasets.Dataset:
        rows = raw_datasets[split]
        features = prepare_dataset(
            rows,
            prepare_features,
            tokenizer=tokenizer,
            num_proc=data_kwargs.preprocessing_num_workers,
            overwrite_cache=data_kwargs.overwrite_cache,
            description=f"{split} features",
            max_seq_length=length,
            pad_to_max_length=data_kwargs.pad_to_max_length,
            label_all_tokens=data_kwargs.label_all_tokens,
            tokens_column=tagging.tokens_column,
            tags_column=tagging.tags_column,
            labels=tagging.labels,
            names=tagging.names,
        )
        if "words" not in features.column_names:
            # Rows of which nothing is left are dropped; then the columns are still the raw ones.
            raise UserError(
                f"{split} data: no row has a word that fits into {length} tokens, special tokens "
                "included. Write a larger data.max_seq_length, or look at the words in column "
                f"{tagging.tokens_column}."
            )
        words = rows.with_format("arrow", columns=[tagging.tags_column])[:].column(0)
        total = pc.sum(pc.list_value_length(words)).as_py() or 0
        seen = pc.sum(features.with_format("arrow", columns=["words"])[:].column(0)).as_py() or 0
        if seen < total:
            logger.warning(
                "%s data: %d of %d words are left out, in sentences longer than %d tokens "
                "(data.max_seq_length) or because the tokenizer makes no token of them.",
                split,
                total - seen,
                total,
                length,
            )
        return features

    return TokenClassificationDatasets(prepare("train"), prepare("validation"))
