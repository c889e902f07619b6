"""Flat SQuAD rows (id, context, question, answers): their layouts, and checks of them."""

import ast
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import datasets
import numpy as np

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import require_columns, require_text
from model_hub.huggingface.data.json_types import JSON
from model_hub.huggingface.data.origin import describe_row
from model_hub.huggingface.data.problems import Problems

logger = logging.getLogger("model_hub")

#: Columns that question answering needs; others, such as ``title``, are not read.
NEEDED_COLUMNS = ("id", "context", "question", "answers")
_LAYOUT = '{"text": ["Paris"], "answer_start": [17]}'
_ROWS_AT_A_TIME = 1000


def check_columns(
    dataset: datasets.Dataset, split_or_file: str, version_2_with_negative: bool = True
) -> None:
    """Check the rows before anything is tokenized.

    A warning says if there are questions without an answer, but the YAML does not allow for them.

    Args:
        dataset: rows as loaded.
        split_or_file: where they come from, for the message (``data.train_file``).
        version_2_with_negative: the YAML's key; questions may have no answer.

    Raises:
        UserError: when a column is missing, a context or question is null or not text, or answers
            have a layout that :func:`answers_of` does not know.
    """
    advice = (
        "Rename or add them, or write their names in data.context_column, data.question_column, "
        f"data.answers_column and data.id_column; answers look like {_LAYOUT}."
    )
    require_columns(dataset, NEEDED_COLUMNS, split_or_file, "question answering", advice)
    with Problems() as problems:
        require_text(dataset, ("context", "question"), split_or_file)
        first_message = ""
        wrong, unanswerable = np.zeros((2, len(dataset)), np.bool_)
        ids = dataset.with_format("arrow", columns=["id"])[:].column("id")
        missing = ids.is_null().to_numpy()
        problems.add_rows(split_or_file, dataset, missing, "no id", "Write one for each row.")
        for number, (row_id, _, value) in enumerate(_rows(dataset)):
            try:
                unanswerable[number] = not answers_of(value, row_id)[0]
            except UserError as error:
                wrong[number] = True
                first_message = first_message or str(error)
        advice = f"The first: {first_message}"
        problems.add_rows(split_or_file, dataset, wrong, "wrong answers", advice)
    if unanswerable.any() and not version_2_with_negative:
        logger.warning(
            "%s: %d of %d questions have no answer, the first of them in %s; but "
            "data.version_2_with_negative is false, so an answer is always chosen and these count "
            "as wrong. Write data.version_2_with_negative: true, or remove them.",
            split_or_file,
            unanswerable.sum(),
            len(dataset),
            describe_row(dataset, int(unanswerable.argmax())),
        )


def check_ids(dataset: datasets.Dataset, source: str) -> None:
    """Check that no two rows to validate on have the same id, by which answers are compared.

    Args:
        dataset: rows as loaded.
        source: where they come from, for the message.

    Raises:
        UserError: naming an id, and the rows that have the same one as a row before them.
    """
    ids = dataset.with_format("arrow", columns=["id"])[:].column("id").to_pylist()
    seen: set[str] = set()
    repeated = np.zeros(len(ids), np.bool_)
    for row, name in enumerate(map(str, ids)):
        repeated[row] = ids[row] is not None and name in seen
        seen.add(name)
    with Problems() as problems:
        shown = str(ids[int(repeated.argmax())]) if len(ids) else ""
        what = f"an id that an earlier row has ({_truncate(shown)})"
        advice = "Every question needs a different id."
        problems.add_rows(source, dataset, repeated, what, advice)


def answers_of(value: Any, row_id: Any) -> tuple[list[str], list[int] | None]:
    """Read a cell of the column ``answers`` in any of the usual layouts.

    Args:
        value: ``{"text": [...], "answer_start": [...]}`` (as in SQuAD on the Hub), the same with
            single values, a list of ``{"text": ..., "answer_start": ...}`` (as in the official
            nested file), JSON or a Python literal of one of these (as in csv files), a text, a list
            of texts, or None.
        row_id: the row's id, for the message.

    Returns:
        The texts, and the position in characters of each in its context; None in place of the
        positions if any is missing. Two empty lists for an unanswerable question.

    Raises:
        UserError: when ``value`` is none of these, texts and positions differ in number, or a
            position is not a whole number.
    """
    if type(value) is dict and _is_plain(value):
        return value["text"], value["answer_start"]
    if isinstance(value, str):
        value = _parsed(value, row_id)
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
            f"id {row_id!r}: answers are {_truncate(value)}, but should look like {_LAYOUT}."
        )
    if not texts:
        return [], []
    if starts is not None and len(starts) != len(texts):
        raise UserError(
            f"id {row_id!r}: answers are {_truncate(value)}: {len(texts)} times text, "
            f"{len(starts)} times answer_start. Write one answer_start per text, like {_LAYOUT}."
        )
    if starts is None or any(start is None for start in starts):
        return texts, None
    try:
        return texts, [_parse_int(start) for start in starts]
    except (TypeError, ValueError):
        raise UserError(
            f"id {row_id!r}: answers are {_truncate(value)}, but answer_start should be whole "
            f"numbers, like {_LAYOUT}."
        ) from None


