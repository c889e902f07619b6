"""The tasks of GLUE, and XNLI: columns, labels and official metrics."""

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any

from model_hub.errors import UserError


@dataclasses.dataclass(frozen=True)
class GlueTask:
    """The definition of a GLUE task.

    Attributes:
        text_columns: one or two columns with the text.
        label_names: names of the labels 0, 1, ...; empty for regression.
        metrics: official metrics, by their names in GLUE's script; ``combined_score`` is the mean
            of those before it.
    """

    text_columns: tuple[str, ...]
    label_names: tuple[str, ...]
    metrics: tuple[str, ...] = ("accuracy",)


_SENTENCES = ("sentence1", "sentence2")
_INFERENCE = ("entailment", "neutral", "contradiction")
_ACCURACY_AND_F1 = ("accuracy", "f1", "combined_score")

#: By the name in ``hyperparameters.finetuning_task``. Columns and labels are those of the datasets
#: nyu-mll/glue and facebook/xnli, metrics those of Wang et al. 2019 (GLUE), table 1.
GLUE_TASKS = {
    "cola": GlueTask(("sentence",), ("unacceptable", "acceptable"), ("matthews_correlation",)),
    "mnli": GlueTask(("premise", "hypothesis"), _INFERENCE),
    "mrpc": GlueTask(_SENTENCES, ("not_equivalent", "equivalent"), _ACCURACY_AND_F1),
    "qnli": GlueTask(("question", "sentence"), ("entailment", "not_entailment")),
    "qqp": GlueTask(("question1", "question2"), ("not_duplicate", "duplicate"), _ACCURACY_AND_F1),
    "rte": GlueTask(_SENTENCES, ("entailment", "not_entailment")),
    "sst2": GlueTask(("sentence",), ("negative", "positive")),
    # mse is not official: the baseline, whose correlation is not defined, needs it.
    "stsb": GlueTask(_SENTENCES, (), ("pearson", "spearmanr", "combined_score", "mse")),
    "wnli": GlueTask(_SENTENCES, ("not_entailment", "entailment")),
    "xnli": GlueTask(("premise", "hypothesis"), _INFERENCE),
}

#: Metrics of the user's data: of classification, and of regression.
CLASSIFICATION_METRICS = ("accuracy", "f1")
REGRESSION_METRICS = ("mse", "pearson", "spearmanr")


def reported(metric_names: Sequence[str], finetuning_task: Any) -> tuple[str, ...]:
    """Return the metric names of a trial without those of other tasks.

    Args:
        metric_names: names of the trial; those that belong to no task stay.
        finetuning_task: ``hyperparameters.finetuning_task``; all names stay if it is not a task.
    """
    if finetuning_task is not None and finetuning_task not in tuple(GLUE_TASKS):
        return tuple(metric_names)
    by_task: dict[Any, tuple[str, ...]] = {
        None: CLASSIFICATION_METRICS + REGRESSION_METRICS,
        **{name: task.metrics for name, task in GLUE_TASKS.items()},
    }
    by_task["mnli"] = ("accuracy", "accuracy_mismatched", "validation_loss_mismatched")
    others = {name for names in by_task.values() for name in names} - {*by_task[finetuning_task]}
    return tuple(name for name in metric_names if name not in others)


def glue_task(name: str | None) -> GlueTask | None:
    """Return the task of that name, or None for None: the user's data.

    Raises:
        UserError: when there is no such task.
    """
    if name is None:
        return None
    if name in GLUE_TASKS:
        return GLUE_TASKS[name]
    near = difflib.get_close_matches(str(name).lower(), GLUE_TASKS, 1, 0.6)
    raise UserError(
        f"hyperparameters.finetuning_task is {name!r}"
        + (f"; did you mean {near[0]}?" if near else "")
        + f" Write one of {', '.join(GLUE_TASKS)}, or null for data of your own."
    )
