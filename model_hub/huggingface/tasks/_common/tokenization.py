"""Keys of section ``data`` that all tasks share: how texts become batches of tokens."""

import copy
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.padding import side_to_pad

# transformers marks "no limit known" with a number like 1e30.
NO_LIMIT = 1_000_000_000

# Families whose first token has the position pad_token_id + 1, as fairseq's had; the positions
# before it are in max_position_embeddings, but no token gets them.
_POSITIONS_AFTER_PADDING = frozenset(
    {
        "camembert",
        "data2vec-text",
        "ibert",
        "layoutlmv3",
        "lilt",
        "longformer",
        "luke",
        "markuplm",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)


def model_max_length(config: transformers.PretrainedConfig | None) -> int | None:
    """Tokens that a model takes, as its configuration says; None if it has no limit."""
    limit = getattr(config, "max_position_embeddings", None)
    # XLNet and others without a limit say -1.
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
    """Tokens of the longest sequence: what is requested, or what tokenizer and model take.

    Args:
        requested: the YAML's number; None takes the longest that tokenizer and model take.
        tokenizer: the tokenizer.
        config: the model's configuration.
        texts: of how many texts, 1 or 2, a sequence is made, with the tokenizer's special tokens;
            None where these stand in the text or are not cut off.
        default: the most that is taken when nothing is requested, and the length when neither
            tokenizer nor model has a limit.
        key: the YAML's key, for messages.

    Raises:
        UserError: when more is requested than tokenizer or model take, or so little that there is
            no token of the texts.
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
    """Checks that the tokenizer's special tokens do not take up the whole sequence.

    Tokenizers do not cut such sequences at all, or leave nothing but special tokens.

    Args:
        length: tokens of the longest sequence.
        tokenizer: the tokenizer.
        key: the YAML's key, for messages.
        texts: of how many texts, 1 or 2, a sequence is made.

    Raises:
        UserError: when they do.
    """
    special = tokenizer.num_special_tokens_to_add(pair=texts == 2)
    if length <= special:
        raise UserError(
            f"{key} is {length}, but every sequence has {special} special tokens of the "
            f"tokenizer's, so that nothing is left for the text. Write more than {special}."
        )


logger = logging.getLogger("model_hub")


@dataclasses.dataclass
class TokenizationDataKwargs:
    """Keys of the YAML's section ``data`` about tokenizing.

    Attributes:
        max_seq_length: longest sequence in tokens; what is longer is cut. None takes what
            tokenizer and model take.
        pad_to_max_length: pad every sequence to ``max_seq_length``; else to the longest of its
            batch, which is faster.
        preprocessing_num_workers: processes that tokenize.
        overwrite_cache: tokenize again although the cache has it.
    """

    yaml_section: ClassVar[str] = "data"

    max_seq_length: int | None = dataclasses.field(default=None, metadata={"min": 1})
    pad_to_max_length: bool = False
    preprocessing_num_workers: int | None = dataclasses.field(default=None, metadata={"min": 1})
    overwrite_cache: bool = False

    def __post_init__(self) -> None:
        workers = self.preprocessing_num_workers
        if workers is not None and workers < 1:
            raise UserError(
                f"data.preprocessing_num_workers is {workers}, but should be at least 1."
            )


@dataclasses.dataclass
class PlainBatches:
    """Makes batches as another collator does, as a plain dict.

    Determined moves tensors in dicts to the device, but not those in transformers' own classes.

    Attributes:
        collator: makes a mapping of names to tensors of a list of rows.
    """

    collator: Callable[[list[Any]], Mapping[str, torch.Tensor]]

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of these rows."""
        return dict(self.collator(list(rows)))


def ensure_padding_token(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    """Gives a tokenizer without a padding token (GPT-2, Llama) one, in place.

    It is the end-of-sequence token, as is usual: the attention mask hides padding, whichever token
    it is. The tokenizer is exported with it.

    Args:
        tokenizer: the tokenizer.

    Raises:
        UserError: when it has no end-of-sequence token either.
    """
    if tokenizer.pad_token_id is not None:
        return
    if tokenizer.eos_token_id is None:
        raise UserError(_NO_PADDING)
    tokenizer.pad_token = tokenizer.eos_token
    logger.info(
        "the tokenizer has no padding token; batches are padded with %r, which ends a sequence",
        str(tokenizer.eos_token),
    )


_NO_PADDING = (
    "the tokenizer has no padding token, so that texts of different lengths cannot be in one "
    "batch. Write hyperparameters.tokenizer_name with the folder of a tokenizer that has one."
)


def padding_batches(
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer, or a copy of it that pads on the side that batches want."""
    side = side_to_pad(tokenizer)
    if tokenizer.padding_side == side:
        return tokenizer
    tokenizer = copy.copy(tokenizer)
    tokenizer.padding_side = side
    return tokenizer


def padding_collator(tokenizer: transformers.PreTrainedTokenizerBase) -> PlainBatches:
    """A collator that pads the tokenizer's columns and passes numbers such as ``label`` on.

    Args:
        tokenizer: tells padding values; for the side see ``side_to_pad``.

    Raises:
        UserError: when the tokenizer has no padding token.
    """
    if tokenizer.pad_token_id is None:
        raise UserError(_NO_PADDING)
    return PlainBatches(transformers.DataCollatorWithPadding(padding_batches(tokenizer)))
