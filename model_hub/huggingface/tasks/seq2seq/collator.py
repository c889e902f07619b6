"""Batches of sequence-to-sequence tasks."""

from typing import Any

import torch
import transformers

from model_hub.huggingface.model import unwrap
from model_hub.huggingface.tasks._common.padding import DictCollator, with_batch_padding_side


def seq2seq_collator(
    tokenizer: transformers.PreTrainedTokenizerBase, model: torch.nn.Module
) -> DictCollator:
    """Return a collator that pads sources, pads labels with -100 and makes the decoder's inputs.

    Args:
        tokenizer: has the padding values.
        model: shifts the labels for its decoder; wrapped or not.
    """
    inner: Any = unwrap.unwrap(model)
    return DictCollator(
        transformers.DataCollatorForSeq2Seq(with_batch_padding_side(tokenizer), model=inner)
    )
