"""Labels of question answering: the tokens of the answer in every window."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

#: Label of windows whose answer's position is not known; it does not count in losses.
NO_POSITION = -100

# How tokenizers write blanks.
_BLANKS = " \u2581\u0120"


class Windows(NamedTuple):
    """The windows of a batch of rows; every list has one entry per window."""

    columns: dict[str, list[Any]]  # Inputs of the model.
    encodings: list[Any]  # tokenizers.Encoding
    rows: list[int]  # The row of each window; windows of a row are neighbours.
    context_begin: list[int]
    context_end: list[int]
    cls_index: list[int]
    context_part: int  # Sequence id of the context: 0 or 1.

    def places(self) -> dict[str, list[int]]:
        """Return the columns with the positions of context and CLS token."""
        return {name: getattr(self, name) for name in ("context_begin", "context_end", "cls_index")}


def strip_answer(answer: tuple[str, int] | None) -> tuple[int, int] | None:
    """Return the characters (end exclusive) of the answer without surrounding blanks.

    Tokens do not cover blanks, so with them the answer would begin or end in no token.

    Returns:
        None if nothing is left.
    """
    if answer is None:
        return None
    text, start = answer
    stripped = text.strip()
    start += text.index(stripped)
    return (start, start + len(stripped)) if stripped and start >= 0 else None


def label_windows(
    windows: Windows,
    answers: Sequence[tuple[int, int] | None],
    doc_stride: int,
    from_right_to_left: bool,
) -> tuple[list[int], list[int]]:
    """Return the first and last token of the answer in every window.

    Where :func:`_look_up_answer` cannot decide, the windows of a row are joined to the row's whole
    context again, for all such rows at once, which gives exactly the windows with all tokens of the
    answer.

    Args:
        windows: the windows.
        answers: characters (end exclusive) of the answer of each row, or None.
        doc_stride: tokens that neighbouring windows share.
        from_right_to_left: whether a row's first window has the end of its context.

    Returns:
        Start and end positions per window, inclusive; the CLS token if the window does not have the
        whole answer. An answer's first token may be a blank without text, which some tokenizers put
        before its first character; a window that begins behind it has the whole answer.
    """
    starts, ends = list(windows.cls_index), list(windows.cls_index)
    numbers: list[int] = []  # The windows that the tokenizer cannot decide.
    for row, group in itertools.groupby(range(len(windows.rows)), windows.rows.__getitem__):
        of_row, answer = list(group), answers[row]
        if answer is None:
            continue
        found = _look_up_answer(windows, of_row, answer)
        if found is None:
            numbers += of_row
            continue
        for number, span in found.items():
            starts[number], ends[number] = span
    if not numbers:
        return starts, ends
    if from_right_to_left:
        numbers.reverse()
    # Concatenate the tokens of all contexts.
    offsets: list[list[tuple[int, int]]] = []  # Of the tokens that a window adds to its context.
    context_of: list[int] = []  # Number of the context of each window.
    first_token: list[int] = []  # Number of each window's first token among all tokens.
    spans: list[tuple[int, int] | None] = []  # The answer in each context.
    total, previous = 0, -1
    for number in numbers:
        row, begin, end = (
            windows.rows[number],
            windows.context_begin[number],
            windows.context_end[number],
        )
        shared = doc_stride if row == previous else 0
        if row != previous:
            spans.append(answers[row])
        previous = row
        offsets.append(windows.encodings[number].offsets[begin + shared : end])
        context_of.append(len(spans) - 1)
        first_token.append(total - shared)
        total += len(offsets[-1])
    first, last = _find_tokens(offsets, np.array(context_of), np.array(spans, dtype=np.int64))
    without_text: set[int] = set()  # The contexts in which the answer's first token is a blank.
    for number, context, window_begin in zip(numbers, context_of, first_token, strict=True):
        begin, end = windows.context_begin[number], windows.context_end[number]
        start_position = begin + first[context] - window_begin
        end_position = begin + last[context] - window_begin
        encoding = windows.encodings[number]
        if begin <= start_position < end:
            if not encoding.tokens[start_position].strip(_BLANKS):
                without_text.add(context)
        elif start_position == begin - 1 and context in without_text:
            # The next token covers the answer's first character as well.
            answer = spans[context]
            if answer is not None and encoding.offsets[begin][0] <= answer[0]:
                start_position = begin
        if begin <= start_position <= end_position < end:
            starts[number], ends[number] = start_position, end_position
    return starts, ends


def _look_up_answer(
    windows: Windows, of_row: Sequence[int], answer: tuple[int, int]
) -> dict[int, tuple[int, int]] | None:
    """Return the first and last token of the answer in those windows of a row that have all of it.

    Looking up characters in the tokenizer's encoding is much faster than listing all offsets.

    Returns:
        Positions by window; None if that is not enough: the first or last character has no token,
        or may have several tokens, also in the next window.
    """
    found: dict[int, tuple[int, int]] = {}
    for number in of_row:
        encoding = windows.encodings[number]
        first = encoding.char_to_token(answer[0], windows.context_part)
        last = encoding.char_to_token(answer[1] - 1, windows.context_part)
        if first is None or last is None:
            continue
        low, high = windows.context_begin[number], windows.context_end[number] - 1
        before = encoding.token_to_chars(first - 1) if first > low else None
        after = encoding.token_to_chars(last + 1) if last < high else None
        if len(of_row) > 1 and (before is None or after is None):
            return None
        if before is not None and not before[0] < before[1] <= answer[0]:
            return None
        if after is not None and not answer[1] <= after[0] < after[1]:
            return None
        found[number] = (first, last)
    return found or None


def _find_tokens(
    offsets: Sequence[Sequence[tuple[int, int]]],
    context_of: npt.NDArray[np.int64],
    spans: npt.NDArray[np.int64],
) -> tuple[list[int], list[int]]:
    """Return the first and last token with characters of a span; last < first if there is none.

    Args:
        offsets: parts of contexts, in order: first and last character (exclusive) of every token.
        context_of: number of the context of each part, rising.
        spans: first and last character (exclusive) of one span per context, ``[contexts, 2]``.

    Returns:
        Numbers of tokens among those of all parts, one per context.
    """
    flatten = itertools.chain.from_iterable
    flat = np.fromiter(flatten(flatten(offsets)), dtype=np.int64).reshape(-1, 2)
    # Shift the characters of each context by more than the longest text: one sorted array for all.
    stretch = max(int(flat.max(initial=0)), int(spans.max())) + 1
    shift = np.repeat(context_of, [len(part) for part in offsets]) * stretch
    ends = np.maximum.accumulate(flat[:, 1] + shift)
    # A token without characters begins where the one before it ends.
    begins = np.where(flat[:, 0] == flat[:, 1], ends, flat[:, 0] + shift)
    begins = np.maximum.accumulate(begins)
    base = np.arange(len(spans)) * stretch
    first = np.searchsorted(ends, base + spans[:, 0], side="right")
    last = np.searchsorted(begins, base + spans[:, 1], side="left") - 1
    return first.tolist(), last.tolist()
