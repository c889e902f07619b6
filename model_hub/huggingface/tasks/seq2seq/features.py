"""Features of sequence-to-sequence tasks: tokens of source and target texts."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import transformers

from model_hub.huggingface.tasks._common.padding import NO_LABEL, side_to_pad
from model_hub.huggingface.tasks.seq2seq.rows import mark_languages


def prepare_features(
    examples: Mapping[str, Sequence[str]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    source_column: str,
    target_column: str,
    max_source_length: int,
    max_target_length: int,
    source_prefix: str = "",
    pad_to_max_length: bool = False,
    languages: Sequence[str] | None = None,
) -> dict[str, list[list[int]]]:
    """Tokenize sources and targets; a function for ``Dataset.map(batched=True)``.

    Args:
        examples: has the two columns.
        tokenizer: the tokenizer.
        source_column: column with the sources.
        target_column: column with the targets.
        max_source_length: most tokens of a source; longer ones are cut.
        max_target_length: the same for targets.
        source_prefix: prefix of every source.
        pad_to_max_length: pad to these lengths; else the collator pads to the longest of a batch.
        languages: codes of source and target for a tokenizer that marks them.

    Returns:
        ``input_ids`` and ``attention_mask`` of the sources; as ``labels`` the targets' tokens,
        padded with -100. One list of int per row.
    """
    mark_languages(tokenizer, languages)
    encode: Any = functools.partial(tokenizer.__call__, truncation=True)
    sources = encode(
        [source_prefix + text for text in examples[source_column]],
        max_length=max_source_length,
        padding="max_length" if pad_to_max_length else False,
        padding_side=side_to_pad(tokenizer) if pad_to_max_length else None,
    )
    targets = encode(text_target=list(examples[target_column]), max_length=max_target_length)
    labels = list(targets["input_ids"])
    if pad_to_max_length:
        labels = [ids + [NO_LABEL] * (max_target_length - len(ids)) for ids in labels]
    return {
        "input_ids": sources["input_ids"],
        "attention_mask": sources["attention_mask"],
        "labels": labels,
    }
