"""Rows of conversations: messages with role and content, and optionally tools."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from model_hub.errors import UserError

#: The role whose messages the model learns.
ASSISTANT = "assistant"
#: The optional column with the tools that the assistant may call.
TOOLS = "tools"
_LAYOUT = '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]'
_CALL_LAYOUT = '[{"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}}]'
_ROWS_AT_A_TIME = 1000


def check_conversations(dataset: datasets.Dataset, source: str, column: str) -> None:
    """Check that every row holds a conversation, before anything is tokenized.

    Args:
        dataset: rows as loaded.
        source: where they come from, for messages.
        column: ``data.messages_column``.

    Raises:
        UserError: naming the first row that does not, or when the assistant has no message.
    """
    if column not in dataset.column_names:
        raise UserError(
            f"{source}: the columns are {', '.join(map(repr, dataset.column_names))}, but "
            f"{column!r} is missing, with conversations such as {_LAYOUT}. Rename a column, or "
            "write its name as data.messages_column."
        )
    if TOOLS not in dataset.column_names and _are_plain(dataset, column):
        return
    with_answer = False
    for number, (value, tools) in enumerate(read_conversations(dataset, column), 1):
        try:
            messages = messages_of(value)
            tools_of(tools)
        except UserError as error:
            raise UserError(f"{source}: row {number}, column {column!r}: {error}") from None
        with_answer = with_answer or any(m["role"] == ASSISTANT for m in messages)
    if not with_answer:
        raise UserError(
            f"{source}: no conversation has a message with the role {ASSISTANT!r}, so there is "
            f"nothing to learn. Conversations look like {_LAYOUT}."
        )


def messages_of(value: Any) -> list[dict[str, Any]]:
    """Return the messages of a cell as chat templates take them, without keys that are null.

    Args:
        value: a list of mappings with ``role`` and ``content``. The list or each message may be
            JSON text (as Arrow stores messages that differ in their keys). Content in parts, all of
            them texts, becomes one text. A message with ``tool_calls`` may have no content, which
            becomes empty; their arguments may be JSON text and become mappings.

    Raises:
        UserError: when the value is something else or empty, or role or content are not text.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, list) or not value:
        raise UserError(
            f"found {_truncate(value)}, but should be a list of messages like {_LAYOUT}."
        )
    return [_message(item) for item in value]


def tools_of(value: Any) -> list[dict[str, Any]] | None:
    """Return the tools of a cell of the column ``tools`` as chat templates take them.

    Args:
        value: a list of mappings (JSON schemas of functions), JSON text of one, or null.

    Returns:
        None if there is no tool.

    Raises:
        UserError: when the value is something else.
    """
    if isinstance(value, str):
        value = _parsed(value) if value.strip() else None
    if not value:
        return None
    tools = [_parsed(tool) if isinstance(tool, str) else tool for tool in value]
    if not isinstance(value, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise UserError(
            f"the tools are {_truncate(value)}, but should be a list of functions like "
            '[{"type": "function", "function": {"name": "add", "parameters": {}}}].'
        )
    return [_without_null(tool) for tool in tools]


def _message(item: Any) -> dict[str, Any]:
    message = _parsed(item) if isinstance(item, str) else item
    if not isinstance(message, Mapping):
        raise UserError(f"a message is {_truncate(item)}, but should be like those of {_LAYOUT}.")
    message = {name: part for name, part in message.items() if part is not None}
    if isinstance(message.get("content"), list):
        message["content"] = _joined(message["content"], message)
    calls = message.pop("tool_calls", None)
    if calls:
        message["tool_calls"] = _calls(_parsed(calls) if isinstance(calls, str) else calls)
        message.setdefault("content", "")
    for key in ("role", "content"):
        if not isinstance(message.get(key), str):
            raise UserError(
                f"a message is {_truncate(dict(message))}: its {key} should be text. Messages "
                f"look like those of {_LAYOUT}."
            )
    return message


def _joined(parts: list[Any], message: Mapping[str, Any]) -> str:
    """Return the concatenated texts of a content in parts."""
    texts = []
    for part in parts:
        part = _parsed(part) if isinstance(part, str) and part.startswith("{") else part
        if isinstance(part, Mapping):
            part = _without_null(part)
            if part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
                raise UserError(
                    f"a message is {_truncate(dict(message))}: its content has a part of the type "
                    f"{part.get('type')!r}, but only texts can be learned here. Remove such parts "
                    "or the conversation."
                )
            part = part["text"]
        if not isinstance(part, str):
            raise UserError(
                f"a message is {_truncate(dict(message))}: its content has the part "
                f"{_truncate(part)}, but should have texts, such as "
                '{"type": "text", "text": "Hi"}.'
            )
        texts.append(part)
    return "".join(texts)


def _calls(calls: Any) -> list[dict[str, Any]]:
    found = []
    for call in calls if isinstance(calls, list) else [calls]:
        call = _parsed(call) if isinstance(call, str) else call
        call = _without_null(call) if isinstance(call, Mapping) else {}
        function = call.get("function", call)
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise UserError(
                f"the tool_calls of a message are {_truncate(calls)}, but should look like "
                f"{_CALL_LAYOUT}."
            )
        # OpenAI's API, the source of many logs, writes arguments as text; templates take mappings.
        arguments = function.get("arguments", {})
        parsed = _parsed(arguments) if isinstance(arguments, str) else arguments
        function = {**function, "arguments": parsed if isinstance(parsed, Mapping) else arguments}
        found.append({**call, "function": function} if "function" in call else function)
    return found


def _without_null(value: Any) -> Any:
    """Remove keys that are null: Arrow gives each mapping the keys of all others."""
    if isinstance(value, Mapping):
        return {name: _without_null(part) for name, part in value.items() if part is not None}
    return [_without_null(part) for part in value] if isinstance(value, list) else value


def _are_plain(dataset: datasets.Dataset, column: str) -> bool:
    """Return whether Arrow's types show that all roles and contents are texts.

    If not, every row has to be checked.
    """
    kind = dataset.features.arrow_schema.field(column).type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    message = kind.value_type
    if not pa.types.is_struct(message) or message.get_field_index("tool_calls") >= 0:
        return False
    for name in ("role", "content"):
        index = message.get_field_index(name)
        if index < 0 or not pa.types.is_string(message.field(index).type):
            return False
    cells = dataset.with_format("arrow", columns=[column])[:].column(0)
    messages = pc.list_flatten(cells)
    shortest = pc.min(pc.list_value_length(cells)).as_py()
    if cells.null_count or messages.null_count or not shortest:
        return False
    roles, contents = (pc.struct_field(messages, name) for name in ("role", "content"))
    whole = not roles.null_count and not contents.null_count
    return whole and bool(pc.any(pc.equal(roles, ASSISTANT)).as_py())


def read_conversations(dataset: datasets.Dataset, column: str) -> Iterator[tuple[Any, Any]]:
    """Yield the cells of each row: the conversation, and its tools or None."""
    names = [name for name in (column, TOOLS) if name in dataset.column_names]
    for rows in dataset.select_columns(names).iter(batch_size=_ROWS_AT_A_TIME):
        yield from zip(rows[column], rows.get(TOOLS, [None] * len(rows[column])), strict=True)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _truncate(value: Any, limit: int = 120) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."
