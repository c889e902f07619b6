"""Flat SQuAD rows (id, context, question, answers): their shape, and what is wrong in them."""

import ast
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import datasets
import pyarrow as pa

from model_hub.errors import UserError

logger = logging.getLogger("model_hub")

#: Columns that question answering needs; ``title`` and others may be there and are not read.
NEEDED_COLUMNS = ("id", "context", "question", "answers")
_TEXT_COLUMNS = ("context", "question")
_LAYOUT = '{"text": ["Paris"], "answer_start": [17]}'
_ROWS_AT_A_TIME = 1000


def check_columns(dataset: datasets.Dataset, split_or_file: str) -> None:
    """Checks that the rows can be asked and answered, before anything is tokenized.

    Args:
        dataset: rows as loaded.
        split_or_file: where they come from, for the message (``data.train_file``).

    Raises:
        UserError: when a column is missing, a context or question is empty (null) or no text, or
            answers have a layout that :func:`answers_of` does not know.
    """
    missing = [name for name in NEEDED_COLUMNS if name not in dataset.column_names]
    if missing:
        raise UserError(
            f"{split_or_file}: the columns are {', '.join(sorted(dataset.column_names))}, but "
            f"question answering needs {', '.join(NEEDED_COLUMNS)}; missing: {', '.join(missing)}. "
            f"Rename or add them; answers look like {_LAYOUT}."
        )
    table = dataset.with_format("arrow", columns=list(NEEDED_COLUMNS))[:]
    for name in _TEXT_COLUMNS:
        column = table.column(name)
        if len(column) == 0:
            continue
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise UserError(
                f"{split_or_file}: {column.null_count} rows have no {name}, the first of them is "
                f"row {row + 1} (id {table.column('id')[row].as_py()!r}). Write text or remove "
                "the rows."
            )
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise UserError(
                f"{split_or_file}: column {name} holds {column.type}, but should hold text."
            )
    for row_id, value in zip(
        table.column("id").to_pylist(), table.column("answers").to_pylist(), strict=True
    ):
        try:
            answers_of(value, row_id)
        except UserError as error:
            raise UserError(f"{split_or_file}: {error}") from None


def answers_of(value: Any, row_id: Any) -> tuple[list[str], list[int] | None]:
    """Reads one cell of the column ``answers`` in any of the layouts that are in use.

    Args:
        value: ``{"text": [...], "answer_start": [...]}`` (as in SQuAD on the Hub), the same with
            single values, a list of ``{"text": ..., "answer_start": ...}`` (as in the official
            nested file), JSON or a Python literal of one of these (as csv files hold it), bare text
            or a list of texts, or nothing.
        row_id: the row's id, for the message.

    Returns:
        The texts, and the position in characters of each in its context; None in place of the
        positions when they are not given, or not all of them. Two empty lists stand for an
        unanswerable question.

    Raises:
        UserError: when ``value`` is none of these, texts and positions differ in number, or a
            position is no number.
    """
    if type(value) is dict and _is_plain(value):
        return value["text"], value["answer_start"]
    if isinstance(value, str):
        value = _parsed(value, row_id)
    if isinstance(value, list):
        value = [_parsed_element(element) for element in value]
    if value is None:
        return [], []
    if isinstance(value, Mapping) and "text" in value:
        texts, starts = value["text"], value.get("answer_start")
    elif isinstance(value, Sequence) and all(isinstance(v, Mapping) and "text" in v for v in value):
        texts = [answer["text"] for answer in value]
        starts = [answer.get("answer_start") for answer in value]
    else:
        texts, starts = value, None
    texts = _as_list(texts)
    starts = None if starts is None else _as_list(starts)
    if any(not isinstance(text, str) for text in texts):
        raise UserError(
            f"row {row_id!r}: answers are {_truncate(value)}, but should look like {_LAYOUT}."
        )
    if not texts:
        return [], []
    if starts is not None and len(starts) != len(texts):
        raise UserError(
            f"row {row_id!r}: answers are {_truncate(value)}: {len(texts)} times text, "
            f"{len(starts)} "
            f"times answer_start. Write one answer_start per text, like {_LAYOUT}."
        )
    if starts is None or any(start is None for start in starts):
        return texts, None
    try:
        return texts, [_parse_int(start) for start in starts]
    except (TypeError, ValueError):
        raise UserError(
            f"row {row_id!r}: answers are {_truncate(value)}, but answer_start should be whole "
            f"numbers, like {_LAYOUT}."
        ) from None


