"""Formats of conversations: which columns a data set has, and a row as a :class:`Conversation`."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import datasets

from model_hub.errors import UserError
from model_hub.experiment.messages import did_you_mean, join_or
from model_hub.huggingface.tasks.instruction_tuning.messages import (
    ASSISTANT,
    LAYOUT,
    WEIGHT,
    message_of,
    messages_of,
    parsed,
    tools_of,
    truncated,
)

MESSAGES, SHAREGPT, ALPACA, PROMPT_COMPLETION, TEXT = FORMATS = (
    "messages",
    "sharegpt",
    "alpaca",
    "prompt_completion",
    "text",
)
#: What a row of each format looks like, for messages.
LAYOUTS = {
    MESSAGES: f'{{"messages": {LAYOUT}}}',
    SHAREGPT: '{"conversations": [{"from": "human", "value": "Hi"}, '
    '{"from": "gpt", "value": "Hello"}]}',
    ALPACA: '{"instruction": "Add.", "input": "1, 2", "output": "3"}',
    PROMPT_COMPLETION: '{"prompt": "Hi", "completion": "Hello"}',
    TEXT: '{"text": "All of it is learned."}',
}
TOOLS, SYSTEM, HISTORY = "tools", "system", "history"
_CONVERSATIONS = "conversations"
# The columns that make a format, and those of its answers, which rows to predict need not have.
_COLUMNS = {
    ALPACA: (("instruction",), ("output",)),
    PROMPT_COMPLETION: (("prompt",), ("completion",)),
    TEXT: (("text",), ()),
}
_SHAREGPT_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "model"), ASSISTANT),
    "function_call": ASSISTANT,
    "system": "system",
    **dict.fromkeys(("tool", "observation", "function_response"), "tool"),
}
# Columns with what cannot be learned here.
_MEDIA = ("image", "images", "audio", "audios", "video", "videos")
_ROWS_AT_A_TIME = 1000

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Conversation:
    """A conversation, whatever format it had.

    Attributes:
        messages: as chat templates take them; see :func:`messages_of`.
        tools: what the assistant may call; None if there is nothing.
        learned: whether each message is learned. Only the assistant's are.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    learned: list[bool]


@dataclasses.dataclass(frozen=True)
class ChatFormat:
    """The format of a data set.

    Attributes:
        name: one of :data:`FORMATS`.
        column: the column with the conversation or the text; empty if there are several.
    """

    name: str
    column: str = ""


def check_format_name(name: str | None) -> None:
    """Raise an error if ``data.chat_format`` is set and none of :data:`FORMATS`."""
    if name is not None and name not in FORMATS:
        raise UserError(
            f"data.chat_format is {name!r}, but should be {join_or(FORMATS)}"
            f"{did_you_mean(name, FORMATS)}."
        )


def find_format(
    dataset: datasets.Dataset,
    source: str,
    column: str = "messages",
    name: str | None = None,
    *,
    with_answers: bool = True,
) -> ChatFormat:
    """Return the format of the rows.

    A column of conversations has precedence over others, and the columns of other formats over
    ``text``.

    Args:
        dataset: rows as loaded.
        source: where they come from, for messages.
        column: ``data.messages_column``.
        name: ``data.chat_format``; None finds it by the columns.
        with_answers: whether columns of answers are needed.

    Raises:
        UserError: when a column is missing, or several formats are possible.
    """
    names = dataset.column_names
    if name is not None:
        check_format_name(name)
        return ChatFormat(name, _column_of(name, names, source, column, with_answers))
    for conversations in dict.fromkeys((column, _CONVERSATIONS)):
        if conversations in names:
            return ChatFormat(_format_of_cells(dataset, conversations), conversations)
    found = [
        each
        for each, (questions, answers) in _COLUMNS.items()
        if {*questions, *(answers if with_answers else ())} <= set(names)
    ]
    found = [each for each in found if each != TEXT] or found
    if len(found) == 1:
        return ChatFormat(found[0], "text" if found[0] == TEXT else "")
    columns = ", ".join(map(repr, names))
    if found:
        raise UserError(
            f"{source}: the columns are {columns}, which may be {join_or(found)}. Write which as "
            "data.chat_format."
        )
    raise UserError(
        f"{source}: the columns are {columns}, but {column!r} is missing, and they are those of no "
        f"other format either. Rows look like one of {'; '.join(LAYOUTS.values())}. Rename "
        "columns, or write the name of the column with the messages as data.messages_column."
    )


