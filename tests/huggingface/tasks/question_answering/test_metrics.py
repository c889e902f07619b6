"""SQuAD metrics: values worked out by hand, and against a plain re-implementation."""

import collections
import math
import re
import string

import hypothesis
import pytest
from hypothesis import strategies as st

from model_hub.huggingface.tasks.question_answering.metrics import (
    normalize_answer,
    squad_v1_metrics,
    squad_v2_metrics,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat!", "cat"),
        ("a-b", "ab"),
        ("an\tapple a day", "apple day"),
        ("theatre", "theatre"),
        # Punctuation goes first, so this becomes no article ...
        ("a.m.", "am"),
        # ... and this does.
        ("t.h.e", ""),
        ("Ünï ½", "ünï ½"),
        ("“quoted”", "“quoted”"),
    ],
)
def test_normalize_answer(text: str, expected: str) -> None:
    assert normalize_answer(text) == expected


def test_v1_by_hand() -> None:
    predictions = {"1": "the cat sat", "2": "Paris", "3": "wrong"}
    references = {
        "1": ["cat sat down", "dog"],  # 2 of 2 and 2 of 3 words: F1 = 2*1*(2/3)/(5/3) = 0.8
        "2": ["Lyon", "paris."],
        "3": ["right"],
        "4": ["never asked"],  # No prediction: 0.
    }
    metrics = squad_v1_metrics(predictions, references)
    assert metrics == {"exact_match": 25.0, "f1": pytest.approx(100 * (0.8 + 1) / 4)}


def test_v1_repeated_words_count_as_often_as_in_both() -> None:
    metrics = squad_v1_metrics({"1": "x x x"}, {"1": ["x x y"]})
    assert metrics["f1"] == pytest.approx(100 * 2 / 3)


def test_v2_by_hand() -> None:
    predictions = {"a": "cat", "b": "dog house", "c": "x", "d": "", "e": "no"}
    references = {"a": ["cat"], "b": ["dog"], "c": [], "d": [], "e": ["yes"]}
    scores = {"a": -2.0, "b": 3.0, "c": -1.0, "d": 5.0, "e": -1.5}
    # Threshold 0: a, c and e answered (right, wrong, wrong), b and d not (wrong, right).
    # Raw scores: exact a 1, b 0, c 0, d 1, e 0; F1 b 2/3. Sweep from "none answered" (2 right): a
    # gives 3 at -2, e adds nothing, c takes one, b adds 0 (exact) or 2/3 (F1). The first best
    # counts.
    assert squad_v2_metrics(predictions, references, scores, 0.0) == {
        "exact": 40.0,
        "f1": 40.0,
        "total": 5,
        "HasAns_exact": pytest.approx(100 / 3),
        "HasAns_f1": pytest.approx(100 / 3),
        "HasAns_total": 3,
        "NoAns_exact": 50.0,
        "NoAns_f1": 50.0,
        "NoAns_total": 2,
        "best_exact": 60.0,
        "best_exact_thresh": -2.0,
        "best_f1": 60.0,
        "best_f1_thresh": -2.0,
    }


def test_v2_groups_without_questions_are_absent() -> None:
    metrics = squad_v2_metrics({"a": "cat"}, {"a": ["cat"], "unseen": []})
    assert metrics == {
        "exact": 100.0,
        "f1": 100.0,
        "total": 1,
        "HasAns_exact": 100.0,
        "HasAns_f1": 100.0,
        "HasAns_total": 1,
    }


def test_v2_answers_that_normalise_to_nothing() -> None:
    # "the" is no word after normalisation, so the question wants "", but has an answer.
    metrics = squad_v2_metrics({"a": "an", "b": "cat"}, {"a": ["the"], "b": ["the", "cat"]})
    assert metrics["exact"] == metrics["HasAns_f1"] == 100.0
    assert metrics["HasAns_total"] == 2


def test_nothing_evaluated_is_nan() -> None:
    assert all(math.isnan(value) for value in squad_v1_metrics({}, {}).values())
    metrics = squad_v2_metrics({}, {"a": []}, {})
    assert math.isnan(metrics["exact"]) and metrics["total"] == 0


# A plain re-implementation of the published definitions, for comparison.


def plain_words(text: str) -> list[str]:
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def plain_f1(gold: list[str], words: list[str]) -> float:
    common = sum((collections.Counter(gold) & collections.Counter(words)).values())
    if common == 0:
        return 0.0
    return 2 / (len(words) / common + len(gold) / common)


