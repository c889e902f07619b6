"""Rows with a beginning and several endings: what is in them, what is wrong, tokens."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.padding import side_to_pad

_ENDING = re.compile(r"ending(\d+)")
# A label that is text may be the number of the right ending or the name of its column.
_TEXT_LABEL = re.compile(r"\s*(?:ending)?(\d+)\s*")


def ending_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Those of the columns that hold endings, ``ending0`` first."""
    numbers = [int(found[1]) for name in columns if (found := _ENDING.fullmatch(name))]
    return tuple(f"ending{number}" for number in sorted(numbers))


def check_rows(dataset: datasets.Dataset, where: str) -> None:
    """Checks that every row has a beginning, endings and a right one, before tokenizing.

    Args:
        dataset: rows as loaded.
        where: where they come from, for messages (``data.train_file 'train.json'``).

    Raises:
        UserError: when a column is missing or holds something else, a row has no beginning or
            fewer than two endings, or its label is not the number of an ending that it has.
    """
    endings = ending_columns(dataset.column_names)
    expected = [f"ending{number}" for number in range(max(len(endings), 2))]
    needed = ["sent1", *expected, "label"]
    missing = [name for name in needed if name not in dataset.column_names]
    if missing:
        raise UserError(
            f"{where}: the columns are {', '.join(dataset.column_names)}, but multiple choice "
            f"needs sent1, ending0, ending1 and so on without a gap, and label (sent2, with which "
            f"the endings begin, may be there); missing: {', '.join(missing)}. Rename or add them."
        )
    texts = [name for name in ("sent1", "sent2", *endings) if name in dataset.column_names]
    table = dataset.with_format("arrow", columns=[*texts, "label"])[:]
    for name in texts:
        kind = table.column(name).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_null(kind)):
            raise UserError(f"{where}: column {name} holds {kind}, but should hold text.")
    beginnings = _filled(table.column("sent1"))
    if not beginnings.all():
        raise UserError(
            f"{where}: row {int(beginnings.argmin()) + 1} has no text in column sent1. Write some "
            "or remove the row."
        )
    _check_labels(table.column("label"), filled_endings(dataset), where)


def filled_endings(dataset: datasets.Dataset) -> npt.NDArray[np.bool_]:
    """Which endings each row has: those that are text and not blank; ``[rows, endings]``."""
    endings = list(ending_columns(dataset.column_names))
    table = dataset.with_format("arrow", columns=endings)[:]
    return np.stack([_filled(table.column(name)) for name in endings], axis=1)


def prepare_features(
    examples: Mapping[str, Sequence[Any]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    endings: Sequence[str],
    max_seq_length: int,
    pad_to_max_length: bool = False,
) -> dict[str, list[Any]]:
    """Makes features of rows; for ``Dataset.map(batched=True)``.

    Each ending becomes a sequence of its own: ``sent1``, and ``sent2`` with the ending after it.

    Args:
        examples: columns ``sent1``, the endings, ``label``, and ``sent2`` if it is there.
        tokenizer: the tokenizer.
        endings: the columns with endings, in their order.
        max_seq_length: tokens of the longest sequence, special ones included; the longer of the two
            texts is cut first.
        pad_to_max_length: store every sequence padded; the collator pads to the longest of a batch.

    Returns:
        Lists with one entry per row, ``input_ids``, ``attention_mask`` and ``token_type_ids`` if
        the tokenizer makes them (a list of int for each ending, empty for one that the row does
        not have), and ``labels`` (int).
    """
    beginnings = examples["sent1"]
    openings = examples.get("sent2", [None] * len(beginnings))
    first, second = [], []
    filled: list[list[bool]] = []
    for row, (beginning, opening) in enumerate(zip(beginnings, openings, strict=True)):
        texts = [examples[name][row] or "" for name in endings]
        filled.append([bool(text.strip()) for text in texts])
        for text, there in zip(texts, filled[-1], strict=True):
            if there:
                first.append(beginning)
                second.append(f"{opening} {text}" if opening else text)
    encoded = tokenizer(
        first,
        second,
        truncation=True,
        max_length=max_seq_length,
        padding="max_length" if pad_to_max_length else False,
        padding_side=side_to_pad(tokenizer) if pad_to_max_length else None,
        return_attention_mask=True,
    )
    features: dict[str, list[Any]] = {}
    for name, sequences in encoded.items():
        remaining = iter(sequences)
        features[name] = [[next(remaining) if there else [] for there in row] for row in filled]
    features["labels"] = [_number(label) for label in examples["label"]]
    return features


def right_endings(dataset: datasets.Dataset) -> npt.NDArray[np.int64]:
    """Number of the right ending of each row, ``[rows]``; rows that were checked."""
    return np.array([_number(label) for label in dataset["label"][:]], dtype=np.int64)


def _number(label: int | str) -> int:
    """The number of the right ending: 1 for 1, "1" and "ending1"; -1 for other texts."""
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
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = column.to_pylist()
        labels = np.array([_number(text) for text in texts], dtype=np.int64)
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
            f"{where}: column label holds {column.type}, but should hold whole numbers: that of "
            "the right ending, 0 is ending0."
        )
    few = filled.sum(axis=1) < 2
    if few.any():
        raise UserError(
            f"{where}: row {int(few.argmax()) + 1} has fewer than two endings that are not blank, "
            "so that there is nothing to choose. Write more or remove the row."
        )
    known = (labels >= 0) & (labels < filled.shape[1])
    known &= filled[np.arange(len(labels)), labels.clip(0, filled.shape[1] - 1)]
    if not known.all():
        row = int(known.argmin())
        has = ", ".join(map(str, np.flatnonzero(filled[row])))
        raise UserError(
            f"{where}: row {row + 1} has the label {labels[row]}, but its endings are {has}. Write "
            "one of these numbers."
        )


def _filled(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Which values are text and not blank."""
    if _is_null(column.type):  # Every value is missing.
        return np.zeros(len(column), dtype=np.bool_)
    lengths = pc.utf8_length(pc.utf8_trim_whitespace(column))
    filled: npt.NDArray[np.bool_] = pc.greater(lengths.fill_null(0), 0).to_numpy()
    return filled


def _is_null(kind: pa.DataType) -> bool:
    return bool(pa.types.is_null(kind))
