"""Labels of the data and of the model's head, made to agree."""

import dataclasses

import torch
import transformers

from model_hub.huggingface.tasks._common.labels import name_outputs
from model_hub.huggingface.tasks.token_classification.rows import TaggingSchema


def align_labels(
    tagging: TaggingSchema, model: torch.nn.Module, config: transformers.PretrainedConfig
) -> TaggingSchema:
    """Match the labels of the data with the outputs of the model; see ``name_outputs``.

    Args:
        tagging: columns and labels of the data.
        model: the trial's model, wrapped or not.
        config: the trial's configuration; the names of the labels are written into it, as into the
            model's, and saved with the model.

    Returns:
        The same with the labels in the order of the model's outputs.
    """
    numbers, _ = name_outputs(tagging.labels, config, model)
    by_output = dict(zip(numbers, tagging.labels, strict=True))
    return dataclasses.replace(tagging, labels=tuple(name for _, name in sorted(by_output.items())))
