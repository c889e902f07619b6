"""The task of a text-classification model: columns, labels and metrics."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import pyarrow as pa

from model_hub.errors import UserError
from model_hub.huggingface.data import load
from model_hub.huggingface.tasks._common.labels import truncate_text
from model_hub.huggingface.tasks.text_classification.glue import (
    CLASSIFICATION_METRICS,
    REGRESSION_METRICS,
    GlueTask,
    glue_task,
)
from model_hub.huggingface.tasks.text_classification.rows import (
    LABEL,
    UNKNOWN_LABEL,
    check_numbers,
    check_texts,
    default_text_columns,
    label_values,
    misspelt_label,
)

logger = logging.getLogger("model_hub")

# MNLI has two validation splits: texts from the sources of the training data, and from others.
_MATCHED, _MISMATCHED = "validation_matched", "validation_mismatched"


@dataclasses.dataclass(frozen=True)
class TextClassificationTask:
    """What to learn from the data.

    Attributes:
        name: a key of ``GLUE_TASKS``; None for the user's data.
        text_columns: the one or two columns with the text.
        label_names: by number of the label; empty for regression.
        label_numbers: number of the label by value of the column ``label``.
        named: whether the data names its labels; if not, the names are ``0``, ``1``, ...
        metrics: names of the metrics.
        positive: the label for F1; None for macro F1.
        validation_splits: splits of the data to validate on.
    """

    name: str | None
    text_columns: tuple[str, ...]
    label_names: tuple[str, ...]
    label_numbers: Mapping[Any, int]
    named: bool
    metrics: tuple[str, ...]
    positive: int | None
    validation_splits: tuple[str, ...] = ("validation",)

    @property
    def is_regression(self) -> bool:
        """Whether the model predicts a number instead of a label."""
        return not self.label_names

    @property
    def num_labels(self) -> int:
        """Number of outputs of the model's head."""
        return len(self.label_names) or 1

    @property
    def metric_suffixes(self) -> tuple[str, ...]:
        """The suffix of the metrics' names for each validation split."""
        return tuple("_mismatched" if n == _MISMATCHED else "" for n in self.validation_splits)


def find_task(
    raw_datasets: Mapping[str, datasets.Dataset],
    name: str | None,
    text_columns: str | Sequence[str] | None = None,
    sources: Mapping[str, str] | None = None,
) -> TextClassificationTask:
    """Return what to learn from the data, after checking all rows.

    Args:
        raw_datasets: splits as loaded.
        name: ``hyperparameters.finetuning_task``: a task of GLUE, ``xnli``, or None for the user's
            data. In the user's data, labels that are floats mean regression, and others are
            numbered in sorted order; the text is in ``sentence1`` and ``sentence2`` or else in the
            first two (or the only) columns of text.
        text_columns: ``data.text_columns``, in place of these.
        sources: where each split comes from, for messages; see
            :func:`model_hub.huggingface.split_sources`.

    Raises:
        UserError: when there is no such task, a column is missing or of a wrong type, a text or a
            label is null, or a label is unknown.
    """
    glue = glue_task(name)
    splits = _validation_splits(raw_datasets, name)
    where = {"train": (sources or {}).get("train", "split 'train'")}
    for split in splits:
        named = len(splits) > 1 or split not in (sources or {})
        where[split] = f"split {split!r}" if named else (sources or {})[split]
    train = raw_datasets["train"]
    columns = _text_columns(train, where["train"], glue, text_columns)
    for split, source in where.items():
        check_texts(raw_datasets[split], source, columns)
    metrics: tuple[str, ...]
    names: tuple[str, ...] | None
    if glue is not None:
        metrics, names = glue.metrics, glue.label_names
    elif pa.types.is_floating(_label_type(train)):
        metrics, names = REGRESSION_METRICS, ()
    else:
        metrics, names = CLASSIFICATION_METRICS, None
    if names == ():
        for split, source in where.items():
            # In GLUE's test splits the label of all rows is -1; in other data -1 is a number.
            check_numbers(raw_datasets[split], source, refused=-1 if glue else None)
        return TextClassificationTask(name, columns, (), {}, False, metrics, None, splits)
    label_names, numbers, are_named = _labels(train, where["train"], names)
    if len(label_names) < 2:
        raise UserError(
            f"{where['train']}: there is only the label {label_names[0]!r}. Column {LABEL!r} "
            "should hold at least two different labels."
        )
    for split, source in where.items():
        _check_labels(raw_datasets[split], source, _class_names(train) or names or (), numbers)
    positive = 1 if glue and "f1" in metrics else None
    return TextClassificationTask(
        name, columns, label_names, numbers, are_named, metrics, positive, splits
    )


