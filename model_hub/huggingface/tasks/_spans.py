"""The n best spans of every feature of a batch, on the device that has the logits."""

from typing import NamedTuple

import torch


class SpanCandidates(NamedTuple):
    """Spans in falling order of score; equal scores in the order of start, then end.

    Attributes:
        start: first token, int64 ``[batch, n]``.
        end: last token (inclusive), int64 ``[batch, n]``.
        score: ``start_logits[start] + end_logits[end]``, float32 ``[batch, n]``; ``-inf`` where a
            feature has fewer than n spans (start and end are 0 there).
    """

    start: torch.Tensor
    end: torch.Tensor
    score: torch.Tensor


def select_n_best_spans(
    start_logits: torch.Tensor,
    end_logits: torch.Tensor,
    *,
    context_begin: torch.Tensor,
    context_end: torch.Tensor,
    n_best_size: int,
    max_answer_length: int,
) -> SpanCandidates:
    """Finds the n best spans inside the context, as if all pairs of tokens had been compared.

    A span's score is the sum of its two logits, its length at most ``max_answer_length``. The n
    best spans begin in at most n tokens, and these are the n tokens whose own best span is best.
    So the best end for every start comes first, from a sliding maximum, and only the spans of the n
    best starts are compared one by one. Nothing is read back to the host.

    Args:
        start_logits: any float type, ``[batch, length]``; scores are summed in float32.
        end_logits: the same.
        context_begin: first token of the context, int ``[batch]``.
        context_end: token after the last of the context, int ``[batch]``.
        n_best_size: how many spans.
        max_answer_length: longest span in tokens.

    Returns:
        The spans. Those with a score of ``-inf`` or NaN count as not there.
    """
    batch, length = start_logits.shape
    device = start_logits.device
    positions = torch.arange(length, device=device)
    inside = (positions >= context_begin[:, None]) & (positions < context_end[:, None])
    starts = _masked(start_logits, inside)
    ends = _masked(end_logits, inside)
    width = max(1, min(max_answer_length, length))
    padded = torch.nn.functional.pad(ends, (0, width - 1), value=-torch.inf)
    # [batch, length, width]: the ends that a span with that start may have; a view, no copy.
    windows = padded.unfold(1, width, 1)

    # Rounding keeps the order, so the best end logit also makes the best sum.
    best_of_start = starts + _sliding_maximum(padded, width)
    start_count = min(n_best_size, length)
    chosen = ordered_top(best_of_start, positions.expand(batch, length), start_count)

    scores = starts.gather(1, chosen)[:, :, None] + windows.gather(
        1, chosen[:, :, None].expand(-1, -1, width)
    )
    # Ranks a span by its start, then its end.
    rank = chosen[:, :, None] * width + torch.arange(width, device=device)
    scores, rank = scores.flatten(1), rank.flatten(1)
    best = ordered_top(scores, rank, min(n_best_size, scores.shape[1]))
    score, rank = scores.gather(1, best), rank.gather(1, best)
    start = rank.div(width, rounding_mode="floor")
    end = start + rank % width

    found = score > -torch.inf
    start, end = start.where(found, 0), end.where(found, 0)
    missing = (0, n_best_size - score.shape[1])
    pad = torch.nn.functional.pad
    return SpanCandidates(
        pad(start, missing), pad(end, missing), pad(score, missing, value=-torch.inf)
    )


def _sliding_maximum(values: torch.Tensor, width: int) -> torch.Tensor:
    """Maximum of every ``width`` neighbours; ``[batch, n]`` gives ``[batch, n - width + 1]``.

    The maximum of 2k neighbours is that of two maxima of k: log2(width) steps instead of width.
    """
    covered = 1
    while covered < width:
        step = min(covered, width - covered)
        values = torch.maximum(values[:, :-step], values[:, step:])
        covered += step
    return values


def _masked(logits: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    logits = logits.float()
    return logits.where(inside & ~logits.isnan(), -torch.inf)


def ordered_top(scores: torch.Tensor, rank: torch.Tensor, count: int) -> torch.Tensor:
    """Indices of the ``count`` best scores of each row, equal ones by rising rank.

    ``torch.topk`` leaves open which of equal values it takes, and half-precision logits are often
    equal. So score and rank go into one integer, which no two entries share.

    Args:
        scores: float32 ``[batch, entries]``, no NaN.
        rank: int64 of the same shape, 0 to 2**32 - 1, different within a row.
        count: how many.

    Returns:
        Int64 ``[batch, count]``.
    """
    # Read as integers, floats are in order, negative ones in reverse order (IEEE 754 holds sign
    # and magnitude). The reflection makes that one order, in which -0.0 and 0.0 are equal.
    bits = scores.view(torch.int32).long()
    bits = bits.where(bits >= 0, torch.iinfo(torch.int32).min - bits)
    return ((bits << 32) + (2**32 - 1 - rank)).topk(count, dim=1).indices
