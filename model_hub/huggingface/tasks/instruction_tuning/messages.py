"""Cells of conversations: messages with role and content, and optionally tools."""

import json
from collections.abc import Mapping
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment.messages import did_you_mean

#: The role whose messages the model learns.
ASSISTANT = "assistant"
#: The roles that all chat templates may know.
ROLES = ("system", "developer", "user", ASSISTANT, "tool", "function")
#: Key of a message with what the assistant thought before it answered.
REASONING = "reasoning_content"
#: Key of a message that says whether it is learned, 0 or 1.
WEIGHT = "weight"
#: What :func:`messages_of` takes.
LAYOUT = '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]'
# Names of these roles in other formats.
_OTHER_NAMES = {"human": "user", "gpt": ASSISTANT, "bot": ASSISTANT, "ai": ASSISTANT}
_REASONING_NAMES = ("reasoning", "thinking")
_CALL_LAYOUT = '[{"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}}]'


def messages_of(value: Any) -> list[dict[str, Any]]:
    """Return the messages of a cell as chat templates take them, without keys that are null.

    Args:
        value: a list of mappings with ``role`` and ``content``. The list or each message may be
            JSON text (as Arrow stores messages that differ in their keys). Content in parts, all of
            them texts, becomes one text. A message with ``tool_calls`` may have no content, which
            becomes empty; their arguments may be JSON text and become mappings. ``reasoning`` and
            ``thinking`` are other names of ``reasoning_content``.

    Raises:
        UserError: when the value is something else or empty, role or content are not text, or a
            role looks misspelt.
    """
    if isinstance(value, str):
        value = parsed(value)
    if not isinstance(value, list) or not value:
        raise UserError(
            f"found {truncated(value)}, but should be a list of messages like {LAYOUT}."
        )
    return [message_of(item) for item in value]


def unknown_role(role: str) -> str:
    """Return an error message for a role that is none of :data:`ROLES`."""
    near = f"; did you mean {_OTHER_NAMES[role]}?" if role in _OTHER_NAMES else ""
    return (
        f"there is no role {role!r}; the roles are {', '.join(ROLES)}"
        f"{near or did_you_mean(role, ROLES)}"
    )


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
        value = parsed(value) if value.strip() else None
    if not value:
        return None
    tools = [parsed(tool) if isinstance(tool, str) else tool for tool in value]
    if not isinstance(value, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise UserError(
            f"the tools are {truncated(value)}, but should be a list of functions like "
            '[{"type": "function", "function": {"name": "add", "parameters": {}}}].'
        )
    return [_without_null(tool) for tool in tools]


def message_of(item: Any) -> dict[str, Any]:
    """Return a message as :func:`messages_of` does."""
    message = parsed(item) if isinstance(item, str) else item
    if not isinstance(message, Mapping):
        raise UserError(f"a message is {truncated(item)}, but should be like those of {LAYOUT}.")
    message = {name: part for name, part in message.items() if part is not None}
    if isinstance(message.get("content"), list):
        message["content"] = _joined(message["content"], message)
    calls = message.pop("tool_calls", None)
    if calls:
        message["tool_calls"] = _calls(parsed(calls) if isinstance(calls, str) else calls)
        message.setdefault("content", "")
    for key in ("role", "content"):
        if not isinstance(message.get(key), str):
            raise UserError(
                f"a message is {truncated(dict(message))}: its {key} should be text. Messages "
                f"look like those of {LAYOUT}."
            )
    _check_role(message)
    for name in _REASONING_NAMES:
        if name in message:
            message.setdefault(REASONING, message.pop(name))
    if not isinstance(message.get(REASONING, ""), str):
        raise UserError(f"a message is {truncated(message)}: its {REASONING} should be text.")
    if not message.get(REASONING, "x").strip():
        del message[REASONING]
    return message


def _check_role(message: Mapping[str, Any]) -> None:
    """Raise an error for a role that looks misspelt, and for a weight that cannot be used.

    Other unknown roles may be known to the chat template.
    """
    role, weight = message["role"], message.get(WEIGHT)
    if role not in ROLES and (role in _OTHER_NAMES or did_you_mean(role, ROLES, 0.75)):
        raise UserError(f"a message is {truncated(dict(message))}: {unknown_role(role)}.")
    if weight not in (None, 0, 1):
        raise UserError(
            f"a message is {truncated(dict(message))}: its {WEIGHT} should be 1, to learn it, or 0."
        )
    if weight == 1 and role != ASSISTANT:
        raise UserError(
            f"a message is {truncated(dict(message))}: only messages of the role {ASSISTANT!r} can "
            f"be learned. Remove {WEIGHT}: 1."
        )


def _joined(parts: list[Any], message: Mapping[str, Any]) -> str:
    """Return the concatenated texts of a content in parts."""
    texts = []
    for part in parts:
        part = parsed(part) if isinstance(part, str) and part.startswith("{") else part
        if isinstance(part, Mapping):
            part = _without_null(part)
            if part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
                raise UserError(
                    f"a message is {truncated(dict(message))}: its content has a part of the type "
                    f"{part.get('type')!r}, but only texts can be learned here. Remove such parts "
                    "or the conversation."
                )
            part = part["text"]
        if not isinstance(part, str):
            raise UserError(
                f"a message is {truncated(dict(message))}: its content has the part "
                f"{truncated(part)}, but should have texts, such as "
                '{"type": "text", "text": "Hi"}.'
            )
        texts.append(part)
    return "".join(texts)


def _calls(calls: Any) -> list[dict[str, Any]]:
    found = []
    for call in calls if isinstance(calls, list) else [calls]:
        call = parsed(call) if isinstance(call, str) else call
        call = _without_null(call) if isinstance(call, Mapping) else {}
        function = call.get("function", call)
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise UserError(
                f"the tool_calls of a message are {truncated(calls)}, but should look like "
                f"{_CALL_LAYOUT}."
            )
        # OpenAI's API, the source of many logs, writes arguments as text; templates take mappings.
        arguments = function.get("arguments", {})
        mapping = parsed(arguments) if isinstance(arguments, str) else arguments
        function = {**function, "arguments": mapping if isinstance(mapping, Mapping) else arguments}
        found.append({**call, "function": function} if "function" in call else function)
    return found


def _without_null(value: Any) -> Any:
    """Remove keys that are null: Arrow gives each mapping the keys of all others."""
    if isinstance(value, Mapping):
        return {name: _without_null(part) for name, part in value.items() if part is not None}
    return [_without_null(part) for part in value] if isinstance(value, list) else value


def parsed(text: str) -> Any:
    """Return the value of a JSON text; a text that is none itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def truncated(value: Any, limit: int = 120) -> str:
    """Return a value for a message, cut to ``limit`` characters."""
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."
