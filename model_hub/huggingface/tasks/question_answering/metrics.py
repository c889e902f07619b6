"""SQuAD v1.1 and v2.0 metrics, as the official evaluation scripts define them.

Definitions: Rajpurkar et al. 2016 (https://arxiv.org/abs/1606.05250, section 6.1) and Rajpurkar et
al. 2018 (https://arxiv.org/abs/1806.03822); details as in the scripts published at
https://rajpurkar.github.io/SQuAD-explorer/.
"""

import collections
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lowercase, and remove ASCII punctuation, English articles and extra blanks."""
    bare = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def squad_v1_metrics(
    predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Return the metrics of SQuAD v1.1: the mean over questions of the best match with an answer.

    Args:
        predictions: text by question id. A question without a prediction counts 0.
        references: gold answers by question id. A question without one has the gold answer "".

    Returns:
        ``exact_match`` and ``f1`` in per cent (NaN if there is no question).
    """
    exact, f1 = [], []
    for name, golds in references.items():
        prediction = predictions.get(name)
        tokens = None if prediction is None else normalize_answer(prediction).split()
        gold_tokens = [normalize_answer(gold).split() for gold in golds or ("",)]
        exact.append(float(tokens is not None and tokens in gold_tokens))
        f1.append(0.0 if tokens is None else max(_overlap(tokens, gold) for gold in gold_tokens))
    return {"exact_match": _percentage(exact), "f1": _percentage(f1)}


def squad_v2_metrics(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    no_answer_scores: Mapping[str, float] | None = None,
    no_answer_threshold: float = 1.0,
) -> dict[str, float]:
    """Return the metrics of SQuAD v2.0, which also has unanswerable questions.

    Args:
        predictions: text by question id, "" for no answer. Only questions with a prediction count.
        references: gold answers by question id, none for an unanswerable question.
        no_answer_scores: how likely there is no answer, on any scale, for every prediction.
        no_answer_threshold: above this score, the prediction counts as "no answer".

    Returns:
        ``exact``, ``f1`` (per cent), ``total`` (questions); the same three with ``HasAns_`` for the
        answerable and ``NoAns_`` for the unanswerable questions, if there are any; and, with
        ``no_answer_scores``, ``best_exact`` and ``best_f1`` with the thresholds that reach them,
        ``best_exact_thresh`` and ``best_f1_thresh``. NaN if there is no question.
    """
    names = [name for name in references if name in predictions]
    answerable = {name: bool(references[name]) for name in names}
    exact, f1 = {}, {}
    for name in names:
        tokens = normalize_answer(predictions[name]).split()
        golds = [normalize_answer(gold).split() for gold in references[name]]
        golds = [gold for gold in golds if gold] or [[]]
        exact[name] = float(tokens in golds)
        f1[name] = max(_overlap(tokens, gold, empty_matches_empty=True) for gold in golds)

    scores = no_answer_scores or dict.fromkeys(names, 0.0)
    unanswered = {name for name in names if scores[name] > no_answer_threshold}
    exact_then, f1_then = (
        {name: float(not answerable[name]) if name in unanswered else raw[name] for name in names}
        for raw in (exact, f1)
    )
    metrics = _averages("", names, exact_then, f1_then)
    for prefix, wanted in (("HasAns_", True), ("NoAns_", False)):
        group = [name for name in names if answerable[name] is wanted]
        if group:
            metrics.update(_averages(prefix, group, exact_then, f1_then))
    if no_answer_scores is not None and names:
        order = sorted((name for name in no_answer_scores if name in exact), key=scores.__getitem__)
        for key, raw in (("best_exact", exact), ("best_f1", f1)):
            gain = _gain(raw, answerable, predictions)
            metrics[key], metrics[f"{key}_thresh"] = _best_threshold(
                order, gain, sum(not has_answer for has_answer in answerable.values()), scores
            )
    return metrics


def _overlap(
    prediction: Sequence[str], gold: Sequence[str], empty_matches_empty: bool = False
) -> float:
    """Return F1 of two bags of words."""
    if empty_matches_empty and not (prediction and gold):
        return float(prediction == gold)
    common = (collections.Counter(prediction) & collections.Counter(gold)).total()
    if not common:
        return 0.0
    precision, recall = common / len(prediction), common / len(gold)
    return 2 * precision * recall / (precision + recall)


def _averages(
    prefix: str, names: Sequence[str], exact: Mapping[str, float], f1: Mapping[str, float]
) -> dict[str, float]:
    return {
        f"{prefix}exact": _percentage([exact[name] for name in names]),
        f"{prefix}f1": _percentage([f1[name] for name in names]),
        f"{prefix}total": len(names),
    }


def _percentage(values: Sequence[float]) -> float:
    return 100.0 * sum(values) / len(values) if values else float("nan")


def _gain(
    raw: Mapping[str, float], answerable: Mapping[str, bool], predictions: Mapping[str, str]
) -> Callable[[str], float]:
    """Return how much a question's prediction scores above "no answer", as a function."""

    def gain(name: str) -> float:
        if answerable[name]:
            return raw[name]
        return -1.0 if predictions[name] else 0.0

    return gain


def _best_threshold(
    order: Iterable[str],
    gain: Callable[[str], float],
    unanswerable: int,
    scores: Mapping[str, float],
) -> tuple[float, float]:
    """Return the best total, in per cent, and its threshold.

    Starts with no question answered, for which the official script writes the threshold 0.0, and
    answers one more at a time, by rising "no answer" score.
    """
    names = list(order)
    total = best = float(unanswerable)
    threshold = 0.0
    for name in names:
        total += gain(name)
        if total > best:
            best, threshold = total, scores[name]
    return 100.0 * best / len(names), threshold
