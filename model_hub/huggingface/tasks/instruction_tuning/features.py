"""Features of conversations: tokens, with those of the assistant as labels."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.padding import NO_LABEL
from model_hub.huggingface.tasks.instruction_tuning.formats import (
    MESSAGES,
    TEXT,
    ChatFormat,
    Conversation,
    read_conversation,
    rows_of,
)
from model_hub.huggingface.tasks.instruction_tuning.left_out import check_written, shape_of
from model_hub.huggingface.tasks.instruction_tuning.samples import (
    Sample,
    samples_of,
    samples_of_turns,
)
from model_hub.huggingface.tasks.instruction_tuning.tokens import TokenizedTexts, closing_tokens


def tokenize_conversations(
    rows: Mapping[str, Sequence[Any]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    column: str,
    max_seq_length: int,
    chat_format: str = MESSAGES,
) -> dict[str, list[Any]]:
    """Render conversations with the chat template, tokenize them and label the assistant's tokens.

    What the assistant says begins where the tokens of the prompt (the messages before it and the
    template's generation prompt) end. Where the tokens of a prompt are not the first ones of the
    whole conversation, each of the assistant's turns becomes a sample of its own.

    Args:
        rows: columns of a batch.
        tokenizer: a fast tokenizer with a chat template.
        column: name of the column with the conversations, or with the text; empty for formats of
            several columns.
        max_seq_length: longer samples are cut at their end, and left out if nothing that is to be
            learned remains.
        chat_format: one of ``FORMATS``.

    Returns:
        ``input_ids`` and ``labels`` (-100 for all but the learned tokens) of the other samples,
        ``whole_length``, the number of tokens before the cut, and ``turn``, the number of the
        sample within its conversation, from 0.

    Raises:
        UserError: when the template rejects a conversation, leaves out a part of it, or does not
            show which part of the text is the assistant's.
    """
    layout = ChatFormat(chat_format, column)
    numbered: Iterable[tuple[int, _Feature]]
    if chat_format == TEXT:
        numbered = enumerate(_tokenize_texts(rows[column], tokenizer))
    else:
        conversations = [read_conversation(row, layout) for row in rows_of(rows, layout)]
        numbered = _features(conversations, tokenizer)
    prepared: dict[str, list[Any]] = {
        name: [] for name in ("input_ids", "labels", "whole_length", "turn")
    }
    turn, previous = 0, -1
    for row, feature in numbered:
        # The first token has no token before it from which it could be predicted.
        ids, places = feature.ids, [place for place in feature.learned if place]
        if not places or places[0] >= max_seq_length:
            continue
        labels = [NO_LABEL] * len(ids)
        for place in places:
            labels[place] = ids[place]
        turn = turn + 1 if row == previous else 0
        previous = row
        prepared["input_ids"].append(ids[:max_seq_length])
        prepared["labels"].append(labels[:max_seq_length])
        prepared["whole_length"].append(len(ids))
        prepared["turn"].append(turn)
    return prepared


@dataclasses.dataclass(frozen=True)
class _Feature:
    """Tokens of a sample, and the places of those that are learned, ascending."""

    ids: list[int]
    learned: Sequence[int]


def _tokenize_texts(
    texts: Sequence[str], tokenizer: transformers.PreTrainedTokenizerBase
) -> Iterator[_Feature]:
    """Yield all tokens of each text as learned ones, with an end-of-sequence token at the end."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    for text, ids in zip(texts, tokenizer(list(texts), verbose=False)["input_ids"], strict=True):
        # The text may have been written by a chat template, with the special tokens.
        if begin is not None and ids[:2] == [begin, begin]:
            ids = ids[1:]
        if end is not None and ids[-2:] == [end, end]:
            ids = ids[:-1]
        elif end is not None and ids[-1:] != [end]:
            ids = [*ids, end]
        yield _Feature(ids, range(len(ids)) if text else [])


def _features(
    conversations: Sequence[Conversation], tokenizer: transformers.PreTrainedTokenizerBase
) -> Iterator[tuple[int, _Feature]]:
    """Yield the number of a conversation and the tokens of a sample of it, in their order."""
    seen = set()
    samples: list[list[Sample]] = []
    for conversation in conversations:
        shape = shape_of(conversation)
        if shape not in seen:
            check_written(conversation, tokenizer)
            seen.add(shape)
        samples.append(samples_of(conversation, tokenizer))
    closing = closing_tokens(tokenizer)
    found = _places(samples, tokenizer, closing)
    # Conversations in which the end of a prompt is within a token.
    failed = [row for row, features in enumerate(found) if None in features]
    if failed:
        turns = [samples_of_turns(conversations[row], tokenizer) for row in failed]
        again = _places(turns, tokenizer, closing, join=True)
        for row, features in zip(failed, again, strict=True):
            found[row] = features
    for row, features in enumerate(found):
        for feature in features:
            assert feature is not None
            yield row, feature


def _places(
    samples: Sequence[Sequence[Sample]],
    tokenizer: transformers.PreTrainedTokenizerBase,
    closing: frozenset[int],
    *,
    join: bool = False,
) -> list[list[_Feature | None]]:
    """Return the features of each sample.

    Args:
        samples: of each conversation.
        tokenizer: the tokenizer.
        closing: of ``closing_tokens``.
        join: tokenize prompt and answer on their own where the prompt's tokens are not the first
            ones of the text; else the feature is None.
    """
    flat = [sample for of_row in samples for sample in of_row]
    if not flat:
        return [[] for _ in samples]
    texts = TokenizedTexts([sample.text for sample in flat], tokenizer, closing)
    for number, sample in enumerate(flat):
        for turn in sample.turns:
            texts.look_up(number, turn.begin)
    texts.count()
    found = []
    for number, sample in enumerate(flat):
        feature = _feature(texts, number, sample)
        if feature is None and join:
            feature = _joined(sample, tokenizer, closing)
        found.append(feature)
    features = iter(found)
    return [[next(features) for _ in of_row] for of_row in samples]


def _feature(texts: TokenizedTexts, number: int, sample: Sample) -> _Feature | None:
    marked = None if sample.marks is None else texts.tokens_of(number, sample.marks)
    if not sample.turns:
        return _Feature(texts.ids[number], texts.closed(number, marked or []))
    learned: list[int] = []
    for turn in sample.turns:
        span = texts.span(number, turn.begin, turn.end)
        if span is None:
            return None
        learned += texts.marked_in(number, span, marked)
    return _Feature(texts.ids[number], learned)


def _joined(
    sample: Sample, tokenizer: transformers.PreTrainedTokenizerBase, closing: frozenset[int]
) -> _Feature:
    """Return prompt and answer, tokenized one by one, as when the answer is generated."""
    (turn,) = sample.turns
    parts = TokenizedTexts(
        [sample.text[: turn.begin], sample.text[turn.begin :]], tokenizer, closing
    )
    prompt, answer = parts.ids
    joined = tokenizer.decode([*prompt, *answer], clean_up_tokenization_spaces=False)
    whole = tokenizer(sample.text, add_special_tokens=False, verbose=False)["input_ids"]
    if joined != tokenizer.decode(whole, clean_up_tokenization_spaces=False):
        raise UserError(
            f"message {turn.message}: the tokens of the prompt, which ends with "
            f"{sample.text[: turn.begin][-20:]!r}, are not the first ones of the conversation, and "
            "the tokenizer cannot continue it. Write a chat template as data.chat_template_file "
            "whose generation prompt does not end in a blank."
        )
    end = parts.end(1, turn.end - turn.begin) or len(answer)
    marks = sample.marks
    marked = None
    if marks is not None:
        shifted = [(max(first - turn.begin, 0), last - turn.begin) for first, last in marks]
        marked = parts.tokens_of(1, [(first, last) for first, last in shifted if last > 0])
    learned = parts.marked_in(1, (0, end), marked)
    return _Feature([*prompt, *answer], [place + len(prompt) for place in learned])
