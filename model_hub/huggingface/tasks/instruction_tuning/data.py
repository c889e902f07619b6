"""Datasets and collator of instruction tuning."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import datasets
import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.data import load, prepare
from model_hub.huggingface.tasks._common.model_checks import check_next_token_model, check_packing
from model_hub.huggingface.tasks._common.tokenization import sequence_length
from model_hub.huggingface.tasks.instruction_tuning.collator import (
    ConversationCollator,
    PackedConversations,
)
from model_hub.huggingface.tasks.instruction_tuning.features import tokenize_conversations
from model_hub.huggingface.tasks.instruction_tuning.rows import check_conversations
from model_hub.huggingface.tasks.instruction_tuning.settings import (
    InstructionTuningDataKwargs,
    set_chat_template,
)

logger = logging.getLogger("model_hub")


class InstructionTuningDatasets(NamedTuple):
    """What an instruction-tuning trial trains and validates on.

    Attributes:
        train: conversations as tokens, ``input_ids`` and ``labels``.
        validation: the same for validation.
        sequences: what the training loader takes: ``train``, or sequences packed of it.
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
    """Checks the conversations and tokenizes them; what was made before comes from the cache.

    Args:
        raw_datasets: splits ``train`` and ``validation``, with a column of conversations.
        tokenizer: a fast tokenizer; it gets the YAML's chat template, if there is one.
        data_kwargs: section ``data``.
        config: the model's configuration, which tells how many tokens it takes.
        sources: where each split comes from, for messages; see
            :func:`model_hub.huggingface.split_sources`.

    Raises:
        UserError: when lengths, template or rows are not as they should be, or nothing is left.
    """
    load.check_splits(raw_datasets)
    length = sequence_length(data_kwargs.max_seq_length, tokenizer, config)
    if not tokenizer.is_fast:
        raise UserError(
            f"{type(tokenizer).__name__} is a tokenizer in pure Python, which does not tell where "
            "its tokens stand in the text. Write in hyperparameters.tokenizer_name a folder with a "
            "tokenizer.json."
        )
    set_chat_template(tokenizer, data_kwargs)
    column = data_kwargs.messages_column
    where = {n: (sources or {}).get(n, f"split {n!r}") for n in ("train", "validation")}
    for split, source in where.items():
        check_conversations(raw_datasets[split], source, column)
    prepared = {}
    for split, source in where.items():
        rows = raw_datasets[split]
        prepared[split] = prepare.prepare_dataset(
            rows,
            tokenize_conversations,
            tokenizer=tokenizer,
            num_proc=data_kwargs.preprocessing_num_workers,
            overwrite_cache=data_kwargs.overwrite_cache,
            description=f"{split} conversations",
            column=column,
            max_seq_length=length,
        )
        _tell(split, source, rows, prepared[split], length)
    train, validation = (rows.remove_columns(["whole_length"]) for rows in prepared.values())
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


def _tell(
    split: str, source: str, rows: datasets.Dataset, prepared: datasets.Dataset, length: int
) -> None:
    """Says how many conversations were cut, and how many were left out."""
    if len(prepared) == 0:
        raise UserError(
            f"{source}: in the first {length} tokens of a conversation there is never a token of "
            "the assistant. Write a larger data.max_seq_length."
        )
    lengths = prepared.with_format("numpy", columns=["whole_length"])[:]["whole_length"]
    cut = int((lengths > length).sum())
    left_out = len(rows) - len(prepared)
    if cut or left_out:
        logger.warning(
            "%s: of %d conversations %d are longer than %d tokens and cut, and %d are left out, "
            "having no token of the assistant in as many tokens.",
            split,
            len(rows),
            cut,
            length,
            left_out,
        )


def check_model(
    model: torch.nn.Module,
    config: transformers.PretrainedConfig,
    data_kwargs: InstructionTuningDataKwargs,
) -> None:
    """Tries out on a few tokens whether the model does what the training relies on.

    Raises:
        UserError: when it sees the tokens that it is to predict, or with ``packing`` those of other
            conversations.
    """
    check_next_token_model(model, config)
    if data_kwargs.packing:
        check_packing(model, config)


def build_collator(
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: InstructionTuningDataKwargs,
    config: transformers.PretrainedConfig,
    length: int,
) -> ConversationCollator:
    """The collator that the settings and the model's kind of attention ask for."""
    attention = str(getattr(config, "_attn_implementation", None) or "")
    return ConversationCollator(
        tokenizer,
        length=length if data_kwargs.pad_to_max_length else None,
        in_one_row="flash" in attention,
    )
