"""Datasets of token classification."""

import logging
from collections.abc import Mapping

import datasets
import pyarrow.compute as pc
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common import preparation
from model_hub.huggingface.tasks._common.padding import check_padding_token
from model_hub.huggingface.tasks._common.tokenization import check_fast_tokenizer, sequence_length
from model_hub.huggingface.tasks.token_classification.features import prepare_features
from model_hub.huggingface.tasks.token_classification.rows import TaggingSchema
from model_hub.huggingface.tasks.token_classification.settings import TokenClassificationDataKwargs

logger = logging.getLogger("model_hub")


#: The datasets of a trial.
TokenClassificationDatasets = preparation.PreparedDatasets


def build_datasets(
    raw_datasets: Mapping[str, datasets.Dataset],
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: TokenClassificationDataKwargs,
    tagging: TaggingSchema,
    model_config: transformers.PretrainedConfig | None = None,
) -> TokenClassificationDatasets:
    """Make features of the rows, or read these from the cache.

    A warning gives the number of words that have no token because their sentence was cut or the
    tokenizer drops them: the metrics do not cover them.

    Args:
        raw_datasets: rows as loaded, splits ``train`` and ``validation``.
        tokenizer: a fast tokenizer.
        data_kwargs: section ``data``.
        tagging: the result of :func:`read_tagging`, with the labels in the model's order.
        model_config: the model's configuration, for the most tokens that it takes.

    Raises:
        UserError: when tokenizer and settings do not fit together, or no row is left.
    """
    check_fast_tokenizer(tokenizer, "the word that each token belongs to")
    check_padding_token(tokenizer, data_kwargs.pad_to_max_length)
    length = sequence_length(data_kwargs.max_seq_length, tokenizer, model_config, texts=1)

    def prepare(split: str) -> datasets.Dataset:
        rows = raw_datasets[split]
        features = preparation.prepare_split(
            rows,
            prepare_features,
            tokenizer,
            data_kwargs,
            f"{split} features",
            max_seq_length=length,
            pad_to_max_length=data_kwargs.pad_to_max_length,
            label_all_tokens=data_kwargs.label_all_tokens,
            tokens_column=tagging.tokens_column,
            tags_column=tagging.tags_column,
            labels=tagging.labels,
            names=tagging.names,
        )
        if "words" not in features.column_names:
            # If all rows are dropped, the columns are still the raw ones.
            raise UserError(
                f"{split} data: no row has a word that fits into {length} tokens (with special "
                "tokens). Write a larger data.max_seq_length, or check the words in column "
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