def plain_v2(
    predictions: dict[str, str],
    references: dict[str, list[str]],
    scores: dict[str, float],
    threshold: float,
) -> dict[str, float]:
    results: dict[str, float] = {}
    raw = {}
    for name, answers in references.items():
        words = plain_words(predictions[name])
        golds = [plain_words(answer) for answer in answers if plain_words(answer)] or [[]]
        raw[name] = (
            max(float(words == gold) for gold in golds),
            max(
                plain_f1(gold, words) if gold and words else float(gold == words) for gold in golds
            ),
        )
    for index, metric in enumerate(("exact", "f1")):
        final = {
            name: (float(not references[name]) if scores[name] > threshold else raw[name][index])
            for name in references
        }
        for prefix, chosen in (
            ("", list(references)),
            ("HasAns_", [name for name in references if references[name]]),
            ("NoAns_", [name for name in references if not references[name]]),
        ):
            if chosen:
                results[prefix + metric] = 100 * sum(final[name] for name in chosen) / len(chosen)
                results[prefix + "total"] = len(chosen)
        # Try every threshold: at the k-th, the k questions with the lowest scores are answered.
        order = sorted(references, key=lambda name: scores[name])
        totals = []
        for answered in range(len(order) + 1):
            right = 0.0
            for place, name in enumerate(order):
                if place < answered:
                    said = predictions[name] != "" or references[name]
                    right += raw[name][index] if references[name] else float(not said)
                else:
                    right += float(not references[name])
            totals.append(right)
        results[f"best_{metric}"] = 100 * max(totals) / len(order)
    return results


WORDS = st.lists(st.sampled_from(["the", "cat", "Cat.", "dog", "a", "!", "x"]), max_size=4)
TEXTS = WORDS.map(" ".join)
QUESTIONS = st.lists(
    st.tuples(
        TEXTS, st.lists(TEXTS, max_size=3), st.floats(-5, 5, allow_nan=False).map(lambda x: x or 0)
    ),
    min_size=1,
    max_size=8,
)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(QUESTIONS, st.floats(-5, 5))
def test_v2_equals_the_plain_definition(
    questions: list[tuple[str, list[str], float]], threshold: float
) -> None:
    predictions = {str(n): text for n, (text, _, _) in enumerate(questions)}
    references = {str(n): answers for n, (_, answers, _) in enumerate(questions)}
    scores = {str(n): score for n, (_, _, score) in enumerate(questions)}
    metrics = squad_v2_metrics(predictions, references, scores, threshold)
    expected = plain_v2(predictions, references, scores, threshold)
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value), name
    thresholds = {"best_exact_thresh", "best_f1_thresh"}
    assert set(metrics) == set(expected) | thresholds
    assert {metrics[name] for name in thresholds} <= {0.0, *scores.values()}


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(QUESTIONS, st.floats(-5, 5))
def test_v2_threshold_equals_leaving_predictions_empty(
    questions: list[tuple[str, list[str], float]], threshold: float
) -> None:
    predictions = {str(n): text for n, (text, _, _) in enumerate(questions)}
    # Gold answers that normalise to nothing would match an empty prediction.
    references = {
        str(n): [answer for answer in answers if normalize_answer(answer)]
        for n, (_, answers, _) in enumerate(questions)
    }
    scores = {str(n): score for n, (_, _, score) in enumerate(questions)}
    emptied = {name: "" if scores[name] > threshold else text for name, text in predictions.items()}
    metrics = squad_v2_metrics(predictions, references, scores, threshold)
    expected = squad_v2_metrics(emptied, references)
    assert {name: metrics[name] for name in expected} == expected


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), min_size=1))
def test_v1_equals_the_plain_definition(questions: list[tuple[str, list[str]]]) -> None:
    metrics = squad_v1_metrics(
        {str(n): text for n, (text, _) in enumerate(questions)},
        {str(n): answers for n, (_, answers) in enumerate(questions)},
    )
    exact = [max(plain_words(t) == plain_words(a) for a in answers) for t, answers in questions]
    f1 = [
        max(plain_f1(plain_words(a), plain_words(t)) for a in answers) for t, answers in questions
    ]
    assert metrics["exact_match"] == pytest.approx(100 * sum(exact) / len(exact))
    assert metrics["f1"] == pytest.approx(100 * sum(f1) / len(f1))