def _column_of(
    name: str, names: Sequence[str], source: str, column: str, with_answers: bool
) -> str:
    if name in _COLUMNS:
        questions, answers = _COLUMNS[name]
        needed: Sequence[str] = (*questions, *(answers if with_answers else ()))
    else:
        found = [each for each in (column, _CONVERSATIONS) if each in names]
        needed = found[:1] or [column if name == MESSAGES else _CONVERSATIONS]
    missing = [each for each in needed if each not in names]
    if missing:
        raise UserError(
            f"{source}: the columns are {', '.join(map(repr, names))}, but "
            f"{' and '.join(map(repr, missing))} is missing. With data.chat_format: {name}, rows "
            f"look like {LAYOUTS[name]}."
        )
    return needed[0] if len(needed) == 1 and name not in (ALPACA, PROMPT_COMPLETION) else ""


def _format_of_cells(dataset: datasets.Dataset, column: str) -> str:
    """Return whether a column's first messages are like those of OpenAI or of ShareGPT."""
    for row in itertools.islice(dataset.select_columns([column]), _ROWS_AT_A_TIME):
        cell = parsed(row[column]) if isinstance(row[column], str) else row[column]
        first = cell[0] if isinstance(cell, list) and cell else None
        first = parsed(first) if isinstance(first, str) else first
        if isinstance(first, Mapping):
            # Null keys are those of other rows.
            return SHAREGPT if first.get("from") is not None and "role" not in first else MESSAGES
    return MESSAGES


def read_conversation(row: Row, chat_format: ChatFormat) -> Conversation:
    """Return a row of any format but ``text`` as a conversation.

    Args:
        row: the cells by column. Columns of answers may be missing.
        chat_format: of :func:`find_format`.

    Raises:
        UserError: naming the column that holds something else.
    """
    for name in _MEDIA:
        if row.get(name):
            raise UserError(
                f"column {name!r}: images, audio and video cannot be learned here. Remove the "
                "column, or these rows."
            )
    messages = _READERS[chat_format.name](row, chat_format.column)
    weights = [message.pop(WEIGHT, None) for message in messages]
    learned = [
        message["role"] == ASSISTANT and weight != 0
        for message, weight in zip(messages, weights, strict=True)
    ]
    tools = _in_column(TOOLS, tools_of, row.get(TOOLS))
    return Conversation(messages, tools, learned)


def _in_column(column: str, read: Callable[[Any], Any], cell: Any) -> Any:
    """Return ``read(cell)``, with the column in the message of an error."""
    try:
        return read(cell)
    except UserError as error:
        raise UserError(f"column {column!r}: {error}") from None


