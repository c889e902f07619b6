"""Which tokens of which windows an answer is."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Windows(NamedTuple):
    """The windows of a batch of rows; every list has one entry per window."""

    columns: dict[str, list[Any]]  # What the model takes.
    encodings: list[Any]  # tokenizers.Encoding
    rows: list[int]  # The row a window comes from; windows of a row are neighbours.
    context_begin: list[int]
    context_end: list[int]
    cls_index: list[int]
    context_part: int  # Which of the tokenizer's two texts the context is.

    def places(self) -> dict[str, list[int]]:
        """The columns that tell where context and CLS token are."""
        return {name: getattr(self, name) for name in ("context_begin", "context_end", "cls_index")}


def stripped(answer: tuple[str, int] | None) -> tuple[int, int] | None:
    """Characters (end exclusive) of the answer without blanks around it; None if there are none.

    Tokens do not cover blanks, so with them the answer would begin or end in no token.
    """
    if answer is None:
        return None
    text, start = answer
    bare = text.strip()
    start += text.index(bare)
    return (start, start + len(bare)) if bare and start >= 0 else None


def label_windows(
    windows: Windows,
    answers: Sequence[tuple[int, int] | None],
    doc_stride: int,
    from_right_to_left: bool,
) -> tuple[list[int], list[int]]:
    """Finds the first and last token of the answer in every window.

    Where the tokenizer cannot tell, the windows of a row are put together to the row's whole
    context again, for all such rows at once, so that it is exact which of them hold all tokens of
    the answer.

    Args:
        windows: the windows.
        answers: per row the answer's characters (end exclusive), or None.
        doc_stride: tokens that neighbouring windows share.
        from_right_to_left: whether a row's windows begin with the end of its context.

    Returns:
        Start and end positions per window, inclusive; the CLS token where the answer is not whole.
    """
    starts, ends = list(windows.cls_index), list(windows.cls_index)
    numbers: list[int] = []  # Of the windows of which the tokenizer cannot tell.
    for row, group in itertools.groupby(range(len(windows.rows)), windows.rows.__getitem__):
        of_row, answer = list(group), answers[row]
        if answer is None:
            continue
        found = _ask_tokenizer(windows, of_row, answer)
        if found is None:
            numbers += of_row
            continue
        for number, span in found.items():
            starts[number], ends[number] = span
    if not numbers:
        return starts, ends
    if from_right_to_left:
        numbers.reverse()
    # All contexts one after another make one axis of tokens.
    offsets: list[list[tuple[int, int]]] = []  # New tokens of each window.
    context_of: list[int] = []  # For each window, and so for its new tokens.
    first_token: list[int] = []  # Of each window, on the axis.
    spans: list[tuple[int, int] | None] = []  # Of each context.
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
    for number, context, axis_begin in zip(numbers, context_of, first_token, strict=True):
        begin, end = windows.context_begin[number], windows.context_end[number]
        start_position = begin + first[context] - axis_begin
        end_position = begin + last[context] - axis_begin
        if begin <= start_position <= end_position < end:
            starts[number], ends[number] = start_position, end_position
    return starts, ends


def _ask_tokenizer(
    windows: Windows, of_row: Sequence[int], answer: tuple[int, int]
) -> dict[int, tuple[int, int]] | None:
    """First and last token of the answer in those windows of a row that hold all of it.

    The tokenizer looks a character up much faster than it lists the characters of all tokens.

    Returns:
        By number of the window; or None where it is not so simple: a first or last character
        without a token, or one that may have other tokens besides, also in the next window.
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
    """First and last token that have characters of a span; last < first if there are none.

    Args:
        offsets: pieces of contexts, in order: first and last character (exclusive) of every token.
        context_of: which context a piece belongs to, rising.
        spans: first and last character (exclusive) of one span per context, ``[contexts, 2]``.

    Returns:
        Numbers of tokens, counted through all pieces, one per context.
    """
    flatten = itertools.chain.from_iterable
    flat = np.fromiter(flatten(flatten(offsets)), dtype=np.int64).reshape(-1, 2)
    # Every context has a stretch of its own on one sorted axis of characters, longer than any text.
    stretch = max(int(flat.max(initial=0)), int(spans.max())) + 1
    shift = np.repeat(context_of, [len(piece) for piece in offsets]) * stretch
    ends = np.maximum.accumulate(flat[:, 1] + shift)
    # A token without characters stands where the one before it ends.
    begins = np.where(flat[:, 0] == flat[:, 1], ends, flat[:, 0] + shift)
    begins = np.maximum.accumulate(begins)
    base = np.arange(len(spans)) * stretch
    first = np.searchsorted(ends, base + spans[:, 0], side="right")
    last = np.searchsorted(begins, base + spans[:, 1], side="left") - 1
    return first.tolist(), last.tolist()
