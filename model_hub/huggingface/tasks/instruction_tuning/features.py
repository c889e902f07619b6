"""Features of conversations: tokens, with those of the assistant as labels."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jinja2
import numpy as np
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.padding import NO_LABEL
from model_hub.huggingface.tasks.instruction_tuning.rows import (
    ASSISTANT,
    TOOLS,
    messages_of,
    tools_of,
)

_GENERATION_BLOCK = re.compile(r"\{%-?\s*generation\s*-?%\}")

Messages = list[dict[str, Any]]
Tools = list[dict[Any, Any]] | None
# First token or character, and the one after the last.
Span = tuple[int, int]


def marks_answers(tokenizer: transformers.PreTrainedTokenizerBase) -> bool:
    """Return whether the chat template marks the assistant's text with ``{% generation %}``."""
    return bool(_GENERATION_BLOCK.search(tokenizer.get_chat_template()))


def tokenize_conversations(
    rows: Mapping[str, Sequence[Any]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    column: str,
    max_seq_length: int,
) -> dict[str, list[Any]]:
    """Render conversations with the chat template, tokenize them and label the assistant's tokens.

    Args:
        rows: columns of a batch; the template also gets the column ``tools``, if there is one.
        tokenizer: a fast tokenizer with a chat template.
        column: name of the column with the conversations.
        max_seq_length: longer conversations are cut at their end, and left out if no token of the
            assistant remains.

    Returns:
        ``input_ids`` and ``labels`` (-100 for all but the assistant's tokens) of the other rows,
        and ``whole_length``, the number of tokens before the cut.

    Raises:
        UserError: when the template rejects a conversation, leaves out tools or calls of them, or
            does not show which part of the text is the assistant's.
    """
    prepared: dict[str, list[Any]] = {"input_ids": [], "labels": [], "whole_length": []}
    conversations = [
        (messages_of(value), tools_of(tools))
        for value, tools in zip(
            rows[column], rows.get(TOOLS, [None] * len(rows[column])), strict=True
        )
    ]
    for messages, tools in conversations:
        _check_tools(messages, tools, tokenizer)
    find_answers = _answers_by_mark if marks_answers(tokenizer) else _answers_by_prefix
    for ids, answers in find_answers(conversations, tokenizer):
        labels = [NO_LABEL] * len(ids)
        for first, last in answers:
            labels[first:last] = ids[first:last]
        labels = labels[:max_seq_length]
        # The first token has no token before it from which it could be predicted.
        labels[:1] = [NO_LABEL] * len(labels[:1])
        if any(max(first, 1) < min(last, len(labels)) for first, last in answers):
            prepared["input_ids"].append(ids[:max_seq_length])
            prepared["labels"].append(labels)
            prepared["whole_length"].append(len(ids))
    return prepared


def _answers_by_mark(
    conversations: Sequence[tuple[Messages, Tools]],
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> Iterator[tuple[list[int], list[Span]]]:
    """Yield token ids, and the spans of the assistant's tokens as the template marks them."""
    for messages, tools in conversations:
        encoded: Any = _apply_template(
            messages, tools, tokenizer, return_dict=True, return_assistant_tokens_mask=True
        )
        mask = np.array([0, *encoded["assistant_masks"], 0])
        # Where a run of ones begins and ends.
        changes = np.flatnonzero(np.diff(mask)).tolist()
        yield encoded["input_ids"], list(zip(changes[::2], changes[1::2], strict=True))


def _answers_by_prefix(
    conversations: Sequence[tuple[Messages, Tools]],
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> Iterator[tuple[list[int], list[Span]]]:
    """Yield the same by what each answer adds to the rendered messages before it."""
    rendered = [_text_and_answers(messages, tools, tokenizer) for messages, tools in conversations]
    if not rendered:  # Some tokenizers fail on an empty list.
        return
    encoded = tokenizer(
        [text for text, _ in rendered],
        add_special_tokens=False,  # The template writes them.
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    for row, (text, spans) in enumerate(rendered):
        encoding, end = encoded[row], len(text)
        # A token that also covers the end of the prompt belongs to the prompt.
        yield (
            encoded["input_ids"][row],
            [
                (_first_token(encoding, first, end), _first_token(encoding, last, end))
                for first, last in spans
            ],
        )


def _first_token(encoding: Any, character: int, end: int) -> int:
    """Return the first token that begins at a character of the text or after it.

    Looking up characters in the encoding is faster than listing all offsets.

    Args:
        encoding: a ``tokenizers.Encoding``.
        character: number of the character.
        end: length of the text.
    """
    count = len(encoding)
    for place in range(character, end):
        token = encoding.char_to_token(place)
        if token is None:  # Some tokenizers leave out blanks.
            continue
        while token < count and encoding.token_to_chars(token)[0] < character:
            token += 1
        return int(token)
    return count


def _text_and_answers(
    messages: Messages, tools: Tools, tokenizer: transformers.PreTrainedTokenizerBase
) -> tuple[str, list[Span]]:
    """Return the rendered conversation and the characters of the assistant's answers.

    For each answer, the conversation up to it is rendered without it (as when generating) and with
    it; the difference is the answer.
    """
    text = render_conversation(messages, tokenizer, tools)
    spans = []
    for number, message in enumerate(messages):
        if message["role"] != ASSISTANT:
            continue
        before = (
            render_conversation(messages[:number], tokenizer, tools, add_generation_prompt=True)
            if number
            else ""
        )
        last = number + 1 == len(messages)
        after = text if last else render_conversation(messages[: number + 1], tokenizer, tools)
        if not (text.startswith(after) and after.startswith(before)):
            raise UserError(
                "the chat template writes the beginning of a conversation in another way when the "
                "conversation goes on, so it is not clear which tokens are the assistant's: "
                f"{describe_conversation(messages)}, message {number + 1}. Write "
                "{% generation %} and {% endgeneration %} around the assistant's text in the "
                "template, and the file's name as data.chat_template_file."
            )
        # A line break after the end of the turn is the template's.
        spans.append((len(before), len(after.rstrip())))
    return text, spans


def _check_tools(
    messages: Messages, tools: Tools, tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    """Check that the template writes the tools and the calls of them, if there are any."""
    has_calls = any("tool_calls" in message for message in messages)
    if not has_calls and tools is None:
        return
    text = render_conversation(messages, tokenizer, tools)
    left_out = []
    if tools is not None and text == render_conversation(messages, tokenizer):
        left_out.append("the tools of the column tools")
    if has_calls:
        without_calls = [{k: v for k, v in m.items() if k != "tool_calls"} for m in messages]
        try:
            if text == render_conversation(without_calls, tokenizer, tools):
                left_out.append("the assistant's tool_calls")
        except UserError:
            pass  # A template that rejects messages without them reads them.
    if left_out:
        raise UserError(
            f"the chat template leaves out {' and '.join(left_out)} in the conversation "
            f"{describe_conversation(messages)}. Take a model whose template supports tools, write "
            "such a template as data.chat_template_file, or remove them from the data."
        )


def render_conversation(
    messages: Messages,
    tokenizer: transformers.PreTrainedTokenizerBase,
    tools: Tools = None,
    *,
    add_generation_prompt: bool = False,
) -> str:
    """Return the conversation as the chat template writes it.

    Args:
        messages: of ``messages_of``.
        tokenizer: has the template.
        tools: of ``tools_of``.
        add_generation_prompt: end with the beginning of an answer.

    Raises:
        UserError: when the template rejects the conversation.
    """
    settings: dict[str, Any] = {"add_generation_prompt": add_generation_prompt, "tokenize": False}
    return str(_apply_template(messages, tools, tokenizer, **settings))


def _apply_template(
    messages: Messages,
    tools: Tools,
    tokenizer: transformers.PreTrainedTokenizerBase,
    **settings: Any,
) -> Any:
    try:
        functions: Any = tools
        return tokenizer.apply_chat_template(messages, tools=functions, **settings)
    except (jinja2.TemplateError, TypeError) as error:
        raise UserError(
            f"the chat template rejects the conversation {describe_conversation(messages)}: "
            f"{error}. Correct the conversation, or write another template as "
            "data.chat_template_file."
        ) from error


def describe_conversation(messages: Messages) -> str:
    """Return the beginning of a conversation, for messages."""
    content = str(messages[0].get("content") or "")
    return f"that begins with {content[:60]!r}"
