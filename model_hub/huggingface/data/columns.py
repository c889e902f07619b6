"""The columns of a data set: those that the model takes, those of text, those of lists."""

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from model_hub.errors import UserError
from model_hub.huggingface.data.json_types import JSON, is_list, is_string, type_name
from model_hub.huggingface.data.origin import columns_of_numbers
from model_hub.huggingface.data.problems import Problems

_WRITE_TEXT = "Write some, or remove the rows"


def remove_unused_columns(
    model: torch.nn.Module, dataset: datasets.Dataset, keep: Collection[str] = ()
) -> None:
    """Hide, in place, the columns that are not arguments of ``model.forward``.

    Args:
        model: the model, wrapped or not.
        dataset: the dataset, whose format is changed; no data is removed.
        keep: columns to keep too, besides ``label`` and ``label_ids``.

    Raises:
        UserError: if no column is left.
    """
    wanted = {*_forward_parameters(model), "label", "label_ids", *keep}
    columns = [name for name in dataset.column_names if name in wanted]
    if not columns:
        raise UserError(
            f"none of the columns {dataset.column_names} is an argument of the model "
            f"({type(model).__name__}), which takes {sorted(_forward_parameters(model))}."
        )
    dataset.set_format(type=dataset.format["type"], columns=columns)


def _forward_parameters(model: torch.nn.Module) -> list[str]:
    """Return the names of the arguments of ``forward``, also of a model in a wrapper."""
    inner: Any = model
    if isinstance(inner, torch.nn.parallel.DistributedDataParallel):
        inner = inner.module
    inner = getattr(inner, "_orig_mod", inner)  # torch.compile
    if hasattr(inner, "get_base_model"):  # peft
        inner = inner.get_base_model()
    names = _parameter_names(inner.forward)
    # Determined's wrapper for mixed precision is an object of a class derived from the model's,
    # whose forward takes *arg and **kwarg.
    for cls in type(inner).__mro__:
        if not names and "forward" in vars(cls):
            names = _parameter_names(vars(cls)["forward"])[1:]
    return names


