"""Conversations: rows with a list of messages, each with a role and a content."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import datasets

from model_hub.errors import UserError

#: The role whose messages are learned.
ASSISTANT = "assistant"
_LAYOUT = '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]'
_ROWS_AT_A_TIME = 1000


def check_conversations(dataset: datasets.Dataset, source: str, column: str) -> None:
    """Checks that every row holds a conversation, before anything is tokenized.

    Args:
        dataset: rows as loaded.
        source: where they come from, for messages.
        column: ``data.messages_column``.

    Raises:
        UserError: naming the first row that does not.
    """
    if column not in dataset.column_names:
        raise UserError(
            f"{source}: the columns are {', '.join(map(repr, dataset.column_names))}, but needed "
            f"is {column!r} with conversations such as {_LAYOUT}. Rename a column, or write its "
            "name as data.messages_column."
        )
    with_answer = False
    for number, value in enumerate(_values(dataset, column), 1):
        try:
            messages = messages_of(value)
        except UserError as error:
            raise UserError(f"{source}: row {number}, column {column!r}: {error}") from None
        with_answer = with_answer or any(m["role"] == ASSISTANT for m in messages)
    if not with_answer:
        raise UserError(
            f"{source}: no conversation has a message of the role {ASSISTANT!r}, so there is "
            f"nothing to learn. Conversations look like {_LAYOUT}."
        )


def messages_of(value: Any) -> list[dict[str, Any]]:
    """The messages of one cell, without keys that are null.

    Args:
        value: a list of mappings with ``role`` and ``content``, or JSON text of one, also of each
            message (as Arrow holds messages that differ in their keys).

    Raises:
        UserError: when it is something else, empty, or role or content are no text.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, list) or not value:
        raise UserError(f"found {_short(value)}, but should be a list of messages like {_LAYOUT}.")
    messages = []
    for item in value:
        message = _parsed(item) if isinstance(item, str) else item
        if not isinstance(message, Mapping):
            raise UserError(f"a message is {_short(item)}, but should be like those of {_LAYOUT}.")
        for key in ("role", "content"):
            if not isinstance(message.get(key), str):
                raise UserError(
                    f"a message is {_short(dict(message))}: its {key} should be text. Messages "
                    f"look like those of {_LAYOUT}."
                )
        messages.append({name: part for name, part in message.items() if part is not None})
    return messages


def _values(dataset: datasets.Dataset, column: str) -> Iterator[Any]:
    for rows in dataset.select_columns([column]).iter(batch_size=_ROWS_AT_A_TIME):
        yield from rows[column]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _short(value: Any, limit: int = 120) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."