def _is_plain(value: dict[str, Any]) -> bool:
    """Whether it has the Hub's layout, with nothing to convert: nearly all rows, asked often."""
    if value.keys() != {"text", "answer_start"}:
        return False
    texts, starts = value["text"], value["answer_start"]
    return (
        type(texts) is list
        and type(starts) is list
        and len(texts) == len(starts)
        and all(type(text) is str for text in texts)
        and all(type(start) is int for start in starts)
    )


def trained_answer(value: Any, row_id: Any) -> tuple[str, int] | None:
    """The answer that a training row teaches: the first.

    Args:
        value: a cell of the column ``answers``.
        row_id: the row's id, for the message.

    Returns:
        Text and position in characters; None for an unanswerable question.

    Raises:
        UserError: when the answer's position is not given.
    """
    texts, starts = answers_of(value, row_id)
    if not texts:
        return None
    if starts is None:
        raise UserError(
            f"row {row_id!r}: answers are {_truncate(value)} without answer_start, so it "
            "is not known "
            f"where in the context the answer stands. Training needs answers like {_LAYOUT}."
        )
    return texts[0], starts[0]


def drop_misaligned_answers(dataset: datasets.Dataset) -> datasets.Dataset:
    """Leaves out training rows whose ``answer_start`` does not point at their answer's text.

    Such rows would teach wrong spans. Only the first answer of a row is looked at, the one that
    :func:`prepare_train_features` takes. One warning tells how many rows went and shows the first.

    Args:
        dataset: training rows with the columns id, context and answers.

    Returns:
        The dataset itself if nothing is wrong, else a selection of its rows in their order.

    Raises:
        UserError: when no row is left, or an answer has no position.
    """
    kept: list[int] = []
    offender = ""
    for number, (row_id, context, value) in enumerate(_rows(dataset)):
        answer = trained_answer(value, row_id)
        if answer is not None:
            text, start = answer
            # A negative start would count from the end of the context.
            found = context[start : start + len(text)] if start >= 0 else ""
            if found != text:
                offender = offender or (
                    f"id {row_id!r} says answer_start {start}; there stands "
                    f"{_truncate(found)}, but "
                    f"expected was {_truncate(text)}"
                )
                continue
        kept.append(number)
    dropped = len(dataset) - len(kept)
    if not dropped:
        return dataset
    message = (
        f"{dropped} of {len(dataset)} training rows have an answer_start that does not point at "
        f"their answer. The first: {offender}"
    )
    if not kept:
        raise UserError(
            f"{message}. No row is left to train on. answer_start counts characters (not bytes or "
            "words) from the beginning of the context, the first is 0."
        )
    logger.warning("%s. They are left out.", message)
    return dataset.select(kept)


def _rows(dataset: datasets.Dataset) -> Iterator[tuple[Any, str, Any]]:
    plain = dataset.with_format("arrow", columns=["id", "context", "answers"])
    for table in plain.iter(batch_size=_ROWS_AT_A_TIME):
        columns = (table.column(name).to_pylist() for name in ("id", "context", "answers"))
        yield from zip(*columns, strict=True)


def _parsed(value: str, row_id: Any) -> Any:
    """What a csv file's cell means; text that is no JSON or Python literal is a bare answer."""
    stripped = value.strip()
    if not stripped:
        return None
    if stripped[0] in "[{":
        for parse in (json.loads, ast.literal_eval):
            try:
                return parse(stripped)
            except (ValueError, SyntaxError):
                continue
        if stripped[0] == "{":
            raise UserError(
                f"row {row_id!r}: answers are {_truncate(value)}, which is neither JSON "
                "nor a Python "
                f"literal. Write them like {_LAYOUT}."
            )
    return [value]


def _parsed_element(element: Any) -> Any:
    """An answer of a list; where answers differ in their keys, Arrow holds each as JSON text."""
    if isinstance(element, str) and element.startswith("{") and '"text"' in element:
        try:
            parsed = json.loads(element)
        except ValueError:
            return element
        if "text" in parsed:
            return parsed
    return element


def _parse_int(number: Any) -> int:
    """The number as an int; also of a float or a text, as csv files hold it.

    Raises:
        TypeError: when it is nothing of the kind.
        ValueError: when it is no whole number.
    """
    if isinstance(number, bool) or not isinstance(number, (int, float, str)):
        raise TypeError
    if isinstance(number, float) and not number.is_integer():
        raise ValueError
    return int(number)


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, (str, int, float)):
        return [value]
    return [] if value is None else list(value)


def _truncate(value: Any, limit: int = 80) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."
