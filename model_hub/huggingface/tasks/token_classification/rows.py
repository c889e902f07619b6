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
from model_hub.huggingface.data.columns import (
    add_json_rows,
    columns_of_lists,
    require_columns,
)
from model_hub.huggingface.data.json_types import JSON, is_list, is_string, type_name
from model_hub.huggingface.data.problems import Problems
from model_hub.huggingface.tasks._common import preparation
from model_hub.huggingface.tasks._common.labels import truncate_text
from model_hub.huggingface.tasks.token_classification.schemes import find_scheme
from model_hub.huggingface.tasks.token_classification.settings import TokenClassificationDataKwargs

logger = logging.getLogger("model_hub")

_SPLITS = ("train", "validation")
# Names of a column of labels, if there is none for the task.
_TAGS = ("tags", "labels")
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
    train = raw_datasets["train"]
    columns = _find_columns(train, data_kwargs, finetuning_task, where["train"])
    with Problems() as problems:
        for split in _SPLITS:
            with problems.part():
                _check_rows(raw_datasets[split], *columns, where[split])
    tokens_column, tags_column = columns
    tags = {
        split: _elements(raw_datasets[split].with_format("arrow")[:].column(tags_column))
        for split in _SPLITS
    }
    configured = tuple(data_kwargs.label_names) if data_kwargs.label_names else None
    numbered = {split: pa.types.is_integer(column.type) for split, column in tags.items()}
    for split, column in tags.items():
        if numbered[split] != numbered["train"]:
            raise UserError(
                f"{where[split]}: column {tags_column} holds lists of {column.type}, and in the "
                f"training data lists of {tags['train'].type}. Write the same in both."
            )
    if numbered["train"]:
        names = _names_of_numbers(raw_datasets, tags_column, configured, where)
        with problems:
            for split, column in tags.items():
                with problems.part():
                    _check_numbers(column, names, tags_column, where[split])
        find_scheme(names, data_kwargs.tag_scheme)
        return TaggingSchema(tokens_column, tags_column, names, names)
    found = {split: set(pc.unique(column).to_pylist()) for split, column in tags.items()}
    with problems:
        for split, occurring in found.items():
            unknown = sorted(occurring.difference(configured or occurring))
            if unknown:
                problems.add(
                    f"{where[split]}: column {tags_column} has labels that data.label_names does "
                    f"not list: {', '.join(unknown)}. Add them there, or remove data.label_names."
                )
    new = sorted(found["validation"] - found["train"])
    if new:
        logger.warning(
            "%s: column %s has labels that the training data does not have: %s",
            where["validation"],
            tags_column,
            truncate_text(new),
        )
    if len(found["train"]) == 1:
        logger.warning(
            "%s: every label in column %s is %r", where["train"], tags_column, *found["train"]
        )
    labels = configured or tuple(sorted(found["train"] | found["validation"]))
    if not labels:
        raise UserError(f"{where['train']}: column {tags_column} has no labels at all.")
    if len(labels) < 2:
        raise UserError(
            f"{where['train']}: there is only the label {labels[0]!r}. Column {tags_column} should "
            "hold at least two different labels."
        )
    find_scheme(labels, data_kwargs.tag_scheme)
    return TaggingSchema(tokens_column, tags_column, labels, None)


def default_tags_column(finetuning_task: str | None) -> str:
    """Return the name of the column with the labels of a task (``ner``, ``pos``, ``chunk``)."""
    return f"{finetuning_task or 'ner'}_tags"


def _find_columns(
    dataset: datasets.Dataset,
    data_kwargs: TokenClassificationDataKwargs,
    finetuning_task: str | None,
    where: str,
) -> tuple[str, str]:
    wanted = default_tags_column(finetuning_task)
    columns, lists = dataset.column_names, columns_of_lists(dataset)
    labels = {data_kwargs.tags_column, wanted, *_TAGS}
    first = next((name for name in lists if name not in labels), (*lists, *columns)[0])
    tokens_column = data_kwargs.tokens_column or ("tokens" if "tokens" in columns else first)
    others = [name for name in lists or columns if name != tokens_column]
    known = [n for n in (wanted, *_TAGS) if n in columns and n != tokens_column]
    if data_kwargs.tags_column or known:
        tags_column = data_kwargs.tags_column or known[0]
    elif len(others) > 1:
        raise UserError(
            f"{where}: there is no column {wanted!r}; {', '.join(map(repr, others))} hold lists. "
            "Write in data.tags_column which of them has the labels."
        )
    else:
        tags_column = next(iter(others), tokens_column)
    if tags_column == tokens_column:
        raise UserError(
            f"{where}: the columns are {', '.join(columns)}, but token classification needs one "
            f"with the words and one with their labels, {wanted}. Rename or add them, or write "
            f"their names in data.tokens_column and data.tags_column; a row looks like {_LAYOUT}. "
            "hyperparameters.finetuning_task names the labels to learn."
        )
    logger.info("words: %s; labels: %s", tokens_column, tags_column)
    return tokens_column, tags_column


def _check_rows(
    dataset: datasets.Dataset, tokens_column: str, tags_column: str, where: str
) -> None:
    """Check types, nulls and lengths of the two columns.

    Raises:
        UserError: naming the columns or rows that are wrong.
    """
    names = (tokens_column, tags_column)
    advice = "Rename or add them, or write their names in data.tokens_column and data.tags_column."
    require_columns(dataset, names, where, "token classification", advice)
    table = dataset.with_format("arrow", columns=list(names))[:]
    with Problems() as problems:
        for name, content in zip(names, ("words", "labels"), strict=True):
            column = table.column(name)
            kind = column.type.value_type if is_list(column.type) else None
            if column.type == JSON:
                add_json_rows(problems, dataset, where, name, lists=True)
                continue
            if kind is None:
                problems.add(
                    f"{where}: column {name} holds {type_name(column.type)}, but should hold "
                    f"lists of {content}; a row looks like {_LAYOUT}. In csv files there are no "
                    "lists: write json."
                )
                continue
            allowed = is_string(kind) or pa.types.is_null(kind)
            if content == "labels":
                allowed = allowed or pa.types.is_integer(kind)
            if not allowed:
                problems.add(
                    f"{where}: column {name} holds lists of {type_name(kind)}, but should "
                    f"hold lists of {content}; a row looks like {_LAYOUT}."
                )
            missing = column.is_null().to_numpy()
            if _elements(column).null_count:
                missing = np.array([w is None or None in w for w in column.to_pylist()])
            what = f"null in column {name} where {content} should be"
            problems.add_rows(where, dataset, missing, what, "Write them or remove the rows.")
    lengths = [pc.list_value_length(table.column(name)).to_numpy() for name in names]
    what = f"different numbers of words in column {tokens_column} and labels in {tags_column}"
    with problems:
        problems.add_rows(
            where, dataset, lengths[0] != lengths[1], what, "Write one label for each word."
        )


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
