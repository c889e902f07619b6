"""The final answer of every example, chosen among the best spans of all its features."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from model_hub.huggingface.tasks._common.json_files import _json
from model_hub.huggingface.tasks.question_answering.settings import QuestionAnsweringDataKwargs
from model_hub.huggingface.tasks.question_answering.spans import FeatureSpans, Floats

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


class OffsetTable:
    """The character offsets of every token of every feature; read where they lie, not copied.

    Args:
        features: has the column ``offset_mapping``.
    """

    def __init__(self, features: datasets.Dataset) -> None:
        column = features.with_format("arrow", columns=["offset_mapping"])[:].column(0)
        self._first_feature = np.cumsum([0, *map(len, column.chunks)], dtype=np.int64)
        # By chunk the number of each feature's first token, and the offsets as one flat array.
        self._first_token: list[Ints] = []
        self._flat: list[npt.NDArray[Any]] = []
        for chunk in column.chunks:
            lengths = chunk.value_lengths().to_numpy(zero_copy_only=False)
            self._first_token.append(np.cumsum(lengths, dtype=np.int64) - lengths)
            self._flat.append(chunk.flatten().flatten().to_numpy(zero_copy_only=False))

    def characters(self, features: Ints, start: Ints, end: Ints) -> tuple[Ints, Ints]:
        """Characters (end exclusive) that the tokens ``start`` to ``end`` of the features cover."""
        begins, ends = np.zeros(len(features), np.int64), np.zeros(len(features), np.int64)
        chunk_of = np.searchsorted(self._first_feature, features, side="right") - 1
        for chunk in np.unique(chunk_of).tolist():
            these = chunk_of == chunk
            flat = self._flat[chunk]
            token = self._first_token[chunk][features[these] - self._first_feature[chunk]]
            begins[these] = flat[2 * (token + start[these])]
            ends[these] = flat[2 * (token + end[these]) + 1]
        return begins, ends


class ChosenSpans(NamedTuple):
    """The n best spans of every example seen: flat arrays, an example's spans in falling order.

    Attributes:
        examples: row numbers of the examples seen, rising, ``[examples]``.
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


# Examples whose spans are chosen at a time: enough for numpy, few enough for the intermediate
# results, many times the size of what is kept, to take no memory.
_EXAMPLES_AT_A_TIME = 512


def by_examples(spans: FeatureSpans, example_of_feature: Ints) -> Iterator[FeatureSpans]:
    """Cuts spans into pieces for :func:`choose_spans`, each of whole examples, by rising example.

    Args:
        spans: by rising ``feature_id``, every feature once.
        example_of_feature: row number of the example by feature id.
    """
    example = np.unique(example_of_feature[spans.feature_id], return_inverse=True)[1]
    order = np.argsort(example, kind="stable")
    limits = np.arange(_EXAMPLES_AT_A_TIME, example.max(initial=0) + 1, _EXAMPLES_AT_A_TIME)
    for piece in np.split(order, np.searchsorted(example[order], limits)):
        rows = np.sort(piece)
        yield FeatureSpans(*(array[rows] for array in spans))


def choose_spans(
    spans: FeatureSpans, example_of_feature: Ints, offsets: OffsetTable, n_best_size: int
) -> ChosenSpans:
    """Merges the spans of each example's features and keeps its n best.

    Equal scores stand in the order of feature, start, end.

    Args:
        spans: by rising ``feature_id``, every feature once.
        example_of_feature: row number of the example by feature id.
        offsets: characters of the features' tokens.
        n_best_size: how many to keep per example.
    """
    examples, example = np.unique(example_of_feature[spans.feature_id], return_inverse=True)
    null_score = np.full(len(examples), np.inf)
    np.minimum.at(null_score, example, np.nan_to_num(spans.null_score.astype(np.float64)))

    feature, place = np.nonzero(np.isfinite(spans.score))
    start = spans.start[feature, place].astype(np.int64)
    end = spans.end[feature, place].astype(np.int64)
    score = spans.score[feature, place]
    # A stable sort: a feature's spans come in the order of start and end where scores are equal.
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
    """The best answer that is not empty of every example seen; one entry an example.

    Attributes:
        begin: first character, 0 where there is no span.
        end: character after the last, 0 where there is no span.
        score: float64, ``-inf`` where there is no span.
        null_odds: by how much "no answer" is better: null score minus the span's score (0 where
            there is no span), or the null score where it stands alone; float64.
    """

    begin: Ints
    end: Ints
    score: Doubles
    null_odds: Doubles

    def texts(self, contexts: Sequence[str]) -> list[str]:
        """The answers' texts, "" where there is no span; contexts of the examples seen."""
        return [
            context[begin:end]
            for context, begin, end in zip(
                contexts, self.begin.tolist(), self.end.tolist(), strict=True
            )
        ]

    def unanswered(self, data_kwargs: QuestionAnsweringDataKwargs) -> npt.NDArray[np.bool_]:
        """Where "no answer" is the answer: it may be, and is better by more than the threshold."""
        better = self.null_odds > data_kwargs.null_score_diff_threshold
        return better & data_kwargs.version_2_with_negative


