"""The n best spans of every feature of a batch, computed on the device of the logits."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch


class SpanCandidates(NamedTuple):
    """Spans by falling score; equal scores in the order of start, then end.

    Attributes:
        start: first token, int64 ``[batch, n]``.
        end: last token (inclusive), int64 ``[batch, n]``.
        score: ``start_logits[start] + end_logits[end]``, float32 ``[batch, n]``; ``-inf`` (and 0
            for start and end) if a feature has fewer than n spans.
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
    """Return the n best spans inside the context, exactly those of comparing all pairs of tokens.

    A span's score is the sum of its two logits, its length at most ``max_answer_length``. The n
    best spans begin at no more than n tokens: those whose best span has the highest score. So a
    sliding maximum gives the score of the best span of every start, and only the spans of the n
    best starts are compared one by one. There is no synchronization with the host.

    Args:
        start_logits: any float type, ``[batch, length]``; scores are summed in float32.
        end_logits: the same.
        context_begin: first token of the context, int ``[batch]``.
        context_end: token after the last of the context, int ``[batch]``.
        n_best_size: number of spans.
        max_answer_length: longest span in tokens.

    Returns:
        The spans, without those whose score is ``-inf`` or NaN.
    """
    batch, length = start_logits.shape
    device = start_logits.device
    positions = torch.arange(length, device=device)
    inside = (positions >= context_begin[:, None]) & (positions < context_end[:, None])
    starts = _masked(start_logits, inside)
    ends = _masked(end_logits, inside)
    width = max(1, min(max_answer_length, length))
    padded = torch.nn.functional.pad(ends, (0, width - 1), value=-torch.inf)
    # [batch, length, width]: the possible ends of each start; a view, no copy.
    windows = padded.unfold(1, width, 1)

    # Rounding keeps the order, so the best end logit also gives the best sum.
    best_of_start = starts + _sliding_maximum(padded, width)
    start_count = min(n_best_size, length)
    chosen = ordered_top(best_of_start, positions.expand(batch, length), start_count)

    scores = starts.gather(1, chosen)[:, :, None] + windows.gather(
        1, chosen[:, :, None].expand(-1, -1, width)
    )
    # Rank spans by start, then end.
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
    """Return the maximum of every ``width`` neighbours, ``[batch, n - width + 1]``.

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
    """Return the indices of the ``count`` best scores of each row, equal ones by rising rank.

    ``torch.topk`` does not specify which of equal values it takes, and half-precision logits are
    often equal. So score and rank are combined into one integer, different for all entries.

    Args:
        scores: float32 ``[batch, entries]``, no NaN.
        rank: int64 of the same shape, 0 to 2**32 - 1, different within a row.
        count: number of indices.

    Returns:
        Int64 ``[batch, count]``.
    """
    # The bits of floats, read as integers, are in order, for negative floats in reverse order (IEEE
    # 754 stores sign and magnitude). Reflecting those makes one order, in which -0.0 equals 0.0.
    bits = scores.view(torch.int32).long()
    bits = bits.where(bits >= 0, torch.iinfo(torch.int32).min - bits)
    return ((bits << 32) + (2**32 - 1 - rank)).topk(count, dim=1).indices


def span_losses(
    columns: Mapping[str, torch.Tensor], start_logits: torch.Tensor, end_logits: torch.Tensor
) -> torch.Tensor:
    """Return the loss of every window, as models compute it: the mean of those of start and end.

    Args:
        columns: ``answer_begin`` and ``answer_end``, first and last token of the answer, int
            ``[batch]``, negative if they are not known; or neither.
        start_logits: float32, ``[batch, length]``.
        end_logits: the same.

    Returns:
        Float32 ``[batch]``; -1 where the positions are not known.
    """
    if "answer_begin" not in columns:
        return torch.full_like(start_logits[:, 0], -1.0)
    losses = [
        torch.nn.functional.cross_entropy(
            logits, columns[name].clamp(min=0).long(), reduction="none"
        )
        for name, logits in (("answer_begin", start_logits), ("answer_end", end_logits))
    ]
    return ((losses[0] + losses[1]) / 2).where(columns["answer_begin"] >= 0, -1.0)


Floats = npt.NDArray[np.float32]

# Batches whose spans are joined into one tensor. Small tensors that stay allocated between large
# ones that are freed fragment the heap: ten times the memory of what is kept.
_BATCHES_OF_A_BLOCK = 64


class FeatureSpans(NamedTuple):
    """The n best spans of some features.

    Attributes:
        feature_id: int64 ``[features]``.
        start: first token in the stored feature, before the collator's padding, ``[features, n]``.
        end: last token, inclusive.
        start_logit: float32 ``[features, n]``.
        end_logit: float32 ``[features, n]``.
        score: float32 ``[features, n]``, the sum of both; ``-inf`` if there is no span.
        null_score: float32 ``[features]``, start logit plus end logit of the CLS token.
        loss: float32 ``[features]``; negative if the answer's position is not known.
    """

    feature_id: npt.NDArray[Any]
    start: npt.NDArray[Any]
    end: npt.NDArray[Any]
    start_logit: Floats
    end_logit: Floats
    score: Floats
    null_score: Floats
    loss: Floats

    @classmethod
    def joined(cls, parts: Sequence["FeatureSpans"]) -> "FeatureSpans":
        """Return all parts by rising ``feature_id``, every feature once."""
        # Nothing is copied if that is already so, as on one slot.
        whole = parts[0]
        if len(parts) > 1:
            whole = cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        if np.all(whole.feature_id[1:] > whole.feature_id[:-1]):
            return whole
        _, once = np.unique(whole.feature_id, return_index=True)
        return cls(*(array[once] for array in whole))


class SpanCollector:
    """Collects the n best spans of every feature, batch by batch.

    Args:
        n_best_size: spans per feature.
        max_answer_length: longest span in tokens.
    """

    def __init__(self, n_best_size: int, max_answer_length: int) -> None:
        self._n_best_size = n_best_size
        self._max_answer_length = max_answer_length
        # Two tensors a batch, one of integers and one of floats, so that few are copied at the end;
        # and those of many batches joined.
        self._batches: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._blocks: list[tuple[torch.Tensor, torch.Tensor]] = []

    @torch.no_grad()
    def update(
        self,
        batch_columns: Mapping[str, torch.Tensor],
        start_logits: torch.Tensor,
        end_logits: torch.Tensor,
    ) -> None:
        """Add the n best spans of a batch, without synchronizing with the device.

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
            span_losses(columns, start_logits, end_logits),
        )

    @torch.no_grad()
    def add(
        self,
        columns: Mapping[str, torch.Tensor],
        spans: SpanCandidates,
        start_logits: torch.Tensor,
        end_logits: torch.Tensor,
        null_score: torch.Tensor,
        losses: torch.Tensor | None = None,
    ) -> None:
        """Add spans; all tensors are on the same device.

        Args:
            columns: ``feature_id`` and, if the collator padded, ``left_padding``.
            spans: the ``n_best_size`` best of each feature.
            start_logits: their first summand, float32 ``[batch, n]``.
            end_logits: their second summand, the same.
            null_score: float32 ``[batch]``.
            losses: float32 ``[batch]``, negative where they are not known; None if none is.
        """
        if losses is None:
            losses = torch.full_like(null_score, -1.0)
        left = columns.get("left_padding", torch.zeros_like(columns["feature_id"]))[:, None]
        tokens = torch.cat(
            (columns["feature_id"][:, None], spans.start - left, spans.end - left), dim=1
        )
        values = torch.cat(
            (null_score[:, None], losses[:, None], start_logits, end_logits, spans.score), dim=1
        )
        self._batches.append((tokens.int(), values))
        if len(self._batches) == _BATCHES_OF_A_BLOCK:
            self._blocks.append(_joined(self._batches))
            self._batches = []

    def collected(self) -> FeatureSpans:
        """Return the spans of all features so far, a few hundred bytes a feature."""
        n = self._n_best_size
        none = torch.zeros((0, 1 + 2 * n), dtype=torch.int32), torch.zeros((0, 2 + 3 * n))
        parts = self._blocks + self._batches or [none]
        tokens, values = (tensor.cpu().numpy() for tensor in _joined(parts))
        return FeatureSpans(
            feature_id=tokens[:, 0],
            start=tokens[:, 1 : 1 + n],
            end=tokens[:, 1 + n :],
            null_score=values[:, 0],
            loss=values[:, 1],
            start_logit=values[:, 2 : 2 + n],
            end_logit=values[:, 2 + n : 2 + 2 * n],
            score=values[:, 2 + 2 * n :],
        )


def _joined(
    parts: Sequence[tuple[torch.Tensor, torch.Tensor]],
) -> tuple[torch.Tensor, torch.Tensor]:
    tokens, values = zip(*parts, strict=True)
    return torch.cat(tokens), torch.cat(values)
