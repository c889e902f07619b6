"""The chat template of a tokenizer: conversations as text, and what the template marks in it."""

import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import transformers
from transformers.utils.chat_template_utils import render_jinja_template

from model_hub.errors import UserError

Message = dict[str, Any]
Tools = list[dict[str, Any]] | None
# The first character or token, and the one after the last.
Span = tuple[int, int]

# A word that no template has.
_PROBE = "qzprobeqz"
# What templates raise.
_REJECTIONS = (jinja2.TemplateError, TypeError)


def marks_answers(tokenizer: transformers.PreTrainedTokenizerBase, tools: Tools = None) -> bool:
    """Return whether the chat template marks the assistant's text with ``{% generation %}``.

    Args:
        tokenizer: has the template.
        tools: of the conversation; some tokenizers have a template of its own for tools.
    """
    return _has_marks(_source(tokenizer, tools))


@functools.lru_cache(maxsize=16)
def _has_marks(template: str) -> bool:
    """Return whether the template has a ``generation`` block, other than in a comment."""
    try:
        tokens = list(jinja2.Environment().lex(template))
    except jinja2.TemplateSyntaxError:
        return False
    words = [(kind, text) for _, kind, text in tokens if kind != "whitespace"]
    return any(
        begin == "block_begin" and word == ("name", "generation")
        for (begin, _), word in itertools.pairwise(words)
    )


def _source(tokenizer: transformers.PreTrainedTokenizerBase, tools: Tools) -> str:
    try:
        return str(tokenizer.get_chat_template(tools=tools))
    except ValueError as error:
        raise UserError(
            f"the tokenizer's chat template: {error} Write the one to use as "
            "data.chat_template_file."
        ) from error


def names_role(tokenizer: transformers.PreTrainedTokenizerBase, tools: Tools, role: str) -> bool:
    """Return whether the template compares a role with this one: has it in quotes."""
    source = _source(tokenizer, tools)
    return f"'{role}'" in source or f'"{role}"' in source


def render_conversation(
    messages: Sequence[Message],
    tokenizer: transformers.PreTrainedTokenizerBase,
    tools: Tools = None,
    *,
    add_generation_prompt: bool = False,
    **variables: Any,
) -> str:
    """Return the conversation as the chat template writes it.

    Args:
        messages: of ``messages_of``.
        tokenizer: has the template.
        tools: of ``tools_of``.
        add_generation_prompt: end with the beginning of an answer.
        variables: further variables of the template.

    Raises:
        UserError: when the template rejects the conversation.
    """
    settings = {"add_generation_prompt": add_generation_prompt, **variables}
    return _render(messages, tokenizer, tools, **settings)[0]


def render_marked(
    messages: Sequence[Message],
    tokenizer: transformers.PreTrainedTokenizerBase,
    tools: Tools = None,
) -> tuple[str, list[Span]]:
    """Return the rendered conversation and the characters that the template marks as answers."""
    return _render(messages, tokenizer, tools, return_assistant_tokens_mask=True)


def _render(
    messages: Sequence[Message],
    tokenizer: transformers.PreTrainedTokenizerBase,
    tools: Tools,
    **settings: Any,
) -> tuple[str, list[Span]]:
    try:
        return _template(tokenizer, tools).render(messages, tools, **settings)
    except _REJECTIONS as error:
        raise UserError(
            f"the chat template rejects the conversation {describe_conversation(messages)}: "
            f"{error}. Correct the conversation, or write another template as "
            "data.chat_template_file."
        ) from error


def header_after_turn(
    tokenizer: transformers.PreTrainedTokenizerBase, tools: Tools, role: str
) -> str:
    """Return what a template writes between the assistant's text and that of the next message.

    It is empty if something comes after the assistant's text even at the end of a conversation:
    then that ends the turn.

    Args:
        tokenizer: has the template.
        tools: of the conversation.
        role: role of the next message, ``user`` or ``tool``.
    """
    return _template(tokenizer, tools).header_after_turn(role)


def _template(tokenizer: transformers.PreTrainedTokenizerBase, tools: Tools) -> "_Template":
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return _cached_template(_source(tokenizer, tools), tuple(special.items()))


@functools.lru_cache(maxsize=16)
def _cached_template(source: str, special: tuple[tuple[str, str], ...]) -> "_Template":
    return _Template(source, dict(special))


class _Template:
    """A Jinja template with the special tokens that it may write (``eos_token``)."""

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        self._source = source
        self._special = special
        self._headers: dict[str, str] = {}
        self._takes_parts = False
        # Templates of models for images and text write contents only if they are lists of parts.
        user = {"role": "user", "content": _PROBE}
        if _PROBE not in self._try([user]):
            self._takes_parts = True
            self._takes_parts = _PROBE in self._try([user])

    def render(
        self, messages: Sequence[Message], tools: Tools, **settings: Any
    ) -> tuple[str, list[Span]]:
        """Return the text and the marked spans, or raise what Jinja raises."""
        if self._takes_parts:
            messages = [_in_parts(message) for message in messages]
        settings = {"tools": tools, "chat_template": self._source, **settings, **self._special}
        # Its annotation says that it returns a text.
        call: Any = functools.partial(render_jinja_template, **settings)
        try:
            texts, marks = call(conversations=[list(messages)])
        except TypeError:
            # Some templates concatenate the arguments of a tool call, so they have to be text.
            if not any("tool_calls" in message for message in messages):
                raise
            texts, marks = call(conversations=[_text_arguments(messages)])
        return texts[0], [tuple(span) for span in marks[0]] if marks else []

    def header_after_turn(self, role: str) -> str:
        """Return the text of :func:`header_after_turn`."""
        if role not in self._headers:
            answer: Message = {"role": "assistant", "content": _PROBE}
            if role == "tool":
                call = {"type": "function", "function": {"name": _PROBE, "arguments": {}}}
                answer = {**answer, "tool_calls": [call]}
            talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": _PROBE}]
            ends = not self._try(talk).endswith(_PROBE)
            talk = [talk[0], answer]
            turn = self._try(talk)
            longer = self._try([*talk, {"role": role, "content": _PROBE}])
            rest = longer.removeprefix(turn) if turn and longer.startswith(turn) else ""
            self._headers[role] = "" if ends else rest.partition(_PROBE)[0]
        return self._headers[role]

    def _try(self, messages: Sequence[Message]) -> str:
        """Return the text, or an empty one if the template rejects the messages."""
        try:
            return self.render(messages, None)[0]
        except _REJECTIONS:
            return ""


def _in_parts(message: Message) -> Message:
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


def _text_arguments(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with the arguments of their tool calls as JSON text."""
    changed = []
    for message in messages:
        calls = []
        for call in message.get("tool_calls", ()):
            function: Mapping[str, Any] = call.get("function", call)
            arguments = json.dumps(function.get("arguments", {}), ensure_ascii=False)
            function = {**function, "arguments": arguments}
            calls.append({**call, "function": function} if "function" in call else function)
        changed.append({**message, "tool_calls": calls} if calls else message)
    return changed


def describe_conversation(messages: Sequence[Message]) -> str:
    """Return the beginning of a conversation, for messages."""
    content: Any = messages[0].get("content") or ""
    text = content if isinstance(content, str) else content[0].get("text", "")
    return f"that begins with {text[:60]!r}"