def _parameter_names(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters, without ``*args`` and ``**kwargs``."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind not in variable]


# Names of columns that identify the rows: id, idx, guid, doc_id, pairID, rowId.
_IDENTIFIER = re.compile(r"(?:.*[\W_])?(?i:id|ids|idx|index|guid|uuid)|.*[a-z](?:ID|Id)", re.DOTALL)


def columns_of_text(dataset: datasets.Dataset, leave_out: Collection[str] = ()) -> list[str]:
    """Return the columns of text in their order.

    Identifiers, and columns of csv files with nothing but numbers, are only among them if there are
    no others. Columns in which only some rows hold text are among them.

    Args:
        dataset: the rows as they were loaded.
        leave_out: columns that are not wanted, such as labels.
    """
    texts = [
        field.name
        for field in dataset.features.arrow_schema
        if field.name not in leave_out
        and (
            is_string(field.type)
            or (field.type == JSON and is_json_text(dataset, field.name).any())
        )
    ]
    numbers = columns_of_numbers(dataset)
    better = [n for n in texts if not _IDENTIFIER.fullmatch(n) and n not in numbers]
    return better or texts


def is_json_text(dataset: datasets.Dataset, name: str) -> npt.NDArray[np.bool_]:
    """Return which values of a column of the type JSON are texts, ``[rows]``."""
    return _json_begins(dataset, name, '"')


def _json_begins(dataset: datasets.Dataset, name: str, begin: str) -> npt.NDArray[np.bool_]:
    column = dataset.with_format("arrow", columns=[name])[:].column(name)
    return np.array([value is not None and value[0] in begin for value in column.to_pylist()], bool)


def add_json_rows(
    problems: Problems, dataset: datasets.Dataset, source: str, name: str, *, lists: bool
) -> None:
    """Add a message about the rows that give a column the type JSON.

    Args:
        problems: gets the message.
        dataset: rows as loaded.
        source: where they come from, for the message.
        name: the column.
        lists: whether the column should hold lists, or values that are neither lists nor objects.
    """
    nested = _json_begins(dataset, name, "[" if lists else "[{")
    what = "no list" if lists else "a list or an object"
    wrong = ~nested if lists else nested
    if not problems.add_rows(source, dataset, wrong, f"{what} in column {name}", "Correct them."):
        problems.add(
            f"{source}: column {name} holds lists or objects beside other values in the other "
            "data. Correct these."
        )


def rename_columns(
    splits: datasets.DatasetDict, names: Mapping[str, tuple[str | None, str]]
) -> datasets.DatasetDict:
    """Give the columns that the YAML names the names by which a task reads them, in all splits.

    Args:
        splits: rows as loaded.
        names: see :func:`rename_columns_of`.

    Raises:
        UserError: when there is no such column.
    """
    return datasets.DatasetDict(
        {
            split: rename_columns_of(rows, names, f"the {split} data")
            for split, rows in splits.items()
        }
    )


def rename_columns_of(
    rows: datasets.Dataset, names: Mapping[str, tuple[str | None, str]], source: str
) -> datasets.Dataset:
    """Give the columns that the YAML names the names by which a task reads them.

    Args:
        rows: rows as loaded.
        names: by YAML key the column that it names, None if it is not set, and the task's name.
        source: where the rows come from, for the message.

    Returns:
        The rows; a column that had the task's name before is no longer there.

    Raises:
        UserError: when there is no such column.
    """
    new = {given: (key, name) for key, (given, name) in names.items() if given not in (None, name)}
    for given, (key, _) in new.items():
        if given not in rows.column_names:
            raise UserError(
                f"data.{key} is {given!r}, but the columns of {source} are "
                f"{', '.join(rows.column_names)}. Write one of these."
            )
    taken = [name for _, name in new.values() if name in rows.column_names and name not in new]
    return rows.remove_columns(taken).rename_columns(
        {given: name for given, (_, name) in new.items()}
    )


def columns_of_lists(dataset: datasets.Dataset) -> list[str]:
    """Return the columns of lists in their order."""
    return [field.name for field in dataset.features.arrow_schema if is_list(field.type)]


def require_columns(
    dataset: datasets.Dataset,
    names: Sequence[str],
    source: str,
    purpose: str,
    advice: str = "Rename or add them.",
) -> None:
    """Raise an error unless the dataset has these columns.

    Args:
        dataset: rows as loaded.
        names: the columns.
        source: where the rows come from, for the message (``data.train_file 'train.json'``).
        purpose: what needs the columns, for the message.
        advice: the end of the message.

    Raises:
        UserError: naming the columns that are missing.
    """
    missing = [name for name in names if name not in dataset.column_names]
    if missing:
        raise UserError(
            f"{source}: the columns are {', '.join(dataset.column_names)}, but {purpose} needs "
            f"{', '.join(names)}; missing: {', '.join(missing)}. {advice}"
        )


def require_text(
    dataset: datasets.Dataset,
    names: Sequence[str],
    source: str,
    *,
    advice: str = "",
    allow_null: bool = False,
) -> None:
    """Raise an error unless columns hold text in every row.

    Args:
        dataset: rows as loaded.
        names: the columns.
        source: where the rows come from, for the message.
        advice: a sentence to add to the message.
        allow_null: accept rows without a value.

    Raises:
        DataError: naming the columns of another type, and rows without a value.
    """
    with Problems() as problems:
        for name in names:
            column = dataset.with_format("arrow", columns=[name])[:].column(name)
            if not allow_null:
                missing = column.is_null().to_numpy()
                what = f"no text in column {name}"
                problems.add_rows(source, dataset, missing, what, f"{_WRITE_TEXT}. {advice}")
            if column.type == JSON:
                wrong = ~(is_json_text(dataset, name) | column.is_null().to_numpy())
                what = f"a list or an object in place of text in column {name}"
                problems.add_rows(source, dataset, wrong, what, advice)
            # A column in which every value is missing has the type null.
            elif not is_string(column.type) and not pa.types.is_null(column.type):
                problems.add(
                    f"{source}: column {name} holds {type_name(column.type)}, but should hold "
                    f"text. {advice}".rstrip()
                )
