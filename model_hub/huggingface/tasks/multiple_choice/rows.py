"""Rows of multiple choice: a beginning, several endings and the number of the right one."""

import re
from collections.abc import Sequence

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import is_text, require_columns, require_text

_ENDING = re.compile(r"ending(\d+)")
# A label that is text is the number of the right ending or the name of its column.
_TEXT_LABEL = re.compile(r"\s*(?:ending)?(\d+)\s*")


def ending_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns with endings, ``ending0`` first."""
    numbers = [int(found[1]) for name in columns if (found := _ENDING.fullmatch(name))]
    return tuple(f"ending{number}" for number in sorted(numbers))


def check_rows(dataset: datasets.Dataset, where: str) -> None:
    """Check that every row has a beginning, endings and a right one, before tokenizing.

    Args:
        dataset: rows as loaded.
        where: where they come from, for messages (``data.train_file 'train.json'``).

    Raises:
        UserError: when a column is missing or of a wrong type, a row has no beginning or fewer than
            two endings, or its label is not the number of one of its endings.
    """
    endings = ending_columns(dataset.column_names)
    expected = [f"ending{number}" for number in range(max(len(endings), 2))]
    advice = (
        "Rename or add them; there may be more endings, numbered without a gap, and sent2, with "
        "which all endings begin."
    )
    require_columns(dataset, ["sent1", *expected, "label"], where, "multiple choice", advice)
    texts = [name for name in ("sent1", "sent2", *endings) if name in dataset.column_names]
    require_text(dataset, texts, where, allow_null=True)
    table = dataset.with_format("arrow", columns=["sent1", "label"])[:]
    beginnings = _filled(table.column("sent1"))
    if not beginnings.all():
        raise UserError(
            f"{where}: row {int(beginnings.argmin()) + 1} has no text in column sent1. Write some "
            "or remove the row."
        )
    _check_labels(table.column("label"), filled_endings(dataset), where)


def filled_endings(dataset: datasets.Dataset) -> npt.NDArray[np.bool_]:
    """Return which endings of each row are texts that are not blank, ``[rows, endings]``."""
    endings = list(ending_columns(dataset.column_names))
    table = dataset.with_format("arrow", columns=endings)[:]
    return np.stack([_filled(table.column(name)) for name in endings], axis=1)


def right_endings(dataset: datasets.Dataset) -> npt.NDArray[np.int64]:
    """Return the number of the right ending of each row, ``[rows]``, after :func:`check_rows`."""
    return np.array([label_number(label) for label in dataset["label"][:]], dtype=np.int64)


def label_number(label: int | str) -> int:
    """Return the number of the right ending: 1 for 1, "1" and "ending1"; -1 for other texts."""
    if not isinstance(label, str):
        return int(label)
    found = _TEXT_LABEL.fullmatch(label)
    return int(found[1]) if found else -1


def _check_labels(column: pa.ChunkedArray, filled: npt.NDArray[np.bool_], where: str) -> None:
    if column.null_count:
        row = int(column.is_null().to_numpy().argmax())
        raise UserError(
            f"{where}: row {row + 1} has no label. Write the number of its right ending (0 is "
            "ending0) or remove the row."
        )
    if is_text(column.type):
        texts = column.to_pylist()
        labels = np.array([label_number(text) for text in texts], dtype=np.int64)
        if (labels < 0).any():
            row = int((labels < 0).argmax())
            raise UserError(
                f"{where}: row {row + 1} has the label {texts[row]!r}, but should have the number "
                "of its right ending, or its name: 0 or ending0, 1 or ending1, and so on."
            )
    elif pa.types.is_integer(column.type):
        labels = column.to_numpy()
    else:
        raise UserError(
            f"{where}: column label holds {column.type}, but should hold the number of the right "
            "ending, 0 for ending0."
        )
    few = filled.sum(axis=1) < 2
    if few.any():
        raise UserError(
            f"{where}: row {int(few.argmax()) + 1} has fewer than two endings that are not blank. "
            "Write more or remove the row."
        )
    known = (labels >= 0) & (labels < filled.shape[1])
    known &= filled[np.arange(len(labels)), labels.clip(0, filled.shape[1] - 1)]
    if not known.all():
        row = int(known.argmin())
        numbers = ", ".join(map(str, np.flatnonzero(filled[row])))
        raise UserError(
            f"{where}: row {row + 1} has the label {labels[row]}, but its endings are {numbers}. "
            "Write one of these numbers."
        )


def _filled(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Return which values are texts that are not blank."""
    if pa.types.is_null(column.type):  # Every value is missing.
        return np.zeros(len(column), dtype=np.bool_)
    lengths = pc.utf8_length(pc.utf8_trim_whitespace(column))
    filled: npt.NDArray[np.bool_] = pc.greater(lengths.fill_null(0), 0).to_numpy()
    return filled
