"""The tasks of GLUE, and XNLI: their columns, their labels and their official metrics."""

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any

from model_hub.errors import UserError


@dataclasses.dataclass(frozen=True)
class GlueTask:
    """What GLUE says of one task.

    Attributes:
        text_columns: one or two columns that hold the text.
        label_names: names of the labels 0, 1, ...; empty where a number is to be predicted.
        metrics: official metrics, under the names that GLUE's own script gives them;
            ``combined_score`` is the mean of those before it.
    """

    text_columns: tuple[str, ...]
    label_names: tuple[str, ...]
    metrics: tuple[str, ...] = ("accuracy",)


_SENTENCES = ("sentence1", "sentence2")
_INFERENCE = ("entailment", "neutral", "contradiction")
_ACCURACY_AND_F1 = ("accuracy", "f1", "combined_score")

#: By the name in ``hyperparameters.finetuning_task``. Columns and labels are those of the data sets
#: nyu-mll/glue and facebook/xnli; metrics are those of Wang et al. 2019 (GLUE), table 1.
GLUE_TASKS = {
    "cola": GlueTask(("sentence",), ("unacceptable", "acceptable"), ("matthews_correlation",)),
    "mnli": GlueTask(("premise", "hypothesis"), _INFERENCE),
    "mrpc": GlueTask(_SENTENCES, ("not_equivalent", "equivalent"), _ACCURACY_AND_F1),
    "qnli": GlueTask(("question", "sentence"), ("entailment", "not_entailment")),
    "qqp": GlueTask(("question1", "question2"), ("not_duplicate", "duplicate"), _ACCURACY_AND_F1),
    "rte": GlueTask(_SENTENCES, ("entailment", "not_entailment")),
    "sst2": GlueTask(("sentence",), ("negative", "positive")),
    # mse is not official; it is there to be compared with the baseline, which has no correlation.
    "stsb": GlueTask(_SENTENCES, (), ("pearson", "spearmanr", "combined_score", "mse")),
    "wnli": GlueTask(_SENTENCES, ("not_entailment", "entailment")),
    "xnli": GlueTask(("premise", "hypothesis"), _INFERENCE),
}


#: Metrics of data of one's own: of labels, and of numbers that are to be predicted.
OWN_CLASSES = ("accuracy", "f1")
OWN_NUMBERS = ("mse", "pearson", "spearmanr")


def prefix_metrics(metric_names: Sequence[str], finetuning_task: Any) -> tuple[str, ...]:
    """The metric names without those that are of other tasks.

    Args:
        metric_names: those of a trial, its own ones among them.
        finetuning_task: ``hyperparameters.finetuning_task``; all names stay if it is no task.
    """
    if finetuning_task is not None and finetuning_task not in tuple(GLUE_TASKS):
        return tuple(metric_names)
    own = OWN_CLASSES + OWN_NUMBERS
    by_task: dict[Any, tuple[str, ...]] = {
        None: own,
        **{name: task.metrics for name, task in GLUE_TASKS.items()},
    }
    by_task["mnli"] = ("accuracy", "accuracy_mismatched")
    others = {name for names in by_task.values() for name in names} - {*by_task[finetuning_task]}
    return tuple(name for name in metric_names if name not in others)


def glue_task(name: str | None) -> GlueTask | None:
    """The task of that name; None stands for data of one's own.

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
