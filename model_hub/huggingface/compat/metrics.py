"""``load_metric`` as datasets 2 had it, over the metrics of this library's tasks."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.padding import NO_LABEL
from model_hub.huggingface.tasks.question_answering.metrics import (
    squad_v1_metrics,
    squad_v2_metrics,
)
from model_hub.huggingface.tasks.text_classification.glue import GLUE_TASKS
from model_hub.huggingface.tasks.text_classification.metrics import (
    classification_metrics,
    regression_metrics,
)
from model_hub.huggingface.tasks.token_classification.entities import LabelTables, count_entities
from model_hub.huggingface.tasks.token_classification.reducer import entity_scores

# Metrics of our trials that GLUE's script does not compute.
_NOT_IN_GLUE = ("combined_score", "mse")
# MNLI's two validation splits, and a test of models that were trained on it.
_LIKE_MNLI = ("mnli_matched", "mnli_mismatched", "hans")


class Metric:
    """A metric that collects predictions and references, and is computed from all of them.

    Args:
        name: name of the metric.
        config_name: its configuration: for ``glue`` the task.
        function: computes the metrics from all predictions and references.

    Attributes:
        name: name of the metric.
        config_name: its configuration.
    """

    def __init__(
        self, name: str, config_name: str | None, function: Callable[..., dict[str, Any]]
    ) -> None:
        self.name = name
        self.config_name = config_name
        self._function = function
        self._predictions: list[Any] = []
        self._references: list[Any] = []

    def add(self, *, prediction: Any, reference: Any) -> None:
        """Add one prediction and its reference."""
        self._predictions.append(prediction)
        self._references.append(reference)

    def add_batch(self, *, predictions: Iterable[Any], references: Iterable[Any]) -> None:
        """Add predictions and their references.

        Raises:
            ValueError: if their numbers differ.
        """
        predictions, references = _rows(predictions), _rows(references)
        if len(predictions) != len(references):
            raise ValueError(
                f"{len(predictions)} predictions, but {len(references)} references of the metric "
                f"{self.name!r}"
            )
        self._predictions += predictions
        self._references += references

    def compute(
        self,
        *,
        predictions: Iterable[Any] | None = None,
        references: Iterable[Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Return the metrics over all that was added, and forget it.

        Args:
            predictions: added first, with ``references``.
            references: added first.
            options: arguments of the metric, such as ``no_answer_threshold`` of ``squad_v2``.

        Raises:
            ValueError: if there is nothing, or predictions without references.
        """
        if (predictions is None) != (references is None):
            raise ValueError(f"the metric {self.name!r} needs predictions and references")
        if predictions is not None and references is not None:
            self.add_batch(predictions=predictions, references=references)
        added, self._predictions = self._predictions, []
        expected, self._references = self._references, []
        if not added:
            raise ValueError(f"the metric {self.name!r} got no predictions")
        return self._function(added, expected, **options)


def load_metric(
    path: str,
    config_name: str | None = None,
    process_id: int = 0,
    num_process: int = 1,
    **options: Any,
) -> Metric:
    """Return a metric by its old name.

    Args:
        path: ``accuracy``, ``glue``, ``seqeval``, ``squad``, ``squad_v2`` or ``xnli``.
        config_name: for ``glue`` the task: ``cola``, ``mrpc``, ...
        process_id: number of the process.
        num_process: processes that add to one metric; only 1 is supported. A custom reducer of
            Determined computes the metric in one process, of what all have returned.
        options: where and how the old function downloaded and cached (``cache_dir``, ``timeout``,
            ...); without effect.

    Raises:
        UserError: if there is no such metric or configuration, or there are several processes.
    """
    call = f"datasets.load_metric({path!r}" + (f", {config_name!r})" if config_name else ")")
    if num_process != 1:
        raise UserError(
            f"{call}: num_process is {num_process}, but only 1 is supported; call compute in a "
            "reducer of context.wrap_reducer, which gets what all processes have returned."
        )
    if path == "glue":
        return Metric(path, config_name, _glue_function(call, config_name))
    functions: dict[str, Callable[..., dict[str, Any]]] = {
        "accuracy": functools.partial(_classification, ("accuracy",)),
        "seqeval": _seqeval,
        "squad": _squad,
        "squad_v2": _squad_v2,
        "xnli": functools.partial(_classification, ("accuracy",)),
    }
    if path not in functions:
        names = ", ".join(sorted([*functions, "glue"]))
        raise UserError(
            f"{call}: datasets no longer has load_metric, and model-hub has only {names} in its "
            "place. Compute another metric in the trial, for instance by the package evaluate."
        )
    return Metric(path, config_name, functions[path])


