"""The task of a text-classification model: columns, labels and metrics."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import pyarrow as pa

from model_hub.errors import UserError
from model_hub.huggingface.data import load
from model_hub.huggingface.data.problems import Problems
from model_hub.huggingface.tasks._common.labels import truncate_text
from model_hub.huggingface.tasks.text_classification.glue import (
    CLASSIFICATION_METRICS,
    REGRESSION_METRICS,
    GlueTask,
    glue_task,
)
from model_hub.huggingface.tasks.text_classification.rows import (
    LABEL,
    PAIRS,
    UNKNOWN_LABEL,
    check_numbers,
    check_present,
    check_texts,
    guess_text_columns,
    label_values,
    rows_with,
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
    metric: str | None = None,
) -> TextClassificationTask:
    """Return what to learn from the data, after checking all rows.

    Args:
        raw_datasets: splits as loaded.
        name: ``hyperparameters.finetuning_task``: a task of GLUE, ``xnli``, or None for the user's
            data. In the user's data, labels that are floats mean regression, and others are
            numbered in sorted order; the text is in a known pair of columns (``sentence1`` and
            ``sentence2``), in ``text`` or ``sentence``, or in the only column of text.
        text_columns: ``data.text_columns``, in place of these.
        sources: where each split comes from, for messages; see
            :func:`model_hub.huggingface.split_sources`.
        metric: ``searcher.metric``; with one of classification, labels that are floats without a
            fraction are classes.

    Raises:
        UserError: naming everything that is wrong: there is no such task, a column is missing or of
            a wrong type, it is not clear which column holds the text, texts or labels are missing,
            or labels are unknown.
    """
    glue = glue_task(name)
    splits = _validation_splits(raw_datasets, name)
    where = {"train": (sources or {}).get("train", "split 'train'")}
    for split in splits:
        named = len(splits) > 1 or split not in (sources or {})
        where[split] = f"split {split!r}" if named else (sources or {})[split]
    train = raw_datasets["train"]
    columns = _text_columns(train, where["train"], glue, text_columns)
    with Problems() as problems:
        for split, source in where.items():
            with problems.part():
                check_texts(raw_datasets[split], source, columns)
        if all(LABEL in raw_datasets[split].column_names for split in where):
            with problems.part():
                task = _find_labels(
                    {split: raw_datasets[split] for split in where}, where, glue, metric
                )
    task = dataclasses.replace(task, name=name, text_columns=columns, validation_splits=splits)
    kind = "a number to predict" if task.is_regression else f"{task.num_labels} classes"
    logger.info("text: %s; label: %s (%s)", " and ".join(columns), LABEL, kind)
    return task


def _find_labels(
    splits: Mapping[str, datasets.Dataset],
    where: Mapping[str, str],
    glue: GlueTask | None,
    metric: str | None,
) -> TextClassificationTask:
    """Return the task with its labels and metrics, after checking all labels."""
    train = splits["train"]
    values = {}
    with Problems() as problems:
        for split, source in where.items():
            with problems.part():
                values[split] = label_values(splits[split], source)
    if glue is not None:
        regression = not glue.label_names
        metrics = glue.metrics
    else:
        regression = _is_regression(train, where["train"], values["train"], metric)
        metrics = REGRESSION_METRICS if regression else CLASSIFICATION_METRICS
    with Problems() as problems:
        if regression:
            for split, source in where.items():
                with problems.part():
                    # In GLUE's test splits the label of all rows is -1; elsewhere it is a number.
                    check_numbers(splits[split], source, refused=-1 if glue else None)
            return TextClassificationTask(None, (), (), {}, False, metrics, None)
        official = glue.label_names if glue else ()
        names, numbers, are_named = _labels(train, values["train"], official)
        # Without any label, the rows are reported below.
        if len(names) == 1:
            problems.add(
                f"{where['train']}: there is only the label {names[0]!r}. Column {LABEL!r} should "
                "hold at least two different labels."
            )
        if official and len(values["train"]) == 1:
            logger.warning("%s: every label is %r", where["train"], *values["train"])
        order = _class_names(train) or official
        for split, source in where.items():
            _check_labels(splits[split], source, values[split], order, numbers, problems)
    positive = 1 if glue and "f1" in metrics else None
    return TextClassificationTask(None, (), names, numbers, are_named, metrics, positive)


def _is_regression(
    train: datasets.Dataset, source: str, values: Sequence[Any], metric: str | None
) -> bool:
    """Return whether the labels are numbers to predict.

    Raises:
        UserError: when they are, but the metric is one of classification.
    """
    if not pa.types.is_floating(train.features.arrow_schema.field(LABEL).type):
        if metric in REGRESSION_METRICS:
            raise UserError(
                f"{source}: column {LABEL!r} does not hold numbers with a decimal point, so that "
                f"its values are classes, but searcher.metric is {metric}. Write one of "
                f"{', '.join(CLASSIFICATION_METRICS)}, or for regression labels such as 3.0."
            )
        return False
    if metric not in CLASSIFICATION_METRICS:
        return True
    if not values:
        return False  # The message is that of rows without a label.
    if all(value.is_integer() for value in values):
        logger.warning(
            "%s: the labels are numbers with a decimal point, but searcher.metric is %s: they are "
            "taken for %d classes. For regression write searcher.metric: mse.",
            source,
            metric,
            len(values),
        )
        return False
    raise UserError(
        f"{source}: column {LABEL!r} holds numbers such as {next(v for v in values if v % 1)}, so "
        f"that this is a regression, but searcher.metric is {metric}. Write one of "
        f"{', '.join(REGRESSION_METRICS)}, or whole numbers or texts as labels."
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
    columns = guess_text_columns(dataset)
    listed = ", ".join(map(repr, dataset.column_names))
    if not columns:
        raise UserError(
            f"{source}: the columns are {listed}, but none of them holds text. Text classification "
            "needs one or two columns of text and the column 'label'."
        )
    if len(columns) > 1 and columns not in PAIRS:
        raise UserError(
            f"{source}: the columns are {listed}; {' and '.join(map(repr, columns))} hold text. "
            "Write in data.text_columns which one or two of them to learn from."
        )
    return columns


def _labels(
    dataset: datasets.Dataset, values: Sequence[Any], official: Sequence[str]
) -> tuple[tuple[str, ...], dict[Any, int], bool]:
    """Return names of the labels, numbers by value of the column, and whether the data names them.

    Args:
        dataset: the training rows.
        values: their distinct labels.
        official: the task's names of the labels; none for the user's data.
    """
    names = _class_names(dataset) or tuple(official)
    if names:
        numbers: dict[Any, int] = {number: number for number in range(len(names))}
        lowered = [name.lower() for name in official]
        # In the order of the task, whose F1 is that of label 1.
        if official and sorted(lowered) == sorted(name.lower() for name in names):
            numbers = {number: lowered.index(name.lower()) for number, name in enumerate(names)}
            names = tuple(official)
        return names, {**numbers, **{name: n for n, name in enumerate(names)}}, True
    values = sorted(values)
    plain = not any(isinstance(value, (bool, float)) for value in values)
    named = values != list(range(len(values))) or not plain
    return tuple(map(str, values)), {value: n for n, value in enumerate(values)}, named


def _class_names(dataset: datasets.Dataset) -> tuple[str, ...]:
    """Return the names of the labels 0, 1, ... in the dataset's features, if it has any."""
    feature = dataset.features[LABEL]
    return tuple(feature.names or ()) if isinstance(feature, datasets.ClassLabel) else ()


def _check_labels(
    dataset: datasets.Dataset,
    source: str,
    values: Sequence[Any],
    order: Sequence[str],
    numbers: Mapping[Any, int],
    problems: Problems,
) -> None:
    """Check that every row has a label, and that it is known.

    Args:
        dataset: rows.
        source: where they come from, for messages.
        values: their distinct labels.
        order: names of the labels 0, 1, ... in the training data; empty if they have none.
        numbers: number of the label by value of the column.
        problems: gets a message for each kind of mistake.
    """
    check_present(dataset, source, problems)
    names = _class_names(dataset)
    if names and order and names != order:
        problems.add(
            f"{source}: the labels are {truncate_text(names)} in this order, but in the training "
            f"data {truncate_text(order)}. Save both in the same way."
        )
        return
    unknown = [value for value in values if value not in numbers]
    if -1 in unknown:
        problems.add(f"{source}: there are rows with the label -1, {UNKNOWN_LABEL}")
        return
    advice = f"Known are {truncate_text(list(numbers))}. Correct or remove these rows."
    what = f"the unknown label {truncate_text(unknown)}"
    problems.add_rows(source, dataset, rows_with(dataset, unknown), what, advice)
