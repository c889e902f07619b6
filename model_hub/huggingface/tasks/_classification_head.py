"""The model's head and what is to be learned: labels, kind of problem, padding token."""

import dataclasses

import torch
import transformers

from model_hub.huggingface.tasks._classification_task import TextClassificationTask
from model_hub.huggingface.tasks._head_labels import configs_of, name_outputs
from model_hub.huggingface.tasks._tokenization import ensure_padding_token


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
    for each in configs_of(model, config):
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
