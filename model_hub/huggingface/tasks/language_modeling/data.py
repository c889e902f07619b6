"""Datasets of language modeling."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import datasets
import numpy as np
import transformers
from datasets.fingerprint import Hasher

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common import preparation
from model_hub.huggingface.tasks._common.tokenization import sequence_length
from model_hub.huggingface.tasks.language_modeling.collator import ROW
from model_hub.huggingface.tasks.language_modeling.documents import (
    BEGINS,
    is_text_file,
    keeps_line_breaks,
    split_into_documents,
)
from model_hub.huggingface.tasks.language_modeling.features import (
    divide_into_blocks,
    tokenize_lines,
    tokenize_pieces,
    tokenize_texts,
)
from model_hub.huggingface.tasks.language_modeling.rows import check_rows
from model_hub.huggingface.tasks.language_modeling.settings import (
    LanguageModelingDataKwargs,
    MaskedLanguageModelingDataKwargs,
    PermutationLanguageModelingDataKwargs,
)

logger = logging.getLogger("model_hub")


class LanguageModelingDatasets(NamedTuple):
    """The datasets of a language-modeling trial.

    Attributes:
        train: blocks (or lines) of tokens to train on.
        validation: those to validate on, numbered in the column ``row``.
        length: length that batches are padded to; None for the longest row of each.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    length: int | None


def build_datasets(
    raw_datasets: Mapping[str, datasets.Dataset],
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: LanguageModelingDataKwargs,
    config: transformers.PretrainedConfig | None = None,
    sources: Mapping[str, str] | None = None,
) -> LanguageModelingDatasets:
    """Check the rows and make blocks of tokens of them; tokens may come from the cache.

    Args:
        raw_datasets: rows of text, splits ``train`` and ``validation``.
        tokenizer: the tokenizer.
        data_kwargs: section ``data``; its class is that of the objective.
        config: the model's configuration.
        sources: where each split comes from, for messages; see
            :func:`model_hub.huggingface.split_sources`.

    Raises:
        UserError: when lengths, tokenizer or rows are wrong.
    """
    columns = check_rows(raw_datasets, data_kwargs, sources)
    # Blocks are divided after tokenizing; lines are cut with their special tokens.
    texts = 1 if data_kwargs.line_by_line else None
    length = sequence_length(data_kwargs.max_seq_length, tokenizer, config, texts=texts)
    masked = isinstance(data_kwargs, MaskedLanguageModelingDataKwargs)
    permuted = isinstance(data_kwargs, PermutationLanguageModelingDataKwargs)
    if permuted and length % 2:
        length -= 1
        logger.info(
            "blocks have %d tokens: permutation language modeling needs even lengths", length
        )
    _check_objective(data_kwargs, tokenizer, config, length)

    def prepare(split: str) -> datasets.Dataset:
        rows = raw_datasets[split]
        source = preparation.sources_of_splits(sources)[split]
        column = columns[split]
        settings: dict[str, Any] = {
            "column": column,
            # These objectives do not predict special tokens.
            "with_special_tokens_mask": masked or permuted,
        }
        tokenize: Callable[..., dict[str, list[Any]]] = tokenize_texts
        first_rows = None
        if data_kwargs.line_by_line:
            tokenize = tokenize_lines
            settings["max_seq_length"] = length
        else:
            settings["end_with_eos"] = data_kwargs.document_boundaries
        if _has_line_breaks_to_learn(rows, data_kwargs, source):
            if not keeps_line_breaks(tokenizer):
                logger.warning(
                    "%s: the tokenizer has no token for line breaks, so the model cannot learn "
                    "where lines end. If every line is a text of its own, write "
                    "data.document_boundaries: true.",
                    source,
                )
            tokenize = tokenize_pieces
            rows = split_into_documents(
                rows,
                column,
                separator=data_kwargs.separator,
                blank_lines=not data_kwargs.document_boundaries,
            )
            first_rows = np.flatnonzero(rows[BEGINS])
        tokens = preparation.prepare_split(
            rows, tokenize, tokenizer, data_kwargs, f"{split} tokens", **settings
        )
        if not data_kwargs.line_by_line:
            tokens = divide_into_blocks(
                tokens,
                length,
                within_rows=data_kwargs.document_boundaries,
                first_rows=first_rows,
            )
        if len(tokens) == 0:
            raise UserError(f"{source}: there is no text in column {column!r}.")
        logger.info("%s: %d blocks of at most %d tokens", split, len(tokens), length)
        return tokens

    train, validation = prepare("train"), prepare("validation")
    return LanguageModelingDatasets(
        train,
        validation.add_column(
            ROW,
            np.arange(len(validation)),
            new_fingerprint=Hasher.hash((validation._fingerprint, ROW)),
        ),
        length if data_kwargs.pad_to_max_length else None,
    )


def _has_line_breaks_to_learn(
    rows: datasets.Dataset, data_kwargs: LanguageModelingDataKwargs, source: str
) -> bool:
    """Return whether the rows are lines of a text file, and not each a sample or document.

    Raises:
        UserError: when documents are to be divided, but the rows are no lines of a text file.
    """
    if not is_text_file(rows):
        if data_kwargs.document_separator is not None:
            raise UserError(
                f"{source}: data.document_separator is for text files, but here every row is a "
                "document already. Remove it; data.document_boundaries: true marks where "
                "documents end."
            )
        return False
    on_its_own = (
        data_kwargs.line_by_line
        or data_kwargs.document_boundaries
        or data_kwargs.lines_are_documents
    )
    return not (on_its_own and data_kwargs.separator == "line")


def _check_objective(
    data_kwargs: LanguageModelingDataKwargs,
    tokenizer: transformers.PreTrainedTokenizerBase,
    config: transformers.PretrainedConfig | None,
    length: int,
) -> None:
    """Check objective, model and tokenizer, before anything is tokenized."""
    if length < 2:
        raise UserError(
            f"data.max_seq_length is {data_kwargs.max_seq_length}: in blocks of {length} tokens no "
            "token has another one to be predicted from. Write at least 2."
        )
    if isinstance(data_kwargs, PermutationLanguageModelingDataKwargs):
        kind = getattr(config, "model_type", "xlnet")
        if kind != "xlnet":
            raise UserError(
                f"hyperparameters.pretrained_model_name_or_path: the model is of type {kind!r}, "
                "but permutation language modeling needs 'xlnet'. Write for instance "
                "xlnet/xlnet-base-cased, or take the trial for causal or masked language modeling."
            )
        if tokenizer.pad_token_id is None:
            raise UserError(
                "the tokenizer has no padding token, which permutation language modeling needs. "
                "Write hyperparameters.tokenizer_name with the folder of one that has it."
            )
    elif not isinstance(data_kwargs, MaskedLanguageModelingDataKwargs):
        return
    if tokenizer.mask_token_id is None:
        raise UserError(
            "the tokenizer has no mask token, which replaces the tokens that are to be predicted. "
            "Write a model with one (BERT, RoBERTa, XLNet), or take the trial for causal language "
            "modeling."
        )
