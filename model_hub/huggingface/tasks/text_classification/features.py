"""Features of text-classification rows: the tokens of one or two texts, and the label's number."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers

from model_hub.huggingface.tasks._common.labels import name_outputs, nested_configs
from model_hub.huggingface.tasks._common.padding import side_to_pad
from model_hub.huggingface.tasks._common.tokenization import ensure_padding_token
from model_hub.huggingface.tasks.text_classification.task import TextClassificationTask


def prepare_features(
    rows: Mapping[str, list[Any]],
    tokenizer: transformers.PreTrainedTokenizerBase,
    text_columns: Sequence[str],
    label_numbers: Sequence[tuple[Any, int]],
    max_seq_length: int,
    pad_to_max_length: bool = False,
) -> dict[str, list[Any]]:
    """Tokenizes rows.

    Args:
        rows: columns of a batch of rows, ``label`` among them.
        tokenizer: the tokenizer.
        text_columns: one or two columns that hold the text.
        label_numbers: pairs of a label's value and its number; none where the label is a number to
            be predicted.
        max_seq_length: longest sequence in tokens; of what is longer, the end is cut, of two texts
            the longer one's first.
        pad_to_max_length: pad every sequence to that length.

    Returns:
        What the tokenizer gives (``input_ids``, ``attention_mask``, ...), and ``labels``, int or
        float where there are no label numbers. No row is without a token.
    """
    encoded = tokenizer(
        *(rows[name] for name in text_columns),
        truncation=True,
        max_length=max_seq_length,
        padding="max_length" if pad_to_max_length else False,
        padding_side=side_to_pad(tokenizer) if pad_to_max_length else None,
    )
    _fill_empty(encoded, tokenizer)
    numbers = dict(label_numbers)
    labels = [numbers[value] if numbers else float(value) for value in rows["label"]]
    return {**encoded, "labels": labels}


def _fill_empty(
    encoded: Mapping[str, list[list[int]]], tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    """Puts one token where there is none: of an empty text, if there are no special tokens.

    It is that of a blank, or of a dot where a blank has none. The padding token would not do:
    models that read the last token look for the last one that is no padding.
    """
    masks = encoded.get("attention_mask")
    # Padding, if there is any, is on the right: the mask of a row with text begins with a 1.
    empty = [
        row
        for row, ids in enumerate(encoded["input_ids"])
        if not (ids if masks is None else any(masks[row]))
    ]
    if not empty:
        return
    for text in (" ", "."):
        token = tokenizer(text, add_special_tokens=False)["input_ids"][:1]
        if token:
            break
    for row in empty:
        for name, values in encoded.items():
            values[row][:1] = token if name == "input_ids" else [int(name == "attention_mask")]


def fit_to_head(
    task: TextClassificationTask,
    model: torch.nn.Module,
    config: transformers.PretrainedConfig,
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> TextClassificationTask:
    """Makes data, model and tokenizer speak of the same labels and the same padding.

    For the labels see ``name_outputs``. Their names, whether a number is to be predicted, and the
    tokenizer's padding token are put into the model's configuration, which is saved with it.

    Args:
        task: what is to be learned, with the data's own numbers.
        model: the model, wrapped or not, with ``task.num_labels`` outputs.
        config: the trial's configuration, which gets the same entries.
        tokenizer: gets a padding token if it has none.

    Returns:
        The task with the numbers of the model's head.

    Raises:
        UserError: when the tokenizer has no token that could be the padding token.
    """
    ensure_padding_token(tokenizer)
    for each in nested_configs(model, config):
        # Said and not left to be guessed from the first batch of labels.
        each.problem_type = "regression" if task.is_regression else "single_label_classification"
        # Models that read the last token (GPT-2, Llama) find it by the padding after it.
        each.pad_token_id = tokenizer.pad_token_id
    if task.is_regression:
        return task
    numbers, names = name_outputs(task.label_names, config, model, named=task.named)
    return dataclasses.replace(
        task,
        label_names=names,
        label_numbers={value: numbers[number] for value, number in task.label_numbers.items()},
        positive=None if task.positive is None else numbers[task.positive],
    )
