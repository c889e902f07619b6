"""The task of a trained model, from the name of its class."""

from typing import Any

import transformers

from model_hub.errors import UserError
from model_hub.experiment.messages import did_you_mean
from model_hub.huggingface import tasks

#: The Auto class for each task, by the task's name on the Hugging Face Hub.
AUTO_CLASSES = {task.pipeline_tag: task.auto_class for task in tasks.TASKS}


def task_of(architecture: str) -> str | None:
    """Return the name of the task that a model class is for, or None."""
    for task in tasks.TASKS:
        if architecture in task.architectures or architecture in _classes(task.auto_class):
            return task.pipeline_tag
    return None


def check_task(task: str) -> str:
    """Return the name of a task unchanged.

    Raises:
        UserError: when there is no such task.
    """
    if task in AUTO_CLASSES:
        return task
    hint = did_you_mean(task, AUTO_CLASSES) or "."
    raise UserError(f"--task is {task!r}{hint} Write one of {', '.join(AUTO_CLASSES)}.")


def model_class(architecture: str) -> Any:
    """Return the model class of that name in transformers; None if there is none."""
    cls = getattr(transformers, architecture, None)
    is_model = isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel)
    return cls if is_model else None


def _classes(auto_class: str) -> set[str]:
    mapping: Any = getattr(transformers, auto_class)._model_mapping
    names: set[str] = set()
    # Only the names: asking for the classes would import the modules of all models.
    for value in mapping._model_mapping.values():
        names.update(value if isinstance(value, (tuple, list)) else [value])
    return names
