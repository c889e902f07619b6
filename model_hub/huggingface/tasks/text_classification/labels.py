"""Labels of the data and of the model's head, made to agree."""

import dataclasses

import torch
import transformers

from model_hub.huggingface.tasks._common.labels import name_outputs, nested_configs
from model_hub.huggingface.tasks._common.padding import ensure_padding_token
from model_hub.huggingface.tasks.text_classification.task import TextClassificationTask


def align_labels(
    task: TextClassificationTask,
    model: torch.nn.Module,
    config: transformers.PretrainedConfig,
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> TextClassificationTask:
    """Match the labels of the data with the outputs of the model; see ``name_outputs``.

    Labels, problem type and padding token are written into the model's configuration, which is
    saved with the model.

    Args:
        task: the task, with the data's numbers of labels.
        model: the model, wrapped or not, with ``task.num_labels`` outputs.
        config: the trial's configuration, which gets the same entries.
        tokenizer: gets a padding token if it has none.

    Returns:
        The task with the numbers of the model's outputs.

    Raises:
        UserError: when the tokenizer has no token to pad with.
    """
    ensure_padding_token(tokenizer)
    for model_config in nested_configs(model, config):
        # Otherwise transformers guesses it from the first batch of labels.
        model_config.problem_type = (
            "regression" if task.is_regression else "single_label_classification"
        )
        # Models that classify by the last token (GPT-2, Llama) find it by the padding after it.
        model_config.pad_token_id = tokenizer.pad_token_id
    if task.is_regression:
        return task
    numbers, names = name_outputs(task.label_names, config, model, named=task.named)
    return dataclasses.replace(
        task,
        label_names=names,
        label_numbers={value: numbers[number] for value, number in task.label_numbers.items()},
        positive=None if task.positive is None else numbers[task.positive],
    )