def _is_plain(value: dict[str, Any]) -> bool:
    """Return whether a cell has the Hub's layout, as nearly all have: nothing to convert."""
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
    """Return the first answer of a row, on which the model is trained.

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
            f"id {row_id!r}: answers are {_truncate(value)} without answer_start, so the "
            f"answer's place in the context is not known. Training needs answers like {_LAYOUT}."
        )
    return texts[0], starts[0]


def drop_misaligned_answers(
    dataset: datasets.Dataset, source: str = "data.train_file"
) -> datasets.Dataset:
    """Drop training rows whose ``answer_start`` does not point at their answer's text.

    Such rows would teach wrong spans. Only the first answer of a row is checked, which is the one
    that :func:`prepare_train_features` uses. A warning gives the number of dropped rows and the
    first of them.

    Args:
        dataset: training rows with the columns id, context and answers.
        source: where they come from, for messages.

    Returns:
        The dataset itself if all rows are right, else the others in their order.

    Raises:
        UserError: when no row is left, or an answer has no position.
    """
    kept: list[int] = []
    first_dropped = first_message = ""
    no_position = np.zeros(len(dataset), np.bool_)
    for number, (row_id, context, value) in enumerate(_rows(dataset)):
        try:
            answer = trained_answer(value, row_id)
        except UserError as error:
            no_position[number] = True
            first_message = first_message or str(error)
            continue
        if answer is not None:
            text, start = answer
            # A negative start would count from the end of the context.
            found = context[start : start + len(text)] if start >= 0 else ""
            if found != text:
                first_dropped = first_dropped or (
                    f"id {row_id!r} has answer_start {start}, where the context has "
                    f"{_truncate(found)} and not the answer {_truncate(text)}"
                )
                continue
        kept.append(number)
    with Problems() as problems:
        what = "answers that cannot be learned"
        advice = f"The first: {first_message}"
        problems.add_rows(source, dataset, no_position, what, advice)
    dropped = len(dataset) - len(kept)
    if not dropped:
        return dataset
    message = (
        f"{source}: {dropped} of {len(dataset)} training rows have an answer_start that does not "
        f"point at their answer. The first: {first_dropped}"
    )
    if not kept:
        raise UserError(
            f"{message}. No row is left to train on. answer_start counts characters (not bytes or "
            "words) from the beginning of the context, the first is 0."
        )
    logger.warning("%s. They are left out.", message)
    return dataset.select(kept)


def _rows(dataset: datasets.Dataset) -> Iterator[tuple[Any, str, Any]]:
    names = ["id", "context", "answers"]
    has_json = dataset.features.arrow_schema.field("answers").type == JSON
    # Arrow's lists are made faster than those of datasets, which are needed for JSON values.
    plain = dataset.with_format(None if has_json else "arrow", columns=names)
    for table in plain.iter(batch_size=_ROWS_AT_A_TIME):
        columns = (table[name] if has_json else table.column(name).to_pylist() for name in names)
        yield from zip(*columns, strict=True)


def _parsed(value: str, row_id: Any) -> Any:
    """Parse a csv file's cell; text that is neither JSON nor a Python literal is an answer."""
    stripped = value.strip()
    if not stripped:
        return None
    if stripped[0] in "[{":
        for parse in (json.loads, ast.literal_eval):
            try:
                return parse(stripped)
            except (ValueError, SyntaxError, RecursionError, MemoryError):  # Or nested too deeply.
                continue
        if stripped[0] == "{":
            raise UserError(
                f"id {row_id!r}: answers are {_truncate(value)}, which is neither JSON nor a "
                f"Python literal. Write them like {_LAYOUT}."
            )
    return [value]


def _parse_int(number: Any) -> int:
    """Convert a whole number, which csv files may store as a float or text.

    Raises:
        TypeError: when it has another type.
        ValueError: when it is not a whole number.
    """
    if isinstance(number, bool) or not isinstance(number, (int, float, str)):
        raise TypeError
    if isinstance(number, float) and not number.is_integer():
        raise ValueError
    return int(number)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    is_list = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
    return list(value) if is_list else [value]


def _truncate(value: Any, limit: int = 80) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."
