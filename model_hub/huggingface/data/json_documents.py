"""Rows of JSON files that are one document, not one object a line."""

import json
import pathlib
from typing import Any

import datasets

from model_hub.huggingface.data.data_file import DataFile

_STRING, _INT = datasets.Value("string"), datasets.Value("int32")
SQUAD_FEATURES = datasets.Features(
    {
        **dict.fromkeys(("id", "title", "context", "question"), _STRING),
        "answers": {"text": datasets.List(_STRING), "answer_start": datasets.List(_INT)},
    }
)


def is_json_lines(path: pathlib.Path) -> bool:
    """Return whether a file holds one object a line, judged by its first line."""
    with path.open("rb") as lines:
        first = next((line for line in lines if line.strip()), b"")
        only_line = not any(line.strip() for line in lines)
    try:
        value = json.loads(first)
    except ValueError:
        # The beginning of a list or an object over several lines, or a row that is broken.
        if first.lstrip().startswith(b"[") or first.strip() == b"{":
            return False
        try:
            json.loads(path.read_bytes())
        except ValueError:
            return True
        return False
    return isinstance(value, dict) and not (only_line and isinstance(value.get("data"), list))


def document_rows(
    file: DataFile, content: bytes
) -> tuple[list[dict[str, Any]], datasets.Features | None]:
    """Return the rows of a document, and their types if they are known (SQuAD).

    Args:
        file: the file.
        content: its content.

    Raises:
        UserError: if it is not JSON, or has no rows.
    """
    try:
        document = json.loads(content)
    except json.JSONDecodeError as error:
        raise file.line_error(error.lineno, f"not JSON ({error.msg})") from error
    rows = document.get("data") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise file.error(
            " should hold one object a line, a list of objects, or an object whose 'data' is such "
            "a list."
        )
    if not rows:
        raise file.error(" has no rows.")
    if "paragraphs" in rows[0]:
        return _squad_rows(file, rows), SQUAD_FEATURES
    return rows, None


def _squad_rows(file: DataFile, articles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Flatten the nested layout in which SQuAD v1.1 and v2.0 are published.

    An unanswerable question gets empty lists of answers.
    """
    rows = []
    for number, article in enumerate(articles, 1):
        try:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    answers = [] if question.get("is_impossible") else question.get("answers", [])
                    row = {
                        "id": str(question["id"]),
                        "title": article.get("title", ""),
                        "context": paragraph["context"],
                        "question": question["question"],
                        "answers": {
                            "text": [answer["text"] for answer in answers],
                            "answer_start": [answer["answer_start"] for answer in answers],
                        },
                    }
                    rows.append(row)
        except (AttributeError, KeyError, TypeError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise file.error(
                f" looks like nested SQuAD, but in article {number} {what}; it should be data > "
                "paragraphs > {context, qas > {id, question, answers > {text, answer_start}}}."
            ) from error
    return rows
