"""Rows of multiple choice: a beginning, several endings and the number of the right one."""

import re
from collections.abc import Sequence

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from model_hub.huggingface.data.columns import add_json_rows, require_columns, require_text
from model_hub.huggingface.data.json_types import JSON, is_string, type_name
from model_hub.huggingface.data.problems import Problems

_SHOWN = 3
_ENDING = re.compile(r"ending(\d+)")
# A label that is text is the number of the right ending or the name of its column.
_TEXT_LABEL = re.compile(r"\s*(?:ending)?(\d{1,9})\s*")


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
        "Rename or add them, or write their names in data.context_column, data.ending_columns and "
        "data.label_column; there may be more endings, numbered without a gap, and sent2, with "
        "which all endings begin."
    )
    require_columns(dataset, ["sent1", *expected, "label"], where, "multiple choice", advice)
    texts = [name for name in ("sent1", "sent2", *endings) if name in dataset.column_names]
    with Problems() as problems:
        require_text(dataset, texts, where, allow_null=True)
        table = dataset.with_format("arrow", columns=["sent1", "label"])[:]
        blank = ~_filled(table.column("sent1"))
        what = "no text in column sent1"
        problems.add_rows(where, dataset, blank, what, "Write some or remove the rows.")
        _check_labels(dataset, filled_endings(dataset), where, problems)


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


def _check_labels(
    dataset: datasets.Dataset, filled: npt.NDArray[np.bool_], where: str, problems: Problems
) -> None:
    few = filled.sum(axis=1) < 2
    what = "fewer than two endings that are not blank"
    problems.add_rows(where, dataset, few, what, "Write more or remove the rows.")
    column = dataset.with_format("arrow", columns=["label"])[:].column("label")
    missing = column.is_null().to_numpy()
    advice = "Write the number of the right ending (0 is ending0) or remove the rows."
    problems.add_rows(where, dataset, missing, "no label", advice)
    if is_string(column.type):
        labels = np.array([label_number(text or "") for text in column.to_pylist()], np.int64)
    elif pa.types.is_integer(column.type):
        labels = column.fill_null(0).to_numpy()
    elif column.type == JSON:
        add_json_rows(problems, dataset, where, "label", lists=False)
        return
    else:
        problems.add(
            f"{where}: column label holds {type_name(column.type)}, but should hold the number of "
            "the right ending, 0 for ending0."
        )
        return
    known = (labels >= 0) & (labels < filled.shape[1])
    known &= filled[np.arange(len(labels)), labels.clip(0, filled.shape[1] - 1)]
    wrong = ~(known | missing | few)
    shown = sorted({repr(column[int(row)].as_py()) for row in np.flatnonzero(wrong)})[:_SHOWN]
    what = f"a label that is no ending of its row ({', '.join(shown)})"
    advice = "Write the number of the right ending, or its name: 0 or ending0, 1 or ending1, ..."
    problems.add_rows(where, dataset, wrong, what, advice)


def _filled(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Return which values are not blank; values that are no texts are not."""
    filled = column.is_valid()
    if is_string(column.type):
        lengths = pc.utf8_length(pc.utf8_trim_whitespace(column))
        filled = pc.greater(lengths.fill_null(0), 0)
    found: npt.NDArray[np.bool_] = filled.to_numpy()
    return found
