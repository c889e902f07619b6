"""What a text-classification model is to learn: from which columns, which labels, which metrics."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import pyarrow as pa

from model_hub.errors import UserError
from model_hub.huggingface.data import load
from model_hub.huggingface.data.columns import columns_of_text
from model_hub.huggingface.tasks._common.labels import truncate_text
from model_hub.huggingface.tasks.text_classification.glue import (
    OWN_CLASSES,
    OWN_NUMBERS,
    GlueTask,
    glue_task,
)
from model_hub.huggingface.tasks.text_classification.rows import (
    LABEL,
    check_numbers,
    check_texts,
    label_values,
    misspelt_label,
)

logger = logging.getLogger("model_hub")

# MNLI is validated twice: on texts of the kinds that it is trained on, and on texts of others.
_MATCHED, _MISMATCHED = "validation_matched", "validation_mismatched"


@dataclasses.dataclass(frozen=True)
class TextClassificationTask:
    """What is to be learned.

    Attributes:
        name: a key of ``GLUE_TASKS``; None for data of one's own.
        text_columns: the one or two columns that hold the text.
        label_names: by number of the label; empty where a number is to be predicted (regression).
        label_numbers: by value of the column ``label`` the number of the label.
        named: whether the data gives its labels names; else these are ``0``, ``1``, ...
        metrics: names of the metrics.
        positive: the label whose F1 is meant; None for macro F1.
        validation_splits: splits of the data that are validated on.
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
        """Whether a number is to be predicted instead of a label."""
        return not self.label_names

    @property
    def num_labels(self) -> int:
        """Outputs of the model's head."""
        return len(self.label_names) or 1

    @property
    def metric_suffixes(self) -> tuple[str, ...]:
        """What follows the names of the metrics of each validation split."""
        return tuple("_mismatched" if n == _MISMATCHED else "" for n in self.validation_splits)


def find_task(
    raw_datasets: Mapping[str, datasets.Dataset],
    name: str | None,
    text_columns: str | Sequence[str] | None = None,
    sources: Mapping[str, str] | None = None,
) -> TextClassificationTask:
    """Says what is to be learned from the data, and checks all rows for it.

    Args:
        raw_datasets: splits as loaded.
        name: ``hyperparameters.finetuning_task``: a task of GLUE, ``xnli``, or None for data of
            one's own. Then floats as labels mean regression; other labels are numbered in their
            sorted order; the text is in ``sentence1`` and ``sentence2`` or else in the first two
            (or the only) columns of text.
        text_columns: ``data.text_columns``: take these instead.
        sources: where each split comes from, for messages; see
            :func:`model_hub.huggingface.split_sources`.

    Raises:
        UserError: when there is no such task, a column is missing or of a wrong type, a text or a
            label is empty, or a label is unknown.
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
        metrics, names = OWN_NUMBERS, ()
    else:
        metrics, names = OWN_CLASSES, None
    if names == ():
        for split, source in where.items():
            # In GLUE's test splits the label of all rows is -1; in one's own data it is a number.
            check_numbers(raw_datasets[split], source, refused=-1 if glue else None)
        return TextClassificationTask(name, columns, (), {}, False, metrics, None, splits)
    label_names, numbers, are_named = _labels(train, where["train"], names)
    if len(label_names) < 2:
        raise UserError(
            f"{where['train']}: there is only the label {label_names[0]!r}, so there is nothing to "
            f"tell apart. Column {LABEL!r} should hold at least two labels."
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
    """Checks that some rows have texts and labels, without looking at what the labels are.

    Args:
        dataset: rows as loaded, or the first of them.
        source: where they come from, for messages.
        name: ``hyperparameters.finetuning_task``.
        text_columns: ``data.text_columns``.

    Raises:
        UserError: when there is no such task, or a column is missing, of a wrong type or empty.
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
    """The type of the column ``label``; null where it is not there."""
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
    # A misspelt label is none of the texts, so that the message about it is right.
    label = misspelt_label(dataset.column_names) or LABEL
    texts = columns_of_text(dataset, leave_out=[label])
    if not texts:
        raise UserError(
            f"{source}: the columns are {', '.join(map(repr, dataset.column_names))}, but none of "
            "them holds text. Text classification needs one or two columns of text and the column "
            "'label'."
        )
    pair = ("sentence1", "sentence2")
    columns = pair if set(pair) <= set(texts) else tuple(texts[:2])
    logger.info(
        "%s: the text is taken from %s (data.text_columns can name others)",
        source,
        " and ".join(map(repr, columns)),
    )
    return columns


def _labels(
    dataset: datasets.Dataset, source: str, official: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[Any, int], bool]:
    """Names of the labels, numbers by value of the column, and whether the data names them.

    Args:
        dataset: the training rows.
        source: where they come from, for messages.
        official: names that the task gives the labels; None for data of one's own.

    Raises:
        UserError: when labels are of a type that cannot be a label.
    """
    names = _class_names(dataset)
    if names:
        numbers: dict[Any, int] = {number: number for number in range(len(names))}
        # In the order of the task, whose label 1 is the one that F1 is about.
        if official and _lowered(official) == _lowered(names):
            places = [[each.lower() for each in official].index(name.lower()) for name in names]
            numbers, names = dict(enumerate(places)), tuple(official)
        return names, {**numbers, **{name: n for n, name in enumerate(names)}}, True
    if official:
        numbers = {number: number for number in range(len(official))}
        return tuple(official), {**numbers, **{name: n for n, name in enumerate(official)}}, True
    values = sorted(label_values(dataset, source))
    named = values != list(range(len(values))) or isinstance(values[0], bool)
    return tuple(map(str, values)), {value: n for n, value in enumerate(values)}, named


def _class_names(dataset: datasets.Dataset) -> tuple[str, ...]:
    """Names that the data set itself gives the labels 0, 1, ...; none if it does not."""
    feature = dataset.features[LABEL]
    return tuple(feature.names or ()) if isinstance(feature, datasets.ClassLabel) else ()


def _lowered(names: Sequence[str]) -> list[str]:
    return sorted(name.lower() for name in names)


def _check_labels(
    dataset: datasets.Dataset, source: str, order: Sequence[str], numbers: Mapping[Any, int]
) -> None:
    """Checks that every label is known.

    Args:
        dataset: rows.
        source: where they come from, for messages.
        order: names of the labels 0, 1, ... in the training data; empty if they have none.
        numbers: by value of the column the number of the label.

    Raises:
        UserError: when one is not; or when names stand for other numbers here than in the
            training data.
    """
    called = _class_names(dataset)
    if called and order and called != order:
        raise UserError(
            f"{source}: the labels are called {truncate_text(called)} in this order, but in the "
            f"training data {truncate_text(order)}. Save both in the same way."
        )
    unknown = [value for value in label_values(dataset, source) if value not in numbers]
    if not unknown:
        return
    if -1 in unknown:
        raise UserError(
            f"{source}: there are rows with the label -1, which means that their label is not "
            "known; GLUE's test splits are so. Take a split with labels, or remove these rows."
        )
    known = truncate_text(list(numbers))
    raise UserError(
        f"{source}: unknown label {truncate_text(unknown)}; known are {known}. Correct or "
        "remove these "
        "rows"
        + (
            f"; or, if numbers are to be predicted, write those of the training data with a "
            f"decimal point ({float(next(iter(numbers)))})."
            if any(isinstance(value, float) for value in unknown)
            else "."
        )
    )
