"""The model's head and the labels of the data: numbers, names, and what is saved with the model."""

import dataclasses
import logging
import re

import torch
import transformers

from model_hub.huggingface import _checkpoint
from model_hub.huggingface.tasks._classification_rows import shortened
from model_hub.huggingface.tasks._classification_task import TextClassificationTask

logger = logging.getLogger("model_hub")

# How transformers calls the labels of a head that nobody has named.
_NAMELESS = re.compile(r"LABEL_\d+")


def fit_to_head(
    task: TextClassificationTask,
    model: torch.nn.Module,
    config: transformers.PretrainedConfig,
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> TextClassificationTask:
    """Makes data and model speak of the same labels.

    If the model was fine-tuned before and knows the labels of the data by name (in upper or lower
    case), the data's labels get the model's numbers; else the model gets the data's names, with a
    warning if it had others. Both, and whether a number is to be predicted, are put into the
    model's configuration, which is saved with it.

    Args:
        task: what is to be learned, with the data's own numbers.
        model: the model, wrapped or not, with ``task.num_labels`` outputs.
        config: the trial's configuration, which gets the same entries.
        tokenizer: gives the model's configuration the padding token if it has none.

    Returns:
        The task with the numbers of the model's head.
    """
    configs = [config]
    own = getattr(_checkpoint.unwrapped(model), "config", None)
    if own is not None and own is not config:
        configs.append(own)
    if not task.is_regression:
        task = _renumbered(task, _names_of_head(config))
    for each in configs:
        # Said and not left to be guessed from the first batch of labels.
        each.problem_type = "regression" if task.is_regression else "single_label_classification"
        if not task.is_regression:
            each.id2label = dict(enumerate(task.label_names))
            each.label2id = {name: number for number, name in enumerate(task.label_names)}
        # Models that read the last token (GPT-2 and its like) find it by the padding after it.
        if getattr(each, "pad_token_id", None) is None:
            each.pad_token_id = tokenizer.pad_token_id
    return task


def _names_of_head(config: transformers.PretrainedConfig) -> tuple[str, ...]:
    """Names that somebody gave the head's outputs; none if nobody did."""
    names = tuple(str(name) for _, name in sorted((config.id2label or {}).items()))
    return () if all(_NAMELESS.fullmatch(name) for name in names) else names


def _renumbered(task: TextClassificationTask, head: tuple[str, ...]) -> TextClassificationTask:
    if not head:
        return task
    place = {name.lower(): number for number, name in enumerate(head)}
    data = [name.lower() for name in task.label_names]
    if len(place) == len(head) and sorted(place) == sorted(data):
        number_in_head = [place[name] for name in data]
        return dataclasses.replace(
            task,
            label_names=head,
            label_numbers={v: number_in_head[n] for v, n in task.label_numbers.items()},
            positive=None if task.positive is None else number_in_head[task.positive],
        )
    if not task.named and len(head) == task.num_labels:
        # Labels that are nothing but numbers are those of the model.
        return dataclasses.replace(task, label_names=head)
    logger.warning(
        "the model was trained for the labels %s, but those of the data are %s: the model's are "
        "ignored",
        shortened(head),
        shortened(task.label_names),
    )
    return task
