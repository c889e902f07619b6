"""Keys of summarization and translation in section ``data`` of the YAML, and checks of them."""

import dataclasses
import logging
from typing import ClassVar

import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.padding import NO_PADDING_TOKEN
from model_hub.huggingface.tasks._common.tokenization import (
    check_room,
    model_max_length,
    sequence_length,
)

logger = logging.getLogger("model_hub")


@dataclasses.dataclass
class Seq2SeqDataKwargs:
    """Keys of the YAML's section ``data`` that summarization and translation share.

    Attributes:
        max_source_length: longest source in tokens; longer ones are cut. None takes what tokenizer
            and model take, at most 1024.
        max_target_length: longest target in tokens.
        val_max_target_length: the same for validation, and the most tokens generated there
            (``max_length`` of ``generate``); None takes ``max_target_length``.
        num_beams: beams of beam search at validation; None takes the number of the model's
            generation configuration.
        source_prefix: prefix of every source, as T5 needs it ("summarize: ").
        pad_to_max_length: pad sources and targets to these lengths; else to the longest of the
            batch, which is faster.
        output_dir: folder for predictions.json, the texts generated at the last validation.
        preprocessing_num_workers: processes that tokenize.
        overwrite_cache: tokenize again even if the cache has the result.

    Raises:
        UserError: when a count is below 1.
    """

    yaml_section: ClassVar[str] = "data"

    max_source_length: int | None = dataclasses.field(default=None, metadata={"min": 1})
    max_target_length: int = dataclasses.field(default=128, metadata={"min": 1})
    val_max_target_length: int | None = dataclasses.field(default=None, metadata={"min": 1})
    num_beams: int | None = dataclasses.field(default=None, metadata={"min": 1})
    source_prefix: str | None = None
    pad_to_max_length: bool = False
    output_dir: str | None = None
    preprocessing_num_workers: int | None = dataclasses.field(default=None, metadata={"min": 1})
    overwrite_cache: bool = False

    @property
    def generated_length(self) -> int:
        """The most tokens generated at validation."""
        return self.val_max_target_length or self.max_target_length


@dataclasses.dataclass
class SummarizationDataKwargs(Seq2SeqDataKwargs):
    """Keys of section ``data`` for summarization.

    Attributes:
        text_column: column with the texts; None takes that of a known dataset, or "document".
        summary_column: column with their summaries; None takes that of a known dataset, or
            "summary".
    """

    text_column: str | None = None
    summary_column: str | None = None


@dataclasses.dataclass
class TranslationDataKwargs(Seq2SeqDataKwargs):
    """Keys of section ``data`` for translation.

    Attributes:
        source_lang: language to translate from: a key of the dicts in column ``translation``, or a
            column. For tokenizers with languages their code, such as ``en_XX``; the key may then be
            the part before the underscore.
        target_lang: language to translate to, in the same way.
    """

    source_lang: str | None = None
    target_lang: str | None = None


def source_length(
    data_kwargs: Seq2SeqDataKwargs,
    tokenizer: transformers.PreTrainedTokenizerBase,
    config: transformers.PretrainedConfig | None = None,
) -> int:
    """Return the tokens of the longest source, and check model, tokenizer and settings.

    Args:
        data_kwargs: section ``data``.
        tokenizer: the tokenizer.
        config: the model's configuration.

    Raises:
        UserError: when the model has no encoder and decoder or takes fewer tokens, a length leaves
            no room for text, or there is no padding token.
    """
    if config is not None and not getattr(config, "is_encoder_decoder", False):
        raise UserError(
            "hyperparameters.pretrained_model_name_or_path: the model is of type "
            f"{config.model_type!r}, which has no encoder and decoder. Write the name of one that "
            "has (T5, BART, Marian, mBART, Pegasus, ...), with model_mode: seq2seq-lm."
        )
    if tokenizer.pad_token_id is None:
        raise UserError(NO_PADDING_TOKEN)
    if getattr(config, "model_type", None) == "t5" and not data_kwargs.source_prefix:
        logger.warning(
            "data.source_prefix is not set, but T5 was trained on sources that begin with the "
            'task: for instance source_prefix: "summarize: " or "translate English to German: ".'
        )
    limit = model_max_length(config)
    for name in ("max_target_length", "val_max_target_length"):
        length = getattr(data_kwargs, name)
        if length is not None and length < 2:
            raise UserError(
                f"data.{name} is {length}, but should be at least 2: generated texts have a start "
                "token and an end token."
            )
        if length is not None:
            check_room(length, tokenizer, key=f"data.{name}")
        if limit is not None and length is not None and length > limit:
            raise UserError(
                f"data.{name} is {length}, but the model takes at most {limit} tokens. Write "
                f"data.{name}: {limit} or less."
            )
    requested = data_kwargs.max_source_length
    if requested is not None:
        check_room(requested, tokenizer, key="data.max_source_length")
    if requested is not None and config is not None and limit is None:
        # With relative positions, as in T5, the tokenizer's number is only a convention.
        return requested
    return sequence_length(requested, tokenizer, config, key="data.max_source_length")
