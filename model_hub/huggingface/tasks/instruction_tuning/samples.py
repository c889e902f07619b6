"""Training samples of a conversation, as text: where the assistant's turns begin and end."""

import dataclasses

import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks.instruction_tuning.formats import Conversation
from model_hub.huggingface.tasks.instruction_tuning.messages import ASSISTANT
from model_hub.huggingface.tasks.instruction_tuning.template import (
    Span,
    describe_conversation,
    header_after_turn,
    marks_answers,
    render_conversation,
    render_marked,
)
from model_hub.huggingface.tasks.instruction_tuning.tokens import closing_texts


@dataclasses.dataclass(frozen=True)
class Turn:
    """A turn of the assistant in a sample's text.

    Attributes:
        message: number of the message, from 1.
        begin: the first character after the prompt.
        end: the first character of what comes after the turn.
    """

    message: int
    begin: int
    end: int


@dataclasses.dataclass(frozen=True)
class Sample:
    """A text to learn from.

    Attributes:
        text: a rendered conversation, or the beginning of one.
        turns: what is learned of it.
        marks: characters that the template marks as the assistant's; None if it has no marks.
            If there are marks and no turns, the marks alone say what is learned.
    """

    text: str
    turns: list[Turn]
    marks: list[Span] | None


def samples_of(
    conversation: Conversation, tokenizer: transformers.PreTrainedTokenizerBase
) -> list[Sample]:
    """Return the samples of a conversation.

    It is one if the template writes each turn in the whole conversation as after its prompt. If
    not, each turn is a sample; and if a prompt is not the beginning of its turn, the marks of the
    template say what is learned of the whole.

    Raises:
        UserError: when the template rejects the conversation, or it is not clear what is learned.
    """
    whole = _whole(conversation, tokenizer)
    if whole is not None:
        return [whole]
    try:
        return samples_of_turns(conversation, tokenizer)
    except UserError:
        text, marks = _render(conversation, len(conversation.messages), tokenizer)
        assistant = [message["role"] == ASSISTANT for message in conversation.messages]
        if marks is None or conversation.learned != assistant:
            raise
        return [Sample(text, [], marks)]


def samples_of_turns(
    conversation: Conversation, tokenizer: transformers.PreTrainedTokenizerBase
) -> list[Sample]:
    """Return a sample for each turn that is learned: the conversation up to its end.

    Raises:
        UserError: naming the message whose beginning is not what the generation prompt says.
    """
    samples = []
    for number, learned in enumerate(conversation.learned, 1):
        if not learned:
            continue
        text, marks = _render(conversation, number, tokenizer)
        text += _missing_end(conversation, number, tokenizer)
        prompt = _prompt(conversation, number, tokenizer, text)
        if prompt is None or not text.startswith(prompt):
            prompt = prompt or ""
            same = _common_length(text, prompt)
            raise UserError(
                f"message {number} of the conversation "
                f"{describe_conversation(conversation.messages)}: it is not clear which tokens are "
                f"the assistant's, since after {text[max(same - 20, 0) : same]!r} the chat "
                f"template's generation prompt goes on with {prompt[same : same + 20]!r}, but the "
                f"conversation with {text[same : same + 20]!r}. "
                f"{_advice(conversation, number, tokenizer, text)}"
            )
        samples.append(Sample(text, [Turn(number, len(prompt), len(text))], marks))
    return samples


def _advice(
    conversation: Conversation,
    number: int,
    tokenizer: transformers.PreTrainedTokenizerBase,
    text: str,
) -> str:
    """Return what to write so that the generation prompt of a turn is its beginning."""
    for value in (False, True) if number > 1 else ():
        prompt = render_conversation(
            conversation.messages[: number - 1],
            tokenizer,
            conversation.tools,
            add_generation_prompt=True,
            enable_thinking=value,
        )
        if text.startswith(prompt):
            return f"Write data.chat_template_kwargs: {{enable_thinking: {str(value).lower()}}}."
    return (
        "Write {% generation %} and {% endgeneration %} around the assistant's text in the "
        "template, or correct its generation prompt, and write the file's name as "
        "data.chat_template_file."
    )