def best_spans(chosen: ChosenSpans, null_stands_alone: bool = False) -> BestSpans:
    """Finds the best answer of every example among its n best spans.

    Args:
        chosen: the n best spans.
        null_stands_alone: the null score alone tells how much better "no answer" is; it is not on
            the scale of the spans' scores.
    """
    count = len(chosen.examples)
    begin, end = np.zeros(count, np.int64), np.zeros(count, np.int64)
    score, null_odds = np.full(count, -np.inf), chosen.null_score.copy()
    some = np.flatnonzero(chosen.end > chosen.begin)
    seen, first = np.unique(chosen.example[some], return_index=True)
    best = some[first]
    begin[seen], end[seen], score[seen] = chosen.begin[best], chosen.end[best], chosen.score[best]
    if not null_stands_alone:
        null_odds[seen] -= score[seen]
    return BestSpans(begin, end, score, null_odds)


def log_weights(chosen: ChosenSpans, with_null: npt.NDArray[np.bool_]) -> Doubles:
    """Logarithm of the sum of exp(score) over the n best spans of every example seen.

    Args:
        chosen: the n best spans.
        with_null: whether "no answer" is one of the summands, ``[examples]``.
    """
    total: Doubles = np.where(with_null, chosen.null_score, -np.inf)
    np.logaddexp.at(total, chosen.example, chosen.score.astype(np.float64))
    return total


def nbest_json(
    chosen: ChosenSpans,
    contexts: Sequence[str],
    with_null: bool,
    n_best_size: int,
    summands: tuple[str, str] = ("start_logit", "end_logit"),
) -> list[str]:
    """Per example its n best answers with their probabilities among themselves, as JSON.

    Args:
        chosen: the n best spans.
        contexts: of the examples seen.
        with_null: list "no answer" as well, as text "", where its score puts it or last.
        n_best_size: length of a list (one more if "no answer" comes last).
        summands: what the two summands of a score are called.

    Returns:
        Per example a JSON list of objects with ``text``, ``probability``, ``score``, and the two
        summands ("no answer" has none); falling scores; never empty.
    """
    count, spans = len(chosen.examples), len(chosen.example)
    if not count:
        return []
    without = np.bincount(chosen.example, minlength=count) == 0
    nulls = np.flatnonzero(without | with_null)
    # "No answer" of each example behind all spans, and then where its score puts it: the sort is
    # stable, so behind spans of the same score.
    example = np.concatenate((chosen.example, nulls))
    score = np.concatenate((chosen.score, chosen.null_score[nulls]), dtype=np.float64)
    order = np.lexsort((-score, example))
    place = np.arange(len(order)) - np.searchsorted(example[order], example[order])
    order = order[(place < n_best_size) | (order >= spans)]
    example, score = example[order], score[order]
    first, size = np.unique(example, return_index=True, return_counts=True)[1:]
    weights = np.exp(score - score[first].repeat(size))
    probability = weights / np.add.reduceat(weights, first).repeat(size)

    summand_texts = _summands_json(chosen, summands) + [""] * len(nulls)
    begin, end = (np.append(array, nulls * 0)[order] for array in (chosen.begin, chosen.end))
    columns = (column.tolist() for column in (example, begin, end, order))
    entries = [
        f'{{"text": {_json(contexts[row][begin:end])}, "probability": {p}, "score": {s}'
        f"{summand_texts[number]}}}"
        for row, begin, end, number, p, s in zip(
            *columns, _numbers_json(probability), _numbers_json(score), strict=True
        )
    ]
    bounds = itertools.pairwise([*first.tolist(), len(entries)])
    return [f"[{', '.join(entries[begin:end])}]" for begin, end in bounds]


def _summands_json(chosen: ChosenSpans, names: tuple[str, str]) -> list[str]:
    one, other = map(_json, names)
    return [
        f", {one}: {start}, {other}: {end}"
        for start, end in zip(
            _numbers_json(chosen.start_logit), _numbers_json(chosen.end_logit), strict=True
        )
    ]


def _numbers_json(numbers: npt.NDArray[Any]) -> list[str]:
    """Finite numbers as JSON, with all digits of float64; Arrow writes them ten times faster."""
    texts: list[str] = pc.cast(pa.array(numbers.astype(np.float64)), pa.string()).to_pylist()
    return texts