def check_columns(
    dataset: datasets.Dataset,
    source: str,
    name: str | None = None,
    text_columns: str | Sequence[str] | None = None,
) -> None:
    """Check that rows have texts and a column of labels, whatever the labels are.

    Args:
        dataset: rows as loaded, or the first of them.
        source: where they come from, for messages.
        name: ``hyperparameters.finetuning_task``.
        text_columns: ``data.text_columns``.

    Raises:
        UserError: when there is no such task, or a column is missing, of a wrong type or null.
    """
    check_texts(dataset, source, _text_columns(dataset, source, glue_task(name), text_columns))


def _validation_splits(
    raw_datasets: Mapping[str, datasets.Dataset], name: str | None
) -> tuple[str, ...]:
    if name == "mnli" and "validation" not in raw_datasets:
        found = tuple(split for split in (_MATCHED, _MISMATCHED) if split in raw_datasets)
        if found:
            return found
    if _MATCHED in raw_datasets and "validation" not in raw_datasets and name is None:
        raise UserError(
            f"data.dataset_name: there is no split 'validation', only {sorted(raw_datasets)}. "
            "Write hyperparameters.finetuning_task: mnli, or data.validation_file."
        )
    load.check_splits(raw_datasets)
    return ("validation",)


def _label_type(dataset: datasets.Dataset) -> pa.DataType:
    """Return the type of the column ``label``, null if it does not exist."""
    schema = dataset.features.arrow_schema
    return schema.field(LABEL).type if LABEL in schema.names else pa.null()


def _text_columns(
    dataset: datasets.Dataset,
    source: str,
    glue: GlueTask | None,
    wanted: str | Sequence[str] | None,
) -> tuple[str, ...]:
    if wanted is not None:
        columns = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        if not 1 <= len(columns) <= 2 or not all(isinstance(name, str) for name in columns):
            raise UserError(
                f"data.text_columns is {list(columns)}, but should name one or two columns."
            )
        return columns
    if glue is not None:
        return glue.text_columns
    # A misspelt label is not one of the texts, so that the message about it is right.
    columns = default_text_columns(dataset, misspelt_label(dataset.column_names) or LABEL)
    if not columns:
        raise UserError(
            f"{source}: the columns are {', '.join(map(repr, dataset.column_names))}, but none of "
            "them holds text. Text classification needs one or two columns of text and the column "
            "'label'."
        )
    logger.info(
        "%s: the text is taken from %s (data.text_columns can name others)",
        source,
        " and ".join(map(repr, columns)),
    )
    return columns


def _labels(
    dataset: datasets.Dataset, source: str, official: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[Any, int], bool]:
    """Return names of the labels, numbers by value of the column, and whether the data names them.

    Args:
        dataset: the training rows.
        source: where they come from, for messages.
        official: the task's names of the labels; None for the user's data.

    Raises:
        UserError: when the column's type is none of labels.
    """
    names = _class_names(dataset) or tuple(official or ())
    if names:
        numbers: dict[Any, int] = {number: number for number in range(len(names))}
        lowered = [name.lower() for name in official or ()]
        # In the order of the task, whose F1 is that of label 1.
        if official and sorted(lowered) == sorted(name.lower() for name in names):
            numbers = {number: lowered.index(name.lower()) for number, name in enumerate(names)}
            names = tuple(official)
        return names, {**numbers, **{name: n for n, name in enumerate(names)}}, True
    values = sorted(label_values(dataset, source))
    named = values != list(range(len(values))) or isinstance(values[0], bool)
    return tuple(map(str, values)), {value: n for n, value in enumerate(values)}, named


def _class_names(dataset: datasets.Dataset) -> tuple[str, ...]:
    """Return the names of the labels 0, 1, ... in the dataset's features, if it has any."""
    feature = dataset.features[LABEL]
    return tuple(feature.names or ()) if isinstance(feature, datasets.ClassLabel) else ()


def _check_labels(
    dataset: datasets.Dataset, source: str, order: Sequence[str], numbers: Mapping[Any, int]
) -> None:
    """Check that every label is known.

    Args:
        dataset: rows.
        source: where they come from, for messages.
        order: names of the labels 0, 1, ... in the training data; empty if they have none.
        numbers: number of the label by value of the column.

    Raises:
        UserError: when one is not, or the order of names is not that of the training data.
    """
    names = _class_names(dataset)
    if names and order and names != order:
        raise UserError(
            f"{source}: the labels are {truncate_text(names)} in this order, but in the training "
            f"data {truncate_text(order)}. Save both in the same way."
        )
    unknown = [value for value in label_values(dataset, source) if value not in numbers]
    if not unknown:
        return
    if -1 in unknown:
        raise UserError(f"{source}: there are rows with the label -1, {UNKNOWN_LABEL}")
    known = truncate_text(list(numbers))
    raise UserError(
        f"{source}: unknown label {truncate_text(unknown)}; known are {known}. Correct or remove "
        "these rows"
        + (
            f"; or, for regression, write the numbers of the training data with a decimal point "
            f"({float(next(iter(numbers)))})."
            if any(isinstance(value, float) for value in unknown)
            else "."
        )
    )
