"""What a trained model is for, as the name of its class tells."""

import difflib
from typing import Any

import transformers

from model_hub.errors import UserError

#: Names of tasks as the Hugging Face Hub has them, each with the Auto class that builds its models.
TASKS = {
    "question-answering": "AutoModelForQuestionAnswering",
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "multiple-choice": "AutoModelForMultipleChoice",
    "text2text-generation": "AutoModelForSeq2SeqLM",
    "text-generation": "AutoModelForCausalLM",
    "fill-mask": "AutoModelForMaskedLM",
}

# Classes that the tables of transformers do not have under these tasks, since another class of the
# same family stands there.
_FURTHER = {
    "XLNetForQuestionAnswering": "question-answering",
    "FlaubertForQuestionAnswering": "question-answering",
    "XLMForQuestionAnswering": "question-answering",
}


def task_of(architecture: str) -> str | None:
    """The task of a model class; None for one that none of the tasks above is for."""
    for task, auto_class in TASKS.items():
        if architecture in _classes(auto_class):
            return task
    return _FURTHER.get(architecture)


def check_task(task: str) -> str:
    """The same name.

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
    """The class of that name in transformers; None if there is none."""
    found = getattr(transformers, architecture, None)
    is_model = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
    return found if is_model else None


def _classes(auto_class: str) -> set[str]:
    mapping: Any = getattr(transformers, auto_class)._model_mapping
    names: set[str] = set()
    # The names alone: the classes themselves would all be imported.
    for value in mapping._model_mapping.values():
        names.update(value if isinstance(value, (tuple, list)) else [value])
    return names