def _rows(values: Iterable[Any]) -> list[Any]:
    # Of one row, np.squeeze leaves an array without a dimension.
    return list(np.atleast_1d(values) if isinstance(values, np.ndarray) else values)


def _glue_function(call: str, task: str | None) -> Callable[..., dict[str, Any]]:
    tasks = sorted({*GLUE_TASKS, *_LIKE_MNLI} - {"xnli"})
    if task is None:
        # The old trial of GLUE loads it so for data of its own, and then does not use it.
        return functools.partial(_no_task, f"{call} needs a task: {', '.join(tasks)}.")
    if task not in tasks:
        raise UserError(f"{call}: there is no task {task!r}, only {', '.join(tasks)}.")
    definition = GLUE_TASKS["mnli" if task in _LIKE_MNLI else task]
    names = [name for name in definition.metrics if name not in _NOT_IN_GLUE]
    return functools.partial(_classification if definition.label_names else _regression, names)


def _no_task(message: str, predictions: list[Any], references: list[Any]) -> dict[str, Any]:
    raise UserError(message)


def _classification(
    names: Sequence[str], predictions: list[Any], references: list[Any]
) -> dict[str, Any]:
    # Beside what occurs the label 1, of which F1 is computed.
    labels, places = np.unique([*references, *predictions, 1], return_inverse=True)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    rows = len(references)
    np.add.at(confusion, (places[:rows], places[rows:-1]), 1)
    return classification_metrics(confusion, names, positive=labels.tolist().index(1))


def _regression(
    names: Sequence[str], predictions: list[Any], references: list[Any]
) -> dict[str, Any]:
    return regression_metrics(np.array(predictions), np.array(references), names)


def _answers(references: list[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return gold answers by id; ``answers`` is a dict of lists, or a list of dicts."""
    return {
        row["id"]: list(
            row["answers"]["text"]
            if isinstance(row["answers"], Mapping)
            else [answer["text"] for answer in row["answers"]]
        )
        for row in references
    }


def _squad(
    predictions: list[Mapping[str, Any]], references: list[Mapping[str, Any]]
) -> dict[str, Any]:
    texts = {row["id"]: row["prediction_text"] for row in predictions}
    return squad_v1_metrics(texts, _answers(references))


def _squad_v2(
    predictions: list[Mapping[str, Any]],
    references: list[Mapping[str, Any]],
    no_answer_threshold: float = 1.0,
) -> dict[str, Any]:
    texts = {row["id"]: row["prediction_text"] for row in predictions}
    scores = {row["id"]: row["no_answer_probability"] for row in predictions}
    return squad_v2_metrics(texts, _answers(references), scores, no_answer_threshold)


def _seqeval(predictions: list[list[str]], references: list[list[str]]) -> dict[str, Any]:
    """Return the scores of each type of entity, a dict each, and over all types."""
    if [len(row) for row in predictions] != [len(row) for row in references]:
        raise ValueError("a row of predictions has another number of labels than its reference")
    labels = sorted({label for row in (*predictions, *references) for label in row})
    number = {label: n for n, label in enumerate(labels)}
    predicted, gold = (
        torch.nn.utils.rnn.pad_sequence(
            [torch.tensor([number[label] for label in row], dtype=torch.int64) for row in rows],
            batch_first=True,
            padding_value=padding,
        )
        # Where there is no gold label, the prediction does not count.
        for rows, padding in ((predictions, 0), (references, NO_LABEL))
    )
    tables = LabelTables(labels)
    counts = {name: n.numpy() for name, n in count_entities(predicted, gold, tables).items()}
    by_type = [counts[name] for name in ("matched", "predicted", "gold")]
    results: dict[str, Any] = {
        # As seqeval calls entities whose label has no type.
        kind or "_": {**entity_scores(*of_type), "number": int(of_type[-1])}
        for kind, *of_type in zip(tables.types, *by_type, strict=True)
    }
    overall = entity_scores(*(counts.sum() for counts in by_type))
    results |= {f"overall_{name}": value for name, value in overall.items()}
    tokens, right = int(counts["tokens"]), int(counts["right_tokens"])
    return {**results, "overall_accuracy": right / tokens if tokens else float("nan")}