def _whole(
    conversation: Conversation, tokenizer: transformers.PreTrainedTokenizerBase
) -> Sample | None:
    """Return the whole conversation as one sample.

    None if a turn is not written there as it is after its prompt.
    """
    last = len(conversation.messages)
    text, marks = _render(conversation, last, tokenizer)
    if not any(conversation.learned):
        return Sample(text, [], None)
    if conversation.learned[-1]:
        text += _missing_end(conversation, last, tokenizer)
    turns = []
    for number, learned in enumerate(conversation.learned, 1):
        if not learned:
            continue
        after = text
        if number < last:
            before = conversation.messages[:number]
            after = render_conversation(before, tokenizer, conversation.tools)
            after += _missing_end(conversation, number, tokenizer)
        prompt = _prompt(conversation, number, tokenizer, after)
        if prompt is None or not text.startswith(prompt):
            return None
        end = _common_end(text, after, len(prompt), tokenizer)
        if end is None:
            return None
        turns.append(Turn(number, len(prompt), end))
    return Sample(text, turns, marks)


def _render(
    conversation: Conversation, count: int, tokenizer: transformers.PreTrainedTokenizerBase
) -> tuple[str, list[Span] | None]:
    """Return the text of the first messages, and the characters that are marked in it."""
    messages, tools = conversation.messages[:count], conversation.tools
    if marks_answers(tokenizer, tools):
        return render_marked(messages, tokenizer, tools)
    return render_conversation(messages, tokenizer, tools), None


def _prompt(
    conversation: Conversation,
    number: int,
    tokenizer: transformers.PreTrainedTokenizerBase,
    after: str,
) -> str | None:
    """Return what stands before a turn when it is generated; None if that is not known.

    Args:
        conversation: the conversation.
        number: number of the message, from 1.
        tokenizer: has the template.
        after: the text of the conversation up to the end of the message.
    """
    messages, tools = conversation.messages, conversation.tools
    if number > 1:
        return render_conversation(
            messages[: number - 1], tokenizer, tools, add_generation_prompt=True
        )
    # Templates cannot write an empty conversation. The generation prompt is what is added to any.
    first = render_conversation(messages[:1], tokenizer, tools)
    longer = render_conversation(messages[:1], tokenizer, tools, add_generation_prompt=True)
    # Some templates write an end of the whole conversation, which is not before a prompt.
    header = longer[_common_length(first, longer) :]
    place = after.find(header)
    return None if place < 0 else after[: place + len(header)]


def _missing_end(
    conversation: Conversation, number: int, tokenizer: transformers.PreTrainedTokenizerBase
) -> str:
    """Return the token that ends a turn if the template writes nothing after it, else nothing.

    Some models (GLM) end their turn with the token that begins the next message.

    Args:
        conversation: the conversation.
        number: number of the message, from 1.
        tokenizer: has the template.
    """
    role = "tool" if "tool_calls" in conversation.messages[number - 1] else "user"
    header = header_after_turn(tokenizer, conversation.tools, role)
    if not header:
        return ""
    ends = (end for end in closing_texts(tokenizer) if header.startswith(end))
    return max(ends, key=len, default="")


def _common_end(
    text: str, after: str, begin: int, tokenizer: transformers.PreTrainedTokenizerBase
) -> int | None:
    """Return where a turn ends in the text of the whole conversation.

    Args:
        text: the whole conversation.
        after: the conversation up to the end of the turn.
        begin: the first character of the turn.
        tokenizer: has the template.

    Returns:
        None if the turn is another one in the whole conversation. It may differ in tokens that some
        templates write after the last turn, beyond the one that closes each turn.
    """
    if text.startswith(after):
        return len(after)
    common, ends = _common_length(text, after), closing_texts(tokenizer)
    places = ((text.rfind(end, begin, common), end) for end in ends)
    last = max((place + len(end) for place, end in places if place >= 0), default=None)
    return last if last is not None and after[last:].strip() in ends else None


def _common_length(one: str, other: str) -> int:
    """Return the number of characters with which both texts begin."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return next(place for place in range(shorter) if one[place] != other[place])
