"""Rows of words with labels: columns, names of the labels, and checks of them."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from model_hub.errors import UserError
from model_hub.huggingface.data import load
from model_hub.huggingface.data.columns import columns_of_lists, is_text
from model_hub.huggingface.tasks._common import preparation
from model_hub.huggingface.tasks.token_classification.schemes import find_scheme
from model_hub.huggingface.tasks.token_classification.settings import TokenClassificationDataKwargs

logger = logging.getLogger("model_hub")

_SPLITS = ("train", "validation")
_LAYOUT = '{"tokens": ["In", "Paris"], "ner_tags": ["O", "B-location"]}'


@dataclasses.dataclass(frozen=True)
class TaggingSchema:
    """The columns of words and labels, and the labels.

    Attributes:
        tokens_column: the column with lists of words.
        tags_column: the column with lists of labels.
        labels: names of the labels, in the order of the model's outputs.
        names: names of the numbers in the rows; None if the rows hold names.
    """

    tokens_column: str
    tags_column: str
    labels: tuple[str, ...]
    names: tuple[str, ...] | None


def read_tagging(
    raw_datasets: Mapping[str, datasets.Dataset],
    data_kwargs: TokenClassificationDataKwargs,
    finetuning_task: str | None = None,
    sources: Mapping[str, str] | None = None,
) -> TaggingSchema:
    """Find columns and labels, and check all rows, before anything is tokenized.

    Words are in the column ``tokens``, or else in the first one that holds lists. Labels are in the
    column ``<finetuning_task>_tags`` (``ner_tags`` without a task), or else in the next one.

    If labels are numbers, their names are those of the dataset's ``ClassLabel`` or
    ``data.label_names``. If they are texts, the labels are ``data.label_names``, or all that occur
    in the training and validation rows, sorted.

    Args:
        raw_datasets: rows as loaded, splits ``train`` and ``validation``.
        data_kwargs: section ``data``.
        finetuning_task: the hyperparameter of that name: ``ner``, ``pos``, ``chunk``.
        sources: where each split comes from, for messages; see
            :func:`model_hub.huggingface.split_sources`.

    Raises:
        UserError: when there are no such columns, they do not hold lists of words and labels of
            equal length, a label has no name, or labels are of no or of another tagging scheme.
    """
    load.check_splits(raw_datasets)
    where = preparation.sources_of_splits(sources)
    tokens_column, tags_column = _find_columns(
        raw_datasets["train"], default_tags_column(finetuning_task), where["train"]
    )
    tables = {
        split: _checked_table(raw_datasets[split], tokens_column, tags_column, where[split])
        for split in _SPLITS
    }
    tags = {split: _elements(table.column(tags_column)) for split, table in tables.items()}
    numbered = {split: pa.types.is_integer(column.type) for split, column in tags.items()}
    for split, column in tags.items():
        if not (numbered[split] or is_text(column.type)) or numbered[split] != numbered["train"]:
            raise UserError(
                f"{where[split]}: column {tags_column} holds lists of {column.type}, but should "
                "hold lists of labels: texts, or in both splits whole numbers."
            )
    configured = tuple(data_kwargs.label_names) if data_kwargs.label_names else None
    if numbered["train"]:
        names = _names_of_numbers(raw_datasets, tags_column, configured, where)
        for split, column in tags.items():
            _check_numbers(column, names, tags_column, where[split])
        find_scheme(names, data_kwargs.tag_scheme)
        return TaggingSchema(tokens_column, tags_column, names, names)
    found = {split: set(pc.unique(column).to_pylist()) for split, column in tags.items()}
    for split, occurring in found.items():
        unknown = sorted(occurring.difference(configured or occurring))
        if unknown:
            raise UserError(
                f"{where[split]}: column {tags_column} has labels that data.label_names does not "
                f"list: {', '.join(unknown)}. Add them there, or remove data.label_names."
            )
    labels = configured or tuple(sorted(found["train"] | found["validation"]))
    if not labels:
        raise UserError(f"{where['train']}: column {tags_column} has no labels at all.")
    find_scheme(labels, data_kwargs.tag_scheme)
    return TaggingSchema(tokens_column, tags_column, labels, None)


def default_tags_column(finetuning_task: str | None) -> str:
    """Return the name of the column with the labels of a task (``ner``, ``pos``, ``chunk``)."""
    return f"{finetuning_task or 'ner'}_tags"


def _find_columns(dataset: datasets.Dataset, wanted: str, where: str) -> tuple[str, str]:
    columns, lists = dataset.column_names, columns_of_lists(dataset)
    tokens_column = "tokens" if "tokens" in columns else next(iter(lists), columns[0])
    others = [name for name in lists or columns if name != tokens_column]
    tags_column = wanted if wanted in columns else next(iter(others), tokens_column)
    if tags_column == tokens_column:
        raise UserError(
            f"{where}: the columns are {', '.join(columns)}, but token classification needs one "
            f"with the words and one with their labels, {wanted}. Rename or add them; a row looks "
            f"like {_LAYOUT}. hyperparameters.finetuning_task names the labels to learn."
        )
    if (tokens_column, tags_column) != ("tokens", wanted):
        logger.info("words are in column %s, labels in column %s", tokens_column, tags_column)
    return tokens_column, tags_column


def _checked_table(
    dataset: datasets.Dataset, tokens_column: str, tags_column: str, where: str
) -> pa.Table:
    """Return the two columns, after checking their types, nulls and lengths."""
    missing = [name for name in (tokens_column, tags_column) if name not in dataset.column_names]
    if missing:
        raise UserError(
            f"{where}: the columns are {', '.join(dataset.column_names)}; missing: "
            f"{', '.join(missing)}, which the training data has."
        )
    table = dataset.with_format("arrow", columns=[tokens_column, tags_column])[:]
    for name, content in ((tokens_column, "words"), (tags_column, "labels")):
        column = table.column(name)
        if not _is_list(column.type):
            raise UserError(
                f"{where}: column {name} holds {column.type}, but should hold lists of {content}; "
                f"a row looks like {_LAYOUT}. In csv files there are no lists: write json."
            )
        row = _first(column.is_null()) if column.null_count else None
        if row is None and _elements(column).null_count:
            row = next(n for n, values in enumerate(column.to_pylist()) if None in values)
        if row is not None:
            raise UserError(
                f"{where}: row {row + 1} has nothing (null) in column {name} where {content} should"
                " be. Write them or remove the row."
            )
    words = _elements(table.column(tokens_column))
    if len(words) and not is_text(words.type):
        raise UserError(
            f"{where}: column {tokens_column} holds lists of {words.type}, but should hold lists "
            f"of words; a row looks like {_LAYOUT}."
        )
    lengths = [pc.list_value_length(table.column(name)) for name in (tokens_column, tags_column)]
    different = pc.not_equal(*lengths)
    if pc.any(different).as_py():
        row = _first(different)
        raise UserError(
            f"{where}: row {row + 1} has {lengths[0][row]} words in column {tokens_column}, but "
            f"{lengths[1][row]} labels in column {tags_column}. Write one label for each word."
        )
    return table


def _names_of_numbers(
    raw_datasets: Mapping[str, datasets.Dataset],
    tags_column: str,
    configured: tuple[str, ...] | None,
    where: Mapping[str, str],
) -> tuple[str, ...]:
    of_split = {}
    for split in _SPLITS:
        feature: Any = getattr(raw_datasets[split].features[tags_column], "feature", None)
        if isinstance(feature, datasets.ClassLabel):
            of_split[split] = tuple(feature.names)
    for split, names in of_split.items():
        other = configured or of_split.get("train", names)
        if names != other:
            raise UserError(
                f"{where[split]}: column {tags_column} has the labels {', '.join(names)}, but "
                f"{'data.label_names' if configured else where['train']} has {', '.join(other)}. "
                "Both must be the same, in the same order."
            )
    result = configured or of_split.get("train") or of_split.get("validation")
    if result is None:
        raise UserError(
            f"{where['train']}: column {tags_column} holds numbers, whose names are not known. "
            "Write data.label_names with the names of 0, 1, 2 and so on, for instance "
            "[O, B-person, I-person]; or write names in the rows."
        )
    return result


def _check_numbers(
    column: pa.ChunkedArray, names: Sequence[str], tags_column: str, where: str
) -> None:
    wrong = np.setdiff1d(pc.unique(column).to_numpy(), np.arange(len(names)))
    if len(wrong):
        raise UserError(
            f"{where}: column {tags_column} has the label {wrong[0]}, but the {len(names)} names "
            f"({', '.join(names)}) stand for 0 to {len(names) - 1}."
        )


def _elements(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.list_flatten(column)


def _is_list(kind: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def _first(flags: pa.ChunkedArray) -> int:
    return int(flags.to_numpy().argmax())
