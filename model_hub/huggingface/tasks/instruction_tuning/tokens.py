"""Tokens of rendered conversations: which of them a beginning of the text has."""

from collections.abc import Sequence
from typing import Any

import transformers

from model_hub.huggingface.tasks.instruction_tuning.template import Span


def closing_tokens(tokenizer: transformers.PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the tokens that can end a turn by themselves: all added ones that are not blank.

    The tokenizer divides any text at them.
    """
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(number for number, token in added if token.content.strip())


def closing_texts(tokenizer: transformers.PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Return the texts of :func:`closing_tokens`."""
    added = tokenizer.added_tokens_decoder.values()
    return tuple(token.content for token in added if token.content.strip())


def blank_tokens(tokenizer: transformers.PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the tokens whose text is blank."""
    texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
    return frozenset(number for number, text in enumerate(texts) if not text.strip())


class TokenizedTexts:
    """Texts and their tokens, and the number of tokens that a beginning of a text has.

    Beginnings are tokenized too, because the tokens of a text need not begin with those of its
    beginning: a blank at its end may become a part of the next word. Only what comes after the last
    added token is tokenized, since the tokenizer divides texts there.

    Args:
        texts: at least one.
        tokenizer: a fast tokenizer.
        closing: of :func:`closing_tokens`.

    Attributes:
        ids: tokens of each text, without special tokens around them.
    """

    def __init__(
        self,
        texts: Sequence[str],
        tokenizer: transformers.PreTrainedTokenizerBase,
        closing: frozenset[int],
    ) -> None:
        self._texts = texts
        self._tokenizer = tokenizer
        self._closing = closing
        self._encodings, self.ids = self._encode(list(texts))
        # The number of a text and a character: the token where the tail begins, and the tail.
        self._tails: dict[tuple[int, int], tuple[int, str]] = {}
        self._counts: dict[str, list[int]] = {}

    def _encode(self, texts: list[str]) -> tuple[Any, list[list[int]]]:
        encoded: Any = self._tokenizer(
            texts,
            add_special_tokens=False,  # The template writes them.
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return encoded, encoded["input_ids"]

    def look_up(self, number: int, character: int) -> None:
        """Note that the tokens of a beginning of a text will be counted."""
        ids = self.ids[number]
        first = self._first_token(number, character) - 1
        while first >= 0 and ids[first] not in self._closing:
            first -= 1
        begin = self._encodings[number].token_to_chars(first)[0] if first >= 0 else 0
        self._tails[number, character] = (max(first, 0), self._texts[number][begin:character])

    def count(self) -> None:
        """Tokenize what was noted, all at once."""
        tails = list({tail for _, tail in self._tails.values() if tail})
        self._counts = dict(zip(tails, self._encode(tails)[1], strict=True)) if tails else {}

    def length(self, number: int, character: int) -> int | None:
        """Return the number of tokens of a text's beginning.

        None if its tokens are not the first ones of the text.
        """
        first, tail = self._tails[number, character]
        ids = self._counts.get(tail, [])
        last = first + len(ids)
        return last if self.ids[number][first:last] == ids else None

    def span(self, number: int, begin: int, end: int) -> Span | None:
        """Return the tokens between two characters, of which the first was looked up.

        None if a token reaches beyond a boundary.
        """
        first, last = self.length(number, begin), self.end(number, end)
        return None if first is None or last is None else (first, max(first, last))

    def end(self, number: int, character: int) -> int | None:
        """Return the token after those before a character, without blanks after a closing one.

        None if a token is on both sides of the character.
        """
        stripped = len(self._texts[number][:character].rstrip())
        last = self._token_at(number, stripped - 1, -1) if stripped else None
        if last is not None and self.ids[number][last] in self._closing:
            return last + 1
        count = self._first_token(number, character)
        reaches_beyond = count and self._encodings[number].token_to_chars(count - 1)[1] > character
        return None if reaches_beyond else count

    def tokens_of(self, number: int, spans: Sequence[Span]) -> list[int]:
        """Return the tokens that have a character in one of the spans."""
        found: list[int] = []
        for begin, end in spans:
            first = self._token_at(number, begin, 1, end)
            last = self._token_at(number, end - 1, -1, begin - 1)
            if first is not None and last is not None:
                found += range(max(first, found[-1] + 1 if found else 0), last + 1)
        return found

    def marked_in(self, number: int, span: Span, marked: Sequence[int] | None) -> list[int]:
        """Return the learned tokens of a turn: all, or those that are marked and its end."""
        if marked is None:
            return list(range(*span))
        within = [place for place in marked if span[0] <= place < span[1]]
        if within and all(self._is_end(number, n) for n in range(within[-1] + 1, span[1])):
            within += range(within[-1] + 1, span[1])
        return within

    def closed(self, number: int, marked: Sequence[int]) -> list[int]:
        """Return marked tokens so that each run of them ends with the token that closes the turn.

        Blanks after it are removed, and it is added if the marks end before it.
        """
        ids = self.ids[number]
        runs: list[list[int]] = []
        for place in marked:
            if runs and runs[-1][-1] == place - 1:
                runs[-1].append(place)
            else:
                runs.append([place])
        ends = {self._tokenizer.eos_token_id}
        last = next((n for n in reversed(range(len(ids))) if not self._is_blank(ids[n])), None)
        if runs and last is not None and runs[-1][-1] >= last - 1 and ids[last] in self._closing:
            ends.add(ids[last])
        for run in runs:
            blanks = len(run)
            while blanks and self._is_blank(ids[run[blanks - 1]]):
                blanks -= 1
            if blanks and ids[run[blanks - 1]] in self._closing:
                del run[blanks:]
            elif run[-1] + 1 < len(ids) and ids[run[-1] + 1] in ends & self._closing:
                run.append(run[-1] + 1)
        return [place for run in runs for place in run]

    def _is_end(self, number: int, place: int) -> bool:
        token = self.ids[number][place]
        return token in self._closing or self._is_blank(token)

    def _is_blank(self, token: int) -> bool:
        return not str(self._tokenizer.decode([token])).strip()

    def _token_at(
        self, number: int, character: int, step: int, stop: int | None = None
    ) -> int | None:
        """Return the token of a character, or of the nearest one after (or before) it.

        Some tokenizers leave out blanks.
        """
        encoding, size = self._encodings[number], len(self._texts[number])
        stop = (size if step > 0 else -1) if stop is None else stop
        for place in range(character, stop, step):
            token = encoding.char_to_token(place)
            if token is not None:
                return int(token)
        return None

    def _first_token(self, number: int, character: int) -> int:
        """Return the first token that begins at a character or after it."""
        token = self._token_at(number, character, 1)
        count = len(self.ids[number])
        if token is None:
            return count
        encoding = self._encodings[number]
        while token < count and encoding.token_to_chars(token)[0] < character:
            token += 1
        return token
