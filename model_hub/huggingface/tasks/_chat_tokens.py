"""Conversations become tokens, those of the assistant labels."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._chat_rows import ASSISTANT, messages_of
from model_hub.huggingface.tasks._padding import NO_LABEL

_MARKS_ANSWERS = re.compile(r"\{%-?\s*generation\s*-?%\}")


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
        rows: columns of a batch.
        tokenizer: a fast tokenizer with a chat template.
        column: name of the column with the conversations.
        max_seq_length: longer conversations are cut at their end; those in which nothing of the
            assistant is left are left out.

    Returns:
        ``input_ids`` and ``labels`` (-100 for all but the assistant's tokens) of the rows that are
        kept, and ``whole_length``, the number of tokens before the cut.

    Raises:
        UserError: when the template does not take a conversation, or it is not clear what of the
            text is the assistant's.
    """
    prepared: dict[str, list[Any]] = {"input_ids": [], "labels": [], "whole_length": []}
    by_template = marks_answers(tokenizer)
    for value in rows[column]:
        messages = messages_of(value)
        try:
            ids, is_answer = (_marked if by_template else _told_by_prefixes)(messages, tokenizer)
        except (jinja2.TemplateError, TypeError) as error:
            raise UserError(
                f"the chat template does not take the conversation {_beginning(messages)}: "
                f"{error}. Correct the conversation, or write another template as "
                "data.chat_template_file."
            ) from error
        labels = [
            token if answer else NO_LABEL for token, answer in zip(ids, is_answer, strict=True)
        ][:max_seq_length]
        # Nothing stands before the first token that it could be predicted from.
        labels[:1] = [NO_LABEL] * len(labels[:1])
        if any(label != NO_LABEL for label in labels):
            prepared["input_ids"].append(ids[:max_seq_length])
            prepared["labels"].append(labels)
            prepared["whole_length"].append(len(ids))
    return prepared


def _marked(
    messages: list[dict[str, Any]], tokenizer: transformers.PreTrainedTokenizerBase
) -> tuple[list[int], Sequence[int]]:
    encoded: Any = tokenizer.apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True
    )
    return encoded["input_ids"], encoded["assistant_masks"]


def _told_by_prefixes(
    messages: list[dict[str, Any]], tokenizer: transformers.PreTrainedTokenizerBase
) -> tuple[list[int], Sequence[bool]]:
    """Finds what each answer adds to the text of the messages before it.

    The conversation is written up to each answer, once as it is where the model is asked for that
    answer, and once with the answer; the difference is the assistant's.
    """
    text = _written(messages, tokenizer)
    spans = []
    for number, message in enumerate(messages):
        if message["role"] != ASSISTANT:
            continue
        before = _written(messages[:number], tokenizer, ask=True) if number else ""
        after = _written(messages[: number + 1], tokenizer)
        if not (text.startswith(after) and after.startswith(before)):
            raise UserError(
                "the chat template writes the beginning of a conversation in another way when the "
                "conversation goes on, so it is not clear which tokens are the assistant's: "
                f"{_beginning(messages)}, message {number + 1}. Write {{% generation %}} and "
                "{% endgeneration %} around the assistant's text in the template, and the file's "
                "name as data.chat_template_file."
            )
        # A line break after the end of the turn is the template's.
        spans.append((len(before), len(after.rstrip())))
    encoded = tokenizer(
        text,
        add_special_tokens=False,  # They stand in the template.
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    is_answer = [
        # A token that the prompt has a part of is the prompt's: the model does not say it.
        end > begin and any(first <= begin < last for first, last in spans)
        for begin, end in encoded["offset_mapping"]
    ]
    return encoded["input_ids"], is_answer


def _written(
    messages: list[dict[str, Any]],
    tokenizer: transformers.PreTrainedTokenizerBase,
    ask: bool = False,
) -> str:
    text: Any = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
    return str(text)


def _beginning(messages: list[dict[str, Any]]) -> str:
    content = str(messages[0]["content"])
    return f"that begins with {content[:60]!r}"
