"""What a chat template leaves out of a conversation: messages, calls of tools, reasoning."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks.instruction_tuning.formats import Conversation
from model_hub.huggingface.tasks.instruction_tuning.messages import (
    ASSISTANT,
    REASONING,
    ROLES,
    unknown_role,
)
from model_hub.huggingface.tasks.instruction_tuning.template import (
    Message,
    Tools,
    describe_conversation,
    names_role,
    render_conversation,
)

_ADVICE = (
    "Take a model whose template supports it, write such a template as data.chat_template_file, or "
    "remove it from the data."
)


@dataclasses.dataclass(frozen=True)
class _Part:
    """A text of a conversation that the template has to write.

    Attributes:
        name: what it is, for the error.
        upto: number of messages of the conversation in which it has to be written; models need
            not see the reasoning of earlier turns.
        put: replaces it in messages and tools.
    """

    name: str
    upto: int
    put: Callable[[list[Message], Tools, str], None]


def shape_of(conversation: Conversation) -> tuple[Any, ...]:
    """Return on what it depends which parts of a conversation a template writes.

    Conversations of the same shape differ only in their words.
    """
    return (
        len(conversation.tools or ()),
        *(
            (
                message["role"],
                bool(message["content"].strip()),
                len(message.get("tool_calls", ())),
                REASONING in message,
                learned,
            )
            for message, learned in zip(conversation.messages, conversation.learned, strict=True)
        ),
    )


def check_written(
    conversation: Conversation, tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    """Check that the chat template writes all messages, tools, calls and reasoning.

    Each is replaced by a word, which has to be in the rendered text.

    Raises:
        UserError: naming the message, when it has an unknown role or something is left out.
    """
    messages, tools = conversation.messages, conversation.tools
    for number, message in enumerate(messages, 1):
        if message["role"] not in ROLES and not names_role(tokenizer, tools, message["role"]):
            raise UserError(f"message {number}: {unknown_role(message['role'])}")
    parts = list(_parts(conversation))
    words = [f"qz{number}zq" for number in range(len(parts))]
    missing = set(range(len(parts)))
    for upto in {part.upto for part in parts}:
        together = [n for n in missing if parts[n].upto == upto]
        text = _rendered(conversation, tokenizer, [(parts[n], words[n]) for n in together])
        missing -= {n for n in together if text is not None and words[n] in text}
    # Words in the place of all other parts may change what the template does with this one.
    for number in sorted(missing):
        text = _rendered(conversation, tokenizer, [(parts[number], words[number])])
        if text is not None and words[number] not in text:
            raise UserError(
                f"the chat template leaves out {parts[number].name} in the conversation "
                f"{describe_conversation(messages)}. {_ADVICE}"
            )


def _rendered(
    conversation: Conversation,
    tokenizer: transformers.PreTrainedTokenizerBase,
    replaced: Sequence[tuple[_Part, str]],
) -> str | None:
    """Return the conversation's text with words in the place of parts; None if it is rejected."""
    messages, tools = copy.deepcopy((conversation.messages, conversation.tools))
    for part, word in replaced:
        part.put(messages, tools, word)
    try:
        return render_conversation(messages[: replaced[0][0].upto], tokenizer, tools)
    except UserError:
        return None


def _parts(conversation: Conversation) -> Iterator[_Part]:
    messages = conversation.messages
    for number in range(len(conversation.tools or ())):
        name = f"the tools of the column tools (number {number + 1})"
        yield _Part(name, len(messages), _in_tool(number))
    for number, message in enumerate(messages):
        # Some templates write earlier answers in another way; each is learned as the last one.
        upto = number + 1 if conversation.learned[number] else len(messages)
        of = f"of message {number + 1}, with the role {message['role']!r}"
        if message["content"].strip():
            yield _Part(f"the content {of}", upto, _in_message(number, "content"))
        for call in range(len(message.get("tool_calls", ()))):
            name = f"the assistant's tool_calls (number {call + 1} {of})"
            yield _Part(name, upto, _in_call(number, call))
        if message["role"] == ASSISTANT and REASONING in message and conversation.learned[number]:
            yield _Part(f"the {REASONING} {of}", upto, _in_message(number, REASONING))


def _in_tool(number: int) -> Callable[[list[Message], Tools, str], None]:
    def put(messages: list[Message], tools: Tools, word: str) -> None:
        tool = (tools or [])[number]
        tool.get("function", tool)["name"] = word

    return put


def _in_message(number: int, key: str) -> Callable[[list[Message], Tools, str], None]:
    def put(messages: list[Message], tools: Tools, word: str) -> None:
        messages[number][key] = word

    return put


def _in_call(number: int, call: int) -> Callable[[list[Message], Tools, str], None]:
    def put(messages: list[Message], tools: Tools, word: str) -> None:
        function = messages[number]["tool_calls"][call]
        function.get("function", function)["name"] = word

    return put
