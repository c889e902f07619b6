"""The n best spans of every feature of a batch, on the device that has the logits."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
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


Floats = npt.NDArray[np.float32]

# Small tensors that stay, each between large ones that go, keep the C library from using the room
# of the latter again: ten times the memory of what is kept.
_BATCHES_OF_A_BLOCK = 64


class FeatureSpans(NamedTuple):
    """The best spans of some features; ``seen`` features, n spans each.

    Attributes:
        feature_id: int64 ``[seen]``.
        start: first token as stored in the feature (before the collator's padding), ``[seen, n]``.
        end: last token, inclusive.
        start_logit: float32 ``[seen, n]``.
        end_logit: float32 ``[seen, n]``.
        score: float32 ``[seen, n]``, the sum of both; ``-inf`` where there is no span.
        null_score: float32 ``[seen]``, start logit plus end logit of the CLS token.
    """

    feature_id: npt.NDArray[Any]
    start: npt.NDArray[Any]
    end: npt.NDArray[Any]
    start_logit: Floats
    end_logit: Floats
    score: Floats
    null_score: Floats

    @classmethod
    def joined(cls, parts: Sequence["FeatureSpans"]) -> "FeatureSpans":
        """One after another, by rising ``feature_id``, every feature once."""
        # Nothing is copied where it is already so: on one slot.
        whole = parts[0]
        if len(parts) > 1:
            whole = cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        if np.all(whole.feature_id[1:] > whole.feature_id[:-1]):
            return whole
        _, once = np.unique(whole.feature_id, return_index=True)
        return cls(*(array[once] for array in whole))


class SpanCollector:
    """Takes logits batch by batch and keeps the n best spans of every feature.

    Args:
        n_best_size: spans per feature.
        max_answer_length: longest span in tokens.
    """

    def __init__(self, n_best_size: int, max_answer_length: int) -> None:
        self._n_best_size = n_best_size
        self._max_answer_length = max_answer_length
        # Two tensors a batch, one of integers and one of floats, so that little is copied at the
        # end; and those of many batches put together.
        self._batches: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._blocks: list[tuple[torch.Tensor, torch.Tensor]] = []

    @torch.no_grad()
    def update(
        self,
        batch_columns: Mapping[str, torch.Tensor],
        start_logits: torch.Tensor,
        end_logits: torch.Tensor,
    ) -> None:
        """Takes the n best spans of a batch; without waiting for the device.

        Args:
            batch_columns: the columns of :data:`FEATURE_COLUMNS`, each int ``[batch]``, on any
                device.
            start_logits: any float type, ``[batch, length]``.
            end_logits: the same.
        """
        columns = {
            name: column.to(start_logits.device, non_blocking=True)
            for name, column in batch_columns.items()
        }
        spans = select_n_best_spans(
            start_logits,
            end_logits,
            context_begin=columns["context_begin"],
            context_end=columns["context_end"],
            n_best_size=self._n_best_size,
            max_answer_length=self._max_answer_length,
        )
        start_logits, end_logits = start_logits.float(), end_logits.float()
        cls_index = columns["cls_index"][:, None]
        null_score = start_logits.gather(1, cls_index) + end_logits.gather(1, cls_index)
        self.add(
            columns,
            spans,
            start_logits.gather(1, spans.start),
            end_logits.gather(1, spans.end),
            null_score.squeeze(1),
        )

    @torch.no_grad()
    def add(
        self,
        columns: Mapping[str, torch.Tensor],
        spans: SpanCandidates,
        start_logits: torch.Tensor,
        end_logits: torch.Tensor,
        null_score: torch.Tensor,
    ) -> None:
        """Takes spans that are chosen already; all on the same device.

        Args:
            columns: ``feature_id`` and, where the collator padded, ``left_padding``.
            spans: the ``n_best_size`` best of each feature.
            start_logits: their first summand, float32 ``[batch, n]``.
            end_logits: their second summand, the same.
            null_score: float32 ``[batch]``.
        """
        left = columns.get("left_padding", torch.zeros_like(columns["feature_id"]))[:, None]
        tokens = torch.cat(
            (columns["feature_id"][:, None], spans.start - left, spans.end - left), dim=1
        )
        values = torch.cat((null_score[:, None], start_logits, end_logits, spans.score), dim=1)
        self._batches.append((tokens.int(), values))
        if len(self._batches) == _BATCHES_OF_A_BLOCK:
            self._blocks.append(_joined(self._batches))
            self._batches = []

    def collected(self) -> FeatureSpans:
        """The spans of all features so far, a few hundred bytes a feature."""
        n = self._n_best_size
        parts = self._blocks + self._batches
        if not parts:
            tokens, values = (
                np.zeros((0, 1 + 2 * n), np.int32),
                np.zeros((0, 1 + 3 * n), np.float32),
            )
        else:
            tokens, values = (tensor.cpu().numpy() for tensor in _joined(parts))
        return FeatureSpans(
            feature_id=tokens[:, 0],
            start=tokens[:, 1 : 1 + n],
            end=tokens[:, 1 + n :],
            null_score=values[:, 0],
            start_logit=values[:, 1 : 1 + n],
            end_logit=values[:, 1 + n : 1 + 2 * n],
            score=values[:, 1 + 2 * n :],
        )


def _joined(
    parts: Sequence[tuple[torch.Tensor, torch.Tensor]],
) -> tuple[torch.Tensor, torch.Tensor]:
    tokens, values = zip(*parts, strict=True)
    return torch.cat(tokens), torch.cat(values)
