"""The final answer of every example, chosen among the best spans of all its features."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import datasets
import numpy as np
import numpy.typing as npt

from model_hub.huggingface.tasks.question_answering.settings import QuestionAnsweringDataKwargs
from model_hub.huggingface.tasks.question_answering.spans import FeatureSpans, Floats

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


class OffsetTable:
    """The character offsets of every token of every feature, read from Arrow without a copy.

    Args:
        features: has the column ``offset_mapping``.
    """

    def __init__(self, features: datasets.Dataset) -> None:
        column = features.with_format("arrow", columns=["offset_mapping"])[:].column(0)
        self._first_feature = np.cumsum([0, *map(len, column.chunks)], dtype=np.int64)
        # For each chunk the number of each feature's first token, and the offsets as a flat array.
        self._first_token: list[Ints] = []
        self._flat: list[npt.NDArray[Any]] = []
        for chunk in column.chunks:
            lengths = chunk.value_lengths().to_numpy(zero_copy_only=False)
            self._first_token.append(np.cumsum(lengths, dtype=np.int64) - lengths)
            self._flat.append(chunk.flatten().flatten().to_numpy(zero_copy_only=False))

    def characters(self, features: Ints, start: Ints, end: Ints) -> tuple[Ints, Ints]:
        """Return the characters (end exclusive) of the tokens ``start`` to ``end`` of features."""
        begins, ends = np.zeros(len(features), np.int64), np.zeros(len(features), np.int64)
        chunk_of = np.searchsorted(self._first_feature, features, side="right") - 1
        for chunk in np.unique(chunk_of).tolist():
            in_chunk = chunk_of == chunk
            flat = self._flat[chunk]
            token = self._first_token[chunk][features[in_chunk] - self._first_feature[chunk]]
            begins[in_chunk] = flat[2 * (token + start[in_chunk])]
            ends[in_chunk] = flat[2 * (token + end[in_chunk]) + 1]
        return begins, ends


class ChosenSpans(NamedTuple):
    """The n best spans of every evaluated example, as flat arrays, by falling score per example.

    Attributes:
        examples: row numbers of the evaluated examples, rising, ``[examples]``.
        null_score: lowest null score of the example's features, float64 ``[examples]``.
        example: index into ``examples`` for each span, rising, ``[spans]``.
        begin: first character, ``[spans]``.
        end: character after the last.
        start_logit: float32 ``[spans]``.
        end_logit: float32 ``[spans]``.
        score: float32 ``[spans]``, finite.
    """

    examples: Ints
    null_score: Doubles
    example: Ints
    begin: Ints
    end: Ints
    start_logit: Floats
    end_logit: Floats
    score: Floats


# Examples per call of choose_spans: enough for numpy, few enough that the intermediate results,
# many times the size of what is kept, need little memory.
_EXAMPLES_AT_A_TIME = 512


def by_examples(spans: FeatureSpans, example_of_feature: Ints) -> Iterator[FeatureSpans]:
    """Split spans into parts for :func:`choose_spans`, each of whole examples, in rising order.

    Args:
        spans: by rising ``feature_id``, every feature once.
        example_of_feature: row number of the example by feature id.
    """
    example = np.unique(example_of_feature[spans.feature_id], return_inverse=True)[1]
    order = np.argsort(example, kind="stable")
    limits = np.arange(_EXAMPLES_AT_A_TIME, example.max(initial=0) + 1, _EXAMPLES_AT_A_TIME)
    for part in np.split(order, np.searchsorted(example[order], limits)):
        rows = np.sort(part)
        yield FeatureSpans(*(array[rows] for array in spans))


def choose_spans(
    spans: FeatureSpans, example_of_feature: Ints, offsets: OffsetTable, n_best_size: int
) -> ChosenSpans:
    """Merge the spans of each example's features and keep its n best.

    Equal scores are in the order of feature, start, end.

    Args:
        spans: by rising ``feature_id``, every feature once.
        example_of_feature: row number of the example by feature id.
        offsets: character offsets of the features' tokens.
        n_best_size: spans to keep per example.
    """
    examples, example = np.unique(example_of_feature[spans.feature_id], return_inverse=True)
    null_score = np.full(len(examples), np.inf)
    np.minimum.at(null_score, example, np.nan_to_num(spans.null_score.astype(np.float64)))

    feature, place = np.nonzero(np.isfinite(spans.score))
    start = spans.start[feature, place].astype(np.int64)
    end = spans.end[feature, place].astype(np.int64)
    score = spans.score[feature, place]
    # A stable sort: spans of a feature are in the order of start and end where scores are equal.
    order = np.lexsort((-score, example[feature]))
    groups = example[feature][order]
    first_of_group = np.searchsorted(groups, groups)
    order = order[np.arange(len(groups)) - first_of_group < n_best_size]
    feature, place = feature[order], place[order]
    begin, end = offsets.characters(spans.feature_id[feature], start[order], end[order])
    return ChosenSpans(
        examples,
        null_score,
        example[feature],
        begin,
        end,
        spans.start_logit[feature, place],
        spans.end_logit[feature, place],
        score[order],
    )


class BestSpans(NamedTuple):
    """The best answer other than "no answer" of every evaluated example.

    Attributes:
        begin: first character, 0 if there is no span.
        end: character after the last, 0 if there is no span.
        score: float64, ``-inf`` if there is no span.
        null_odds: how much better "no answer" is: the null score minus the span's score (0 if there
            is no span), or the null score itself if it is not on the scale of scores; float64.
    """

    begin: Ints
    end: Ints
    score: Doubles
    null_odds: Doubles

    def texts(self, contexts: Sequence[str]) -> list[str]:
        """Return the answers' texts, "" if there is no span; takes the examples' contexts."""
        return [
            context[begin:end]
            for context, begin, end in zip(
                contexts, self.begin.tolist(), self.end.tolist(), strict=True
            )
        ]

    def unanswered(self, data_kwargs: QuestionAnsweringDataKwargs) -> npt.NDArray[np.bool_]:
        """Return where "no answer" is allowed, and better by more than the threshold."""
        better = self.null_odds > data_kwargs.null_score_diff_threshold
        return better & data_kwargs.version_2_with_negative


def best_spans(chosen: ChosenSpans, null_stands_alone: bool = False) -> BestSpans:
    """Return the best answer of every example among its n best spans.

    Args:
        chosen: the n best spans.
        null_stands_alone: the null score is not on the scale of the spans' scores and is not
            compared with them.
    """
    count = len(chosen.examples)
    begin, end = np.zeros(count, np.int64), np.zeros(count, np.int64)
    score, null_odds = np.full(count, -np.inf), chosen.null_score.copy()
    not_empty = np.flatnonzero(chosen.end > chosen.begin)
    seen, first = np.unique(chosen.example[not_empty], return_index=True)
    best = not_empty[first]
    begin[seen], end[seen], score[seen] = chosen.begin[best], chosen.end[best], chosen.score[best]
    if not null_stands_alone:
        null_odds[seen] -= score[seen]
    return BestSpans(begin, end, score, null_odds)


def without_blanks(chosen: ChosenSpans, contexts: Sequence[str]) -> ChosenSpans:
    """Return the spans without blanks at their ends, which tokens of some tokenizers include.

    Args:
        chosen: the n best spans.
        contexts: contexts of the examples.
    """
    begins, ends = chosen.begin.tolist(), chosen.end.tolist()
    for number, (example, begin, end) in enumerate(
        zip(chosen.example.tolist(), begins, ends, strict=True)
    ):
        text = contexts[example]
        if begin < end and (text[begin].isspace() or text[end - 1].isspace()):
            answer = text[begin:end]
            begins[number] = end - len(answer.lstrip())
            ends[number] = max(begins[number], begin + len(answer.rstrip()))
    return chosen._replace(begin=np.array(begins, np.int64), end=np.array(ends, np.int64))


def beside_null(
    chosen: ChosenSpans, with_null: npt.NDArray[np.bool_], n_best_size: int
) -> ChosenSpans:
    """Return the spans that are among the n best of an example, if "no answer" is one of these.

    The best span always stays, so that an answer is among the entries even if ``n_best_size`` is 1.

    Args:
        chosen: the n best spans.
        with_null: whether "no answer" is allowed, ``[examples]``.
        n_best_size: entries per example; one more where all spans are better than "no answer".
    """
    example = chosen.example
    rank = np.arange(len(example)) - np.searchsorted(example, example)
    # "No answer" is behind spans of the same score.
    after_null = with_null[example] & (chosen.null_score[example] > chosen.score)
    kept = (rank == 0) | (rank + after_null < n_best_size)
    spans = (array[kept] for array in chosen[2:])
    return ChosenSpans(chosen.examples, chosen.null_score, *spans)


def log_weights(chosen: ChosenSpans, with_null: npt.NDArray[np.bool_], n_best_size: int) -> Doubles:
    """Return the logarithm of the sum of exp(score) over the entries of :func:`nbest_lists`.

    Args:
        chosen: the n best spans.
        with_null: whether the sum includes "no answer", ``[examples]``.
        n_best_size: entries per example.
    """
    chosen = beside_null(chosen, with_null, n_best_size)
    total: Doubles = np.where(with_null, chosen.null_score, -np.inf)
    np.logaddexp.at(total, chosen.example, chosen.score.astype(np.float64))
    return total


def nbest_lists(
    chosen: ChosenSpans,
    contexts: Sequence[str],
    with_null: bool,
    n_best_size: int,
    summands: tuple[str, str] = ("start_logit", "end_logit"),
) -> list[list[dict[str, Any]]]:
    """Return the n best answers of every example, with their softmax probabilities.

    Args:
        chosen: the n best spans.
        contexts: contexts of the examples.
        with_null: include "no answer", as text "", at the place of its score, or last.
        n_best_size: length of a list; one more if "no answer" is last, or the first of two.
        summands: names of the two summands of a score.

    Returns:
        Per example a list, never empty, of dicts with ``text``, ``probability``, ``score`` and the
        two summands (which "no answer" does not have), by falling score.
    """
    count = len(chosen.examples)
    if not count:
        return []
    has_null = (np.bincount(chosen.example, minlength=count) == 0) | with_null
    chosen = beside_null(chosen, has_null, n_best_size)
    spans, nulls = len(chosen.example), np.flatnonzero(has_null)
    # "No answer" is first put after all spans: the stable sort keeps it behind equal scores.
    example = np.concatenate((chosen.example, nulls))
    score = np.concatenate((chosen.score, chosen.null_score[nulls]), dtype=np.float64)
    order = np.lexsort((-score, example))
    example, score = example[order], score[order]
    first, size = np.unique(example, return_index=True, return_counts=True)[1:]
    weights = np.exp(score - score[first].repeat(size))
    probability = weights / np.add.reduceat(weights, first).repeat(size)

    begin, end, start_logit, end_logit = (
        np.append(array, nulls * 0)[order]
        for array in (chosen.begin, chosen.end, chosen.start_logit, chosen.end_logit)
    )
    columns = (example, begin, end, order < spans, probability, score, start_logit, end_logit)
    one, other = summands
    entries: list[dict[str, Any]] = [
        {"text": contexts[row][b:e], "probability": p, "score": s, one: start_, other: end_}
        if is_span
        else {"text": "", "probability": p, "score": s}
        for row, b, e, is_span, p, s, start_, end_ in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]
    bounds = itertools.pairwise([*first.tolist(), len(entries)])
    return [entries[begin:end] for begin, end in bounds]
