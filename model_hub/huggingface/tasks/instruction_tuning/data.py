"""Datasets of instruction tuning."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import datasets
import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.data import load
from model_hub.huggingface.tasks._common import preparation
from model_hub.huggingface.tasks._common.model_checks import check_next_token_model, check_packing
from model_hub.huggingface.tasks._common.tokenization import (
    NO_LIMIT,
    check_fast_tokenizer,
    sequence_length,
)
from model_hub.huggingface.tasks.instruction_tuning.collator import PackedConversations
from model_hub.huggingface.tasks.instruction_tuning.features import tokenize_conversations
from model_hub.huggingface.tasks.instruction_tuning.formats import TEXT, ChatFormat
from model_hub.huggingface.tasks.instruction_tuning.rows import check_conversations
from model_hub.huggingface.tasks.instruction_tuning.settings import (
    InstructionTuningDataKwargs,
    set_chat_template,
)

logger = logging.getLogger("model_hub")

_ROWS_AT_A_TIME = 1000


class InstructionTuningDatasets(NamedTuple):
    """The datasets of an instruction-tuning trial.

    Attributes:
        train: conversations as tokens, ``input_ids`` and ``labels``.
        validation: the same for validation.
        sequences: rows of the training loader: ``train``, or sequences packed of it.
        length: tokens of the longest sequence.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    sequences: datasets.Dataset
    length: int


def build_datasets(
    raw_datasets: Mapping[str, datasets.Dataset],
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: InstructionTuningDataKwargs,
    config: transformers.PretrainedConfig | None = None,
    sources: Mapping[str, str] | None = None,
) -> InstructionTuningDatasets:
    """Check the conversations and tokenize them, or read the tokens from the cache.

    Args:
        raw_datasets: splits ``train`` and ``validation``, with a column of conversations.
        tokenizer: a fast tokenizer; its chat template becomes the YAML's, if there is one.
        data_kwargs: section ``data``.
        config: the model's configuration, for the most tokens that it takes.
        sources: where each split comes from, for messages; see
            :func:`model_hub.huggingface.split_sources`.

    Raises:
        UserError: when lengths, template or rows are wrong, or no conversation is left.
    """
    load.check_splits(raw_datasets)
    length = sequence_length(data_kwargs.max_seq_length, tokenizer, config)
    check_fast_tokenizer(tokenizer, "the positions of its tokens in the text")
    where = preparation.sources_of_splits(sources)
    layouts = {
        split: check_conversations(
            raw_datasets[split], source, data_kwargs.messages_column, data_kwargs.chat_format
        )
        for split, source in where.items()
    }
    if any(layout.name != TEXT for layout in layouts.values()):
        set_chat_template(tokenizer, data_kwargs)
    prepared = {}
    for split, source in where.items():
        rows, layout = raw_datasets[split], layouts[split]
        try:
            prepared[split] = preparation.prepare_split(
                rows,
                tokenize_conversations,
                tokenizer,
                data_kwargs,
                f"{split} conversations",
                column=layout.column,
                chat_format=layout.name,
                max_seq_length=length,
            )
        except UserError:
            check_tokenization(rows, source, layout, tokenizer)
            raise
        _report_samples(split, source, len(rows), prepared[split], length)
    train, validation = (
        rows.remove_columns(["whole_length", "turn"]) for rows in prepared.values()
    )
    sequences: datasets.Dataset = train
    if data_kwargs.packing:
        sequences = PackedConversations(train, length)
        logger.info(
            "%d conversations are packed into %d sequences, %.0f %% full",
            len(train),
            len(sequences),
            100 * sequences.lengths.mean() / length,
        )
    return InstructionTuningDatasets(train, validation, sequences, length)


def check_tokenization(
    dataset: datasets.Dataset,
    source: str,
    layout: ChatFormat,
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> None:
    """Check that the chat template and the tokenizer can write all rows.

    Args:
        dataset: rows of :func:`check_conversations`.
        source: where they come from, for messages.
        layout: their format.
        tokenizer: has the template.

    Raises:
        UserError: naming the first row that they cannot.
    """

    def tokenize(first: int, last: int) -> None:
        tokenize_conversations(
            dataset[first:last],
            tokenizer=tokenizer,
            column=layout.column,
            chat_format=layout.name,
            max_seq_length=NO_LIMIT,
        )

    for first in range(0, len(dataset), _ROWS_AT_A_TIME):
        last = min(first + _ROWS_AT_A_TIME, len(dataset))
        try:
            tokenize(first, last)
        except UserError:
            for row in range(first, last):
                try:
                    tokenize(row, row + 1)
                except UserError as error:
                    raise UserError(f"{source}: row {row + 1}, {error}") from None
            raise


def _report_samples(
    split: str, source: str, rows: int, prepared: datasets.Dataset, length: int
) -> None:
    """Warn of conversations that were cut or left out; raise an error if none is left."""
    if len(prepared) == 0:
        raise UserError(
            f"{source}: no conversation has a token of the assistant among its first {length} "
            "tokens. Write a larger data.max_seq_length."
        )
    columns = prepared.with_format("numpy", columns=["whole_length", "turn"])[:]
    kept = int((columns["turn"] == 0).sum())
    if kept < len(prepared):
        logger.info(
            "%s: %d conversations are %d samples, one for each turn of the assistant, because the "
            "chat template writes earlier turns in another way than the last one",
            split,
            kept,
            len(prepared),
        )
    cut = int((columns["whole_length"] > length).sum())
    if cut or kept < rows:
        logger.warning(
            "%s: of %d conversations, %d are cut because they are longer than %d tokens, and %d "
            "are left out because the assistant says nothing within that length.",
            split,
            rows,
            cut,
            length,
            rows - kept,
        )


def check_model(
    model: torch.nn.Module,
    config: transformers.PretrainedConfig,
    data_kwargs: InstructionTuningDataKwargs,
) -> None:
    """Check, on a few tokens, that the model behaves as the training requires.

    Raises:
        UserError: when the model attends to the tokens that it is to predict, or with ``packing``
            to other conversations.
    """
    check_next_token_model(model, config)
    if data_kwargs.packing:
        check_packing(model, config)
