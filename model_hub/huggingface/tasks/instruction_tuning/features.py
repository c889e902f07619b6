"""Conversations become tokens, those of the assistant labels."""

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

_MARKS_ANSWERS = re.compile(r"\{%-?\s*generation\s*-?%\}")

Messages = list[dict[str, Any]]
Tools = list[dict[Any, Any]] | None
# First, and after the last.
Span = tuple[int, int]


def marks_answers(tokenizer: transformers.PreTrainedTokenizerBase) -> bool:
    """Whether the chat template itself tells what the assistant says (``{% generation %}``)."""
    return bool(_MARKS_ANSWERS.search(tokenizer.get_chat_template()))


def tokenize_conversations(
    rows: Mapping[str, Sequence[Any]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    column: str,
    max_seq_length: int,
) -> dict[str, list[Any]]:
    """Writes conversations as the chat template says, and labels what the assistant says.

    Args:
        rows: columns of a batch; ``tools``, if it is there, goes to the template, too.
        tokenizer: a fast tokenizer with a chat template.
        column: name of the column with the conversations.
        max_seq_length: longer conversations are cut at their end; those in which nothing of the
            assistant is left are left out.

    Returns:
        ``input_ids`` and ``labels`` (-100 for all but the assistant's tokens) of the rows that are
        kept, and ``whole_length``, the number of tokens before the cut.

    Raises:
        UserError: when the template does not take a conversation, leaves out its tools or their
            calls, or it is not clear what of the text is the assistant's.
    """
    prepared: dict[str, list[Any]] = {"input_ids": [], "labels": [], "whole_length": []}
    talks = [
        (messages_of(value), tools_of(tools))
        for value, tools in zip(
            rows[column], rows.get(TOOLS, [None] * len(rows[column])), strict=True
        )
    ]
    tokenized = (_answers_by_mark if marks_answers(tokenizer) else _answers_by_prefix)(
        talks, tokenizer
    )
    for ids, answers in tokenized:
        labels = [NO_LABEL] * len(ids)
        for first, last in answers:
            labels[first:last] = ids[first:last]
        labels = labels[:max_seq_length]
        # Nothing stands before the first token that it could be predicted from.
        labels[:1] = [NO_LABEL] * len(labels[:1])
        if any(max(first, 1) < min(last, len(labels)) for first, last in answers):
            prepared["input_ids"].append(ids[:max_seq_length])
            prepared["labels"].append(labels)
            prepared["whole_length"].append(len(ids))
    return prepared


def _answers_by_mark(
    talks: Sequence[tuple[Messages, Tools]], tokenizer: transformers.PreTrainedTokenizerBase
) -> Iterator[tuple[list[int], list[Span]]]:
    """Token ids, and which of them are the assistant's, by the template's own marks."""
    for messages, tools in talks:
        _check_tools(messages, tools, tokenizer)
        encoded: Any = _apply_template(
            messages, tools, tokenizer, return_dict=True, return_assistant_tokens_mask=True
        )
        marks = np.array([0, *encoded["assistant_masks"], 0])
        # Where a stretch of marks begins and ends.
        changes = np.flatnonzero(np.diff(marks)).tolist()
        yield encoded["input_ids"], list(zip(changes[::2], changes[1::2], strict=True))


def _answers_by_prefix(
    talks: Sequence[tuple[Messages, Tools]], tokenizer: transformers.PreTrainedTokenizerBase
) -> Iterator[tuple[list[int], list[Span]]]:
    """The same by what each answer adds to the text of the messages before it."""
    texts, all_spans = [], []
    for messages, tools in talks:
        _check_tools(messages, tools, tokenizer)
        text, spans = _text_and_answers(messages, tools, tokenizer)
        texts.append(text)
        all_spans.append(spans)
    if not texts:  # Some tokenizers fail on an empty list.
        return
    encoded = tokenizer(
        texts,
        add_special_tokens=False,  # They stand in the template.
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    for row, (text, spans) in enumerate(zip(texts, all_spans, strict=True)):
        encoding, end = encoded[row], len(text)
        # A token that the prompt has a part of is the prompt's: the model does not say it.
        yield (
            encoded["input_ids"][row],
            [
                (_token_from(encoding, first, end), _token_from(encoding, last, end))
                for first, last in spans
            ],
        )


def _token_from(encoding: Any, character: int, end: int) -> int:
    """The first token that begins at this character of the text or after it.

    It is asked of the tokenizer: to list where all tokens stand takes longer.

    Args:
        encoding: one of ``tokenizers``.
        character: number of the character.
        end: characters of the text.
    """
    count = len(encoding)
    for place in range(character, end):
        token = encoding.char_to_token(place)
        if token is None:  # Blanks may be in no token.
            continue
        while token < count and encoding.token_to_chars(token)[0] < character:
            token += 1
        return int(token)
    return count


def _text_and_answers(
    messages: Messages, tools: Tools, tokenizer: transformers.PreTrainedTokenizerBase
) -> tuple[str, list[Span]]:
    """The conversation as text, and where in it the answers stand.

    The conversation is written up to each answer, once as it is where the model is asked for that
    answer, and once with the answer; the difference is the assistant's.
    """
    text = render_conversation(messages, tokenizer, tools)
    spans = []
    for number, message in enumerate(messages):
        if message["role"] != ASSISTANT:
            continue
        before = (
            render_conversation(messages[:number], tokenizer, tools, ask=True) if number else ""
        )
        last = number + 1 == len(messages)
        after = text if last else render_conversation(messages[: number + 1], tokenizer, tools)
        if not (text.startswith(after) and after.startswith(before)):
            raise UserError(
                "the chat template writes the beginning of a conversation in another way when the "
                "conversation goes on, so it is not clear which tokens are the assistant's: "
                f"{first_difference(messages)}, message {number + 1}. Write {{% generation %}} and "
                "{% endgeneration %} around the assistant's text in the template, and the file's "
                "name as data.chat_template_file."
            )
        # A line break after the end of the turn is the template's.
        spans.append((len(before), len(after.rstrip())))
    return text, spans


def _check_tools(
    messages: Messages, tools: Tools, tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    """Checks that the template writes tools and their calls, where there are some."""
    calls = any("tool_calls" in message for message in messages)
    if not calls and tools is None:
        return
    text = render_conversation(messages, tokenizer, tools)
    bare = [{k: v for k, v in message.items() if k != "tool_calls"} for message in messages]
    left_out = []
    if tools is not None and text == render_conversation(messages, tokenizer):
        left_out.append("the tools of the column tools")
    if calls and text == _render_or_none(bare, tokenizer, tools):
        left_out.append("the assistant's tool_calls")
    if left_out:
        raise UserError(
            f"the chat template leaves out {' and '.join(left_out)} in the conversation "
            f"{first_difference(messages)}. Take a model whose template knows tools, write such a "
            "template as data.chat_template_file, or remove them from the data."
        )


def _render_or_none(
    messages: Messages, tokenizer: transformers.PreTrainedTokenizerBase, tools: Tools
) -> str | None:
    """As below; None for what the template does not take."""
    try:
        return render_conversation(messages, tokenizer, tools)
    except UserError:
        return None


def render_conversation(
    messages: Messages,
    tokenizer: transformers.PreTrainedTokenizerBase,
    tools: Tools = None,
    *,
    ask: bool = False,
) -> str:
    """The conversation as the chat template writes it.

    Args:
        messages: what ``messages_of`` gives.
        tokenizer: has the template.
        tools: what ``tools_of`` gives.
        ask: with the beginning of an answer at the end.

    Raises:
        UserError: when the template does not take it.
    """
    return str(
        _apply_template(messages, tools, tokenizer, tokenize=False, add_generation_prompt=ask)
    )


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
            "the chat template does not take the conversation "
            f"{first_difference(messages)}: {error}. "
            "Correct the conversation, or write another template as data.chat_template_file."
        ) from error


def first_difference(messages: Messages) -> str:
    """How a message to the user names a conversation."""
    content = str(messages[0].get("content") or "")
    return f"that begins with {content[:60]!r}"
