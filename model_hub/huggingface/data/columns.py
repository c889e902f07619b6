"""The columns of a data set: those that the model takes, those of text, those of lists."""

import inspect
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import datasets
import pyarrow as pa
import torch

from model_hub.errors import UserError


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
    """Return the columns of text in their order, without identifiers if there are others.

    Args:
        dataset: the rows as they were loaded.
        leave_out: columns that are not wanted, such as labels.
    """
    texts = [
        field.name
        for field in dataset.features.arrow_schema
        if field.name not in leave_out and is_text(field.type)
    ]
    return [name for name in texts if not _IDENTIFIER.fullmatch(name)] or texts


def columns_of_lists(dataset: datasets.Dataset) -> list[str]:
    """Return the columns of lists in their order."""
    return [
        field.name
        for field in dataset.features.arrow_schema
        if pa.types.is_list(field.type)
        or pa.types.is_large_list(field.type)
        or pa.types.is_fixed_size_list(field.type)
    ]


def is_text(kind: pa.DataType) -> bool:
    """Return whether Arrow's type is one of text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


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
        dataset: rows as loaded. Where it has a column ``id``, the message gives the row's id.
        names: the columns.
        source: where the rows come from, for the message.
        advice: a sentence to add to the message.
        allow_null: accept rows without a value.

    Raises:
        UserError: naming the first column of another type, or its first row without a value.
    """
    table = dataset.with_format("arrow", columns=list(names))[:]
    for name in names:
        column = table.column(name)
        if column.null_count and not allow_null:
            row = column.is_null().to_pylist().index(True)
            row_id = f" (id {dataset[row]['id']!r})" if "id" in dataset.column_names else ""
            raise UserError(
                f"{source}: {column.null_count} rows have no {name}, the first of them is row "
                f"{row + 1}{row_id}. Write text or remove the rows. {advice}".rstrip()
            )
        # A column in which every value is missing has the type null.
        if not is_text(column.type) and not pa.types.is_null(column.type):
            raise UserError(
                f"{source}: column {name} holds {column.type}, but should hold text. "
                f"{advice}".rstrip()
            )
