"""Settings of section ``data`` that most tasks share, and checks of tokenizers and lengths."""

import dataclasses
from typing import ClassVar

import transformers

from model_hub.errors import UserError

# transformers writes "no limit known" as a number like 1e30.
NO_LIMIT = 1_000_000_000

# Families whose first token has the position pad_token_id + 1, as in fairseq; the positions before
# it count in max_position_embeddings, but no token gets them.
_POSITIONS_AFTER_PADDING = frozenset(
    """
    camembert data2vec-text ibert layoutlmv3 lilt longformer luke markuplm mpnet roberta
    roberta-prelayernorm xlm-roberta xlm-roberta-xl xmod
    """.split()
)


@dataclasses.dataclass
class TokenizationDataKwargs:
    """Keys of the YAML's section ``data`` about tokenizing.

    Attributes:
        max_seq_length: longest sequence in tokens; longer ones are cut. None for the
            most that tokenizer and model accept.
        pad_to_max_length: pad every sequence to ``max_seq_length``; else to the longest of its
            batch, which is faster.
        preprocessing_num_workers: processes that tokenize.
        overwrite_cache: tokenize again even if the cache has the result.
    """

    yaml_section: ClassVar[str] = "data"

    max_seq_length: int | None = dataclasses.field(default=None, metadata={"min": 1})
    pad_to_max_length: bool = False
    preprocessing_num_workers: int | None = dataclasses.field(default=None, metadata={"min": 1})
    overwrite_cache: bool = False


def model_max_length(config: transformers.PretrainedConfig | None) -> int | None:
    """Return the most tokens that a model takes by its configuration; None for no limit."""
    limit = getattr(config, "max_position_embeddings", None)
    # XLNet and others without a limit have -1.
    if not limit or limit < 0:
        return None
    padding = getattr(config, "pad_token_id", None)
    if getattr(config, "model_type", None) in _POSITIONS_AFTER_PADDING and padding is not None:
        return int(limit - padding - 1)
    return int(limit)


def sequence_length(
    requested: int | None,
    tokenizer: transformers.PreTrainedTokenizerBase,
    config: transformers.PretrainedConfig | None = None,
    *,
    texts: int | None = None,
    default: int = 1024,
    key: str = "data.max_seq_length",
) -> int:
    """Return the maximum length of a sequence, in tokens.

    Args:
        requested: the YAML's number; None for the most that tokenizer and model accept.
        tokenizer: the tokenizer.
        config: the model's configuration.
        texts: number of texts in a sequence, 1 or 2, to which the tokenizer adds special tokens;
            None skips the check that special tokens leave room for text.
        default: upper bound if ``requested`` is None.
        key: the YAML's key, for messages.

    Raises:
        UserError: when more is requested than tokenizer or model accept, or no more than the
            special tokens need.
    """
    limits = {"tokenizer": tokenizer.model_max_length, "model": model_max_length(config)}
    known = {owner: int(n) for owner, n in limits.items() if n is not None and n < NO_LIMIT}
    if requested is None:
        return min([default, *known.values()])
    if requested < 1:
        raise UserError(f"{key} is {requested}, but should be at least 1.")
    if texts is not None:
        check_room(requested, tokenizer, key=key, texts=texts)
    for owner, limit in known.items():
        if requested > limit:
            raise UserError(
                f"{key} is {requested}, but the {owner} takes at most {limit} tokens. Write "
                f"{key}: {limit} or less."
            )
    return requested


def check_room(
    length: int, tokenizer: transformers.PreTrainedTokenizerBase, *, key: str, texts: int = 1
) -> None:
    """Check that the special tokens of the tokenizer leave room for text.

    Without room, tokenizers cut nothing, or leave only special tokens.

    Args:
        length: tokens of the longest sequence.
        tokenizer: the tokenizer.
        key: the YAML's key, for the message.
        texts: number of texts in a sequence, 1 or 2.

    Raises:
        UserError: when there is no room.
    """
    special = tokenizer.num_special_tokens_to_add(pair=texts == 2)
    if length <= special:
        raise UserError(
            f"{key} is {length}, but the tokenizer adds {special} special tokens to every "
            f"sequence, so that nothing is left for the text. Write more than {special}."
        )


def check_fast_tokenizer(tokenizer: transformers.PreTrainedTokenizerBase, missing: str) -> None:
    """Check that a tokenizer is a fast one, from the library tokenizers.

    Args:
        tokenizer: the tokenizer.
        missing: what the task needs and other tokenizers cannot provide, for the message.

    Raises:
        UserError: when it is not.
    """
    if not tokenizer.is_fast:
        raise UserError(
            f"{type(tokenizer).__name__} is a tokenizer in pure Python, which cannot provide "
            f"{missing}. Set hyperparameters.tokenizer_name to a tokenizer that has a file "
            "tokenizer.json, and do not set hyperparameters.use_fast to false."
        )


def stop_tokens(settings: transformers.GenerationConfig | None) -> list[int]:
    """Return the tokens at which generation stops by a generation configuration."""
    known = getattr(settings, "eos_token_id", None)
    return list(known) if isinstance(known, list) else [] if known is None else [known]
