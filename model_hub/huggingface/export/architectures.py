"""The task of a trained model, from the name of its class."""

import difflib
from typing import Any

import transformers

from model_hub.errors import UserError

#: The Hugging Face Hub's names of tasks, each with the Auto class of its models.
TASKS = {
    "question-answering": "AutoModelForQuestionAnswering",
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "multiple-choice": "AutoModelForMultipleChoice",
    "text2text-generation": "AutoModelForSeq2SeqLM",
    "text-generation": "AutoModelForCausalLM",
    "fill-mask": "AutoModelForMaskedLM",
}

# Classes that are not in the mappings of the Auto classes, which have another class of the family.
_NOT_IN_MAPPINGS = {
    "XLNetForQuestionAnswering": "question-answering",
    "FlaubertForQuestionAnswering": "question-answering",
    "XLMForQuestionAnswering": "question-answering",
}


def task_of(architecture: str) -> str | None:
    """Return the task of a model class; None if it has none of :data:`TASKS`."""
    for task, auto_class in TASKS.items():
        if architecture in _classes(auto_class):
            return task
    return _NOT_IN_MAPPINGS.get(architecture)


def check_task(task: str) -> str:
    """Return the name of a task unchanged.

    Raises:
        UserError: when there is no such task.
    """
    if task in TASKS:
        return task
    near = difflib.get_close_matches(task, TASKS, 1, 0.6)
    raise UserError(
        f"--task is {task!r}"
        + (f"; did you mean {near[0]}?" if near else ".")
        + f" Write one of {', '.join(TASKS)}."
    )


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
