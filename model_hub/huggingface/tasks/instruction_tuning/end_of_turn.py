"""The tokens that end the assistant's turns, at which generation has to stop."""

import logging
from collections import Counter
from typing import Any

import datasets
import numpy as np
import torch
import transformers

from model_hub.huggingface.model import unwrap
from model_hub.huggingface.tasks._common.padding import NO_LABEL
from model_hub.huggingface.tasks._common.tokenization import stop_tokens
from model_hub.huggingface.tasks.instruction_tuning.tokens import blank_tokens, closing_tokens

logger = logging.getLogger("model_hub")

_ROWS_AT_A_TIME = 1000
# A turn may end with a few tokens of which any can stop it, such as <|end|> and <|endoftext|>.
_LONGEST_END = 4


def stop_at_end_of_turn(
    model: torch.nn.Module,
    tokenizer: transformers.PreTrainedTokenizerBase,
    train: datasets.Dataset,
    length: int,
) -> list[int]:
    """Let generation stop at the tokens with which the learned turns end.

    They are added to ``eos_token_id`` of the model's generation configuration, which is saved with
    it.

    Args:
        model: changed in place; it may be wrapped or have an adapter.
        tokenizer: the tokenizer.
        train: features with ``input_ids`` and ``labels``.
        length: tokens of the longest row; longer ones were cut.

    Returns:
        All tokens at which generation stops.
    """
    inner: Any = unwrap.strip_adapter(unwrap.unwrap(model))
    settings = getattr(inner, "generation_config", None)
    if settings is None:
        return []
    found = find_stop_tokens(train, tokenizer, length)
    stops = list(dict.fromkeys([*stop_tokens(settings), *found]))
    if stops:
        settings.eos_token_id = stops[0] if len(stops) == 1 else stops
    return stops


def find_stop_tokens(
    train: datasets.Dataset, tokenizer: transformers.PreTrainedTokenizerBase, length: int
) -> list[int]:
    """Return the tokens that end learned turns and are nowhere within one, ascending.

    An added token (``<|im_end|>``) is such if it ends some turns; another one (a line break) if it
    ends all. If there is none, a warning is logged.

    Args:
        train: features with ``input_ids`` and ``labels``.
        tokenizer: the tokenizer.
        length: the last turn of rows of this length may be cut, and is left out.
    """
    closing = closing_tokens(tokenizer)
    closers = np.array(sorted(closing), dtype=np.int64)
    soft = np.array(sorted(closing | blank_tokens(tokenizer)), dtype=np.int64)
    ends: Counter[int] = Counter()
    within: set[int] = set()
    for rows in train.with_format("numpy").iter(batch_size=_ROWS_AT_A_TIME):
        sizes = [len(ids) for ids in rows["input_ids"]]
        ids = np.concatenate(rows["input_ids"])
        learned = np.concatenate(rows["labels"]) != NO_LABEL
        last_of_row = np.cumsum(sizes) - 1
        goes_on = np.append(learned[1:], False)
        goes_on[last_of_row] = False
        is_end = learned & ~goes_on
        # Where a cut row ends, no turn ends, and its last tokens are not known to be within one.
        is_cut = np.zeros_like(learned)
        is_cut[last_of_row[np.array(sizes) >= length]] = True
        ends.update(ids[is_end & ~is_cut].tolist())
        may_stop = is_end.copy()
        for _ in range(_LONGEST_END):
            may_stop[:-1] |= learned[:-1] & may_stop[1:] & np.isin(ids[1:], soft) & goes_on[:-1]
        # Only added tokens and the rare others that end turns can stop: few distinct ones.
        candidates = np.union1d(closers, np.fromiter(ends, dtype=np.int64, count=len(ends)))
        inner = ids[learned & ~may_stop]
        within.update(inner[np.isin(inner, candidates)].tolist())
    turns = ends.total()
    found = {token for token in ends if token in closing or ends[token] == turns > 1}
    if found and not found - within:
        logger.warning(
            "The assistant's turns end with %s, which is also within them, so that generation does "
            "not stop there. Write a chat template as data.chat_template_file that ends them with "
            "eos_token.",
            " or ".join(repr(tokenizer.decode([token])) for token in sorted(found)),
        )
    elif turns and not found:
        logger.warning(
            "The assistant's turns end with no token of their own, so that the model does not "
            "learn to stop. Write a chat template as data.chat_template_file that ends them with "
            "eos_token."
        )
    return sorted(found - within)
