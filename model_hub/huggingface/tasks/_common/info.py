"""The facts of a task that other packages need, in one object for each kind of model."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from model_hub.huggingface.tasks._common.predictor import Predictor


@dataclasses.dataclass(frozen=True)
class TaskInfo:
    """A task, for the packages that treat all tasks alike.

    Attributes:
        package: name of the package in ``model_hub.huggingface.tasks``.
        pipeline_tag: name of the task on the Hugging Face Hub.
        auto_class: name of transformers' Auto class for its models.
        model_mode: ``hyperparameters.model_mode`` of its trials.
        data_kwargs: dataclasses of section ``data``, bases first.
        predictors: the first that supports model and rows is used.
        architectures: model classes that the Auto class does not list.
        texts_per_sequence: number of texts in a sequence, to which the tokenizer adds special
            tokens; None if sequences are not made that way.
        smoothing_conflict: why label smoothing does not apply, for the error; None if it does.
        build_datasets: the task's function of this name, if its features show texts and which of
            their tokens are learned.
        card_tag: takes section ``data`` and returns the tag for the model card, if that is more
            specific than ``pipeline_tag``.
    """

    package: str
    pipeline_tag: str
    auto_class: str
    model_mode: str
    data_kwargs: tuple[type, ...]
    predictors: tuple[type[Predictor], ...]
    architectures: tuple[str, ...] = ()
    texts_per_sequence: int | None = None
    smoothing_conflict: str | None = None
    build_datasets: Callable[..., Any] | None = None
    card_tag: Callable[[Mapping[str, Any]], str] | None = None
