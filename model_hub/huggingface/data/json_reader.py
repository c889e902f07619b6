"""Reads json files: one object a line, or one document of many rows."""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from model_hub.huggingface.data.data_file import DataFile, ReadOptions
from model_hub.huggingface.data.json_types import SpelledNumber

Row = dict[str, Any]


def read_json(
    file: DataFile, options: ReadOptions, rows_at_a_time: int, *, spelled: bool
) -> Iterator[list[Row]]:
    """Yield the rows in lists.

    Args:
        file: JSON Lines; or a list of objects, ``{"data": [...]}``, or the nested layout of SQuAD
            (articles, paragraphs, questions), which is flattened to rows.
        options: how to read it.
        rows_at_a_time: rows of each list but the last one.
        spelled: keep numbers as they are written (:class:`SpelledNumber`).

    Raises:
        UserError: naming the line or row that is broken.
    """
    parse = parse_spelled if spelled else _parse
    read = _lines if _is_lines(file, options) else _document
    rows = read(file, options, parse)
    while part := list(itertools.islice(rows, rows_at_a_time)):
        yield part


def _parse(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        # NaN, numbers that orjson refuses, or a mistake, of which json gives the position.
        return json.loads(text, parse_int=_parse_int)


def _parse_int(digits: str) -> int | float:
    """Return the integer; a float if it has more than 64 bits, as orjson does."""
    return int(digits) if len(digits) <= 20 else float(digits)


def parse_spelled(text: str) -> Any:
    """Return the value of a JSON text, numbers as :class:`SpelledNumber`."""
    return json.loads(
        text, parse_int=SpelledNumber, parse_float=SpelledNumber, parse_constant=SpelledNumber
    )


def _is_lines(file: DataFile, options: ReadOptions) -> bool:
    """Return whether a file holds one object a line, judged by its first lines."""
    lines = (line.strip() for line in file.lines(options.encoding) if line.strip())
    first, second, third = next(lines, ""), next(lines, ""), next(lines, "")
    try:
        value = _parse(first)
    except ValueError:
        # The beginning of a document over several lines; or a broken row, after which others or
        # none follow.
        is_broken = not first.startswith("[") and _is_row(second) and third[:1] in ("", "{")
        return is_broken or not first
    return isinstance(value, dict) and (bool(second) or not isinstance(value.get("data"), list))


def _is_row(line: str) -> bool:
    try:
        return isinstance(_parse(line), dict)
    except ValueError:
        return False


def _lines(file: DataFile, options: ReadOptions, parse: Callable[[str], Any]) -> Iterator[Row]:
    for number, line in enumerate(file.lines(options.encoding), 1):
        if not line.strip():
            continue
        try:
            row = parse(line)
        except json.JSONDecodeError as error:
            reason = f"not JSON ({error.msg} at character {error.pos + 1})"
            raise file.line_error(number, reason) from error
        if not isinstance(row, dict):
            raise file.line_error(number, f"a row should be an object, but is {line.strip()[:60]}")
        yield row


def _document(file: DataFile, options: ReadOptions, parse: Callable[[str], Any]) -> Iterator[Row]:
    """Yield the rows of a document, which is read whole."""
    try:
        document = parse("".join(file.lines(options.encoding)))
    except json.JSONDecodeError as error:
        reason = f"not JSON ({error.msg} at character {error.colno})"
        raise file.line_error(error.lineno, reason) from error
    rows = document.get("data") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise file.error(
            " should hold one object a line, a list of objects, or an object whose 'data' is such "
            "a list."
        )
    yield from _squad_rows(file, rows) if rows and "paragraphs" in rows[0] else rows


def _squad_rows(file: DataFile, articles: list[Row]) -> Iterator[Row]:
    """Flatten the nested layout in which SQuAD v1.1 and v2.0 are published.

    An unanswerable question gets empty lists of answers.
    """
    for number, article in enumerate(articles, 1):
        try:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    answers = [] if question.get("is_impossible") else question.get("answers", [])
                    yield {
                        "id": str(question["id"]),
                        "title": article.get("title", ""),
                        "context": paragraph["context"],
                        "question": question["question"],
                        "answers": {
                            "text": [answer["text"] for answer in answers],
                            "answer_start": [answer["answer_start"] for answer in answers],
                        },
                    }
        except (AttributeError, KeyError, TypeError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise file.error(
                f" looks like nested SQuAD, but in article {number} {what}; it should be data > "
                "paragraphs > {context, qas > {id, question, answers > {text, answer_start}}}."
            ) from error