def _read_messages(row: Row, column: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = _in_column(column, messages_of, row[column])
    return messages


def _read_sharegpt(row: Row, column: str) -> list[dict[str, Any]]:
    return [*_system(row), *_in_column(column, _sharegpt_messages, row[column])]


def _sharegpt_messages(cell: Any) -> list[dict[str, Any]]:
    items = parsed(cell) if isinstance(cell, str) else cell
    if not isinstance(items, list) or not items:
        raise UserError(f"found {truncated(cell)}, but rows look like {LAYOUTS[SHAREGPT]}.")
    messages = []
    for item in items:
        item = parsed(item) if isinstance(item, str) else item
        if not isinstance(item, Mapping) or not isinstance(item.get("from"), str):
            raise UserError(
                f"a message is {truncated(item)}, but should be like those of {LAYOUTS[SHAREGPT]}."
            )
        name, value = item["from"], item.get("value")
        if name not in _SHAREGPT_ROLES:
            raise UserError(
                f"there is no role {name!r} in this format; 'from' may be "
                f"{join_or(_SHAREGPT_ROLES)}{did_you_mean(name, _SHAREGPT_ROLES)}"
            )
        said = {"content": None, "tool_calls": value} if name == "function_call" else {}
        message = {"role": _SHAREGPT_ROLES[name], "content": value, **said}
        messages.append(message_of({**message, WEIGHT: item.get(WEIGHT)}))
    return messages


def _read_alpaca(row: Row, column: str) -> list[dict[str, Any]]:
    messages = _system(row)
    pairs = parsed(row[HISTORY]) if isinstance(row.get(HISTORY), str) else row.get(HISTORY)
    for pair in pairs or ():
        if not isinstance(pair, list) or len(pair) != 2:
            raise UserError(
                f"column {HISTORY!r}: found {truncated(pair)}, but should be a list of pairs of "
                "an instruction and its answer."
            )
        messages += [_text(HISTORY, pair[0], "user"), _text(HISTORY, pair[1], ASSISTANT)]
    asked = _text("instruction", row["instruction"], "user")
    if row.get("input") is not None:
        given = _text("input", row["input"], "user")["content"]
        asked["content"] += f"\n\n{given}" if given.strip() else ""
    messages.append(asked)
    if "output" in row:
        messages.append(_text("output", row["output"], ASSISTANT))
    return messages


def _read_prompt_completion(row: Row, column: str) -> list[dict[str, Any]]:
    prompt = _some_messages("prompt", row["prompt"], "user")
    # What is said before the completion is not learned.
    prompt = [{**message, WEIGHT: 0} for message in prompt]
    if "completion" not in row:
        return prompt
    return [*prompt, *_some_messages("completion", row["completion"], ASSISTANT)]


def _some_messages(column: str, cell: Any, role: str) -> list[dict[str, Any]]:
    """Return a cell that is a text, the one message of ``role``, or a list of messages."""
    value = parsed(cell) if isinstance(cell, str) and cell.startswith("[{") else cell
    if isinstance(value, list):
        messages: list[dict[str, Any]] = _in_column(column, messages_of, value)
        return messages
    return [_text(column, cell, role)]


def _system(row: Row) -> list[dict[str, Any]]:
    return [_text(SYSTEM, row[SYSTEM], "system")] if row.get(SYSTEM) else []


def _text(column: str, cell: Any, role: str) -> dict[str, Any]:
    if not isinstance(cell, str):
        raise UserError(f"column {column!r}: found {truncated(cell)}, but should be text.")
    return {"role": role, "content": cell}


_READERS: dict[str, Callable[[Row, str], list[dict[str, Any]]]] = {
    MESSAGES: _read_messages,
    SHAREGPT: _read_sharegpt,
    ALPACA: _read_alpaca,
    PROMPT_COMPLETION: _read_prompt_completion,
}


def columns_of(names: Sequence[str], chat_format: ChatFormat) -> list[str]:
    """Return those columns of a data set that belong to the conversation."""
    wanted = [chat_format.column, TOOLS, *_MEDIA]
    if chat_format.name != MESSAGES:
        wanted.append(SYSTEM)
    if chat_format.name == ALPACA:
        wanted += ["instruction", "input", "output", HISTORY]
    elif chat_format.name == PROMPT_COMPLETION:
        wanted += ["prompt", "completion"]
    return [name for name in names if name in wanted]


def rows_of(columns: Mapping[str, Sequence[Any]], chat_format: ChatFormat) -> Iterator[Row]:
    """Yield the rows of a batch's columns, with what belongs to the conversation."""
    names = columns_of(list(columns), chat_format)
    for cells in zip(*(columns[name] for name in names), strict=True):
        yield dict(zip(names, cells, strict=True))


def read_rows(dataset: datasets.Dataset, chat_format: ChatFormat) -> Iterator[Row]:
    """Yield all rows of a data set, some at a time in memory."""
    names = columns_of(dataset.column_names, chat_format)
    for columns in dataset.select_columns(names).iter(batch_size=_ROWS_AT_A_TIME):
        yield from rows_of(columns, chat_format)
