"""``datasets.load_metric``, as old trials call it: without a network, and with the right values."""

import importlib.util
import json
from typing import Any

import datasets
import hypothesis
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import strategies as st

import model_hub.huggingface  # noqa: F401 - restores the function
from model_hub.errors import UserError

RNG = np.random.default_rng(5)
PREDICTED, GOLD = (RNG.integers(0, 2, 50) for _ in range(2))
SCORES, TRUE_SCORES = (RNG.random(50).astype("float32") for _ in range(2))
ACCURACY = {"accuracy": sklearn.metrics.accuracy_score(GOLD, PREDICTED)}
WITH_F1 = {**ACCURACY, "f1": sklearn.metrics.f1_score(GOLD, PREDICTED)}
CORRELATION = {"matthews_correlation": sklearn.metrics.matthews_corrcoef(GOLD, PREDICTED)}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("accuracy",), ACCURACY),
        (("xnli",), ACCURACY),
        (("glue", "cola"), CORRELATION),
        (("glue", "mrpc"), WITH_F1),
        (("glue", "qqp"), WITH_F1),
        *((("glue", name), ACCURACY) for name in ("sst2", "mnli", "mnli_matched", "rte", "hans")),
    ],
)
def test_classification(arguments: tuple[str, ...], expected: dict[str, float]) -> None:
    # As one old trial asked for it.
    metric = datasets.load_metric(*arguments, timeout=200)
    found = metric.compute(predictions=PREDICTED, references=GOLD)
    assert found == pytest.approx(expected) and list(found) == list(expected)
    assert all(type(value) is float for value in found.values())


def test_regression() -> None:
    found = datasets.load_metric("glue", "stsb").compute(predictions=SCORES, references=TRUE_SCORES)
    expected = {
        "pearson": scipy.stats.pearsonr(SCORES, TRUE_SCORES)[0],
        "spearmanr": scipy.stats.spearmanr(SCORES, TRUE_SCORES)[0],
    }
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("labels", [(0, 0), (2, 0), (1, 0)])
def test_f1_is_that_of_the_label_1(labels: tuple[int, int]) -> None:
    predicted, gold = np.array([labels[0], 0]), np.array([labels[1], labels[0]])
    found = datasets.load_metric("glue", "mrpc").compute(predictions=predicted, references=gold)
    expected = sklearn.metrics.f1_score(gold == 1, predicted == 1, zero_division=0)
    assert found["f1"] == pytest.approx(expected)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, list, tuple])
def test_in_parts(kind: Any) -> None:
    metric = datasets.load_metric("glue", "mrpc")
    metric.add_batch(predictions=kind(PREDICTED[:20]), references=kind(GOLD[:20]))
    for predicted, gold in zip(kind(PREDICTED[20:30]), kind(GOLD[20:30]), strict=True):
        metric.add(prediction=predicted, reference=gold)
    found = metric.compute(predictions=kind(PREDICTED[30:]), references=kind(GOLD[30:]))
    assert found == pytest.approx(WITH_F1)
    # The next validation starts anew.
    metric.add_batch(predictions=[1], references=[1])
    assert metric.compute()["accuracy"] == 1.0


def test_one_row_that_was_squeezed() -> None:
    metric = datasets.load_metric("accuracy")
    row = np.squeeze(np.array([[1]]))
    assert metric.compute(predictions=row, references=np.array([1])) == {"accuracy": 1.0}


QUESTIONS = {"a": ["The cat", "a dog"], "b": ["1066"], "c": []}
TEXTS = {"a": "cat!", "b": "in 1066", "c": "something"}


def references(listed: bool) -> list[dict[str, Any]]:
    """As rows of SQuAD are: a dict of lists, or in files of one's own a list of dicts."""
    as_lists = {
        name: {"text": texts, "answer_start": [0] * len(texts)} for name, texts in QUESTIONS.items()
    }
    as_dicts = {
        name: [{"text": text, "answer_start": 0} for text in texts]
        for name, texts in QUESTIONS.items()
    }
    answers: dict[str, Any] = as_dicts if listed else as_lists
    return [{"id": name, "answers": answers[name]} for name in QUESTIONS]


@pytest.mark.parametrize("listed", [False, True])
def test_squad(listed: bool) -> None:
    predictions = [{"id": name, "prediction_text": TEXTS[name]} for name in ("b", "a")]
    found = datasets.load_metric("squad").compute(
        predictions=predictions, references=references(listed)[1::-1]
    )
    assert found == pytest.approx({"exact_match": 50.0, "f1": 100 * (1 + 2 / 3) / 2})


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(("options", "exact"), [({}, 1), ({"no_answer_threshold": 0.5}, 2)])
def test_squad_v2(options: dict[str, float], exact: int, listed: bool) -> None:
    unanswerable = {"a": 0.1, "b": 0.2, "c": 0.9}
    predictions = [
        {"id": name, "prediction_text": text, "no_answer_probability": unanswerable[name]}
        for name, text in TEXTS.items()
    ]
    found = datasets.load_metric("squad_v2").compute(
        predictions=predictions, references=references(listed), **options
    )
    assert found["exact"] == pytest.approx(100 * exact / 3) and found["total"] == 3
    assert found["HasAns_total"] == 2 and found["NoAns_total"] == 1
    assert found["best_exact"] == pytest.approx(100 * 2 / 3)
    json.dumps(found)


TAGS = ["O", "B-PER", "I-PER", "B-creative-work", "I-creative-work", "B-LOC"]


def test_seqeval() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-creative-work"]]
    predicted = [["B-PER", "I-PER", "O", "O"], ["B-LOC", "B-creative-work"]]
    found = datasets.load_metric("seqeval").compute(predictions=predicted, references=gold)
    right = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "number": 1}
    assert found == {
        "PER": right,
        "creative-work": right,
        "LOC": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "number": 1},
        "overall_precision": 2 / 3,
        "overall_recall": 2 / 3,
        "overall_f1": 2 / 3,
        "overall_accuracy": 4 / 6,
    }


@pytest.mark.skipif(importlib.util.find_spec("seqeval") is None, reason="seqeval is not installed")
@pytest.mark.filterwarnings("ignore")
@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=6),
        min_size=1,
        max_size=4,
    )
)
def test_seqeval_is_that_of_the_package(rows: list[list[tuple[str, str]]]) -> None:
    from seqeval.metrics import accuracy_score, classification_report

    gold, predicted = ([[pair[side] for pair in row] for row in rows] for side in (0, 1))
    found = datasets.load_metric("seqeval").compute(predictions=predicted, references=gold)
    expected: dict[str, Any] = {"overall_accuracy": accuracy_score(gold, predicted)}
    report = classification_report(gold, predicted, output_dict=True, zero_division=0)
    for kind, scores in report.items():
        named = {"precision": "precision", "recall": "recall", "f1": "f1-score"}
        if kind == "micro avg":
            expected |= {f"overall_{name}": scores[theirs] for name, theirs in named.items()}
        elif not kind.endswith(" avg"):
            expected[kind] = {
                **{name: scores[theirs] for name, theirs in named.items()},
                "number": scores["support"],
            }
    assert found.keys() == expected.keys()
    assert all(found[name] == pytest.approx(expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "rouge"}, r"no longer has load_metric.*only accuracy, glue, seqeval"),
        ({"path": "./squad.py"}, r"'./squad.py'"),
        ({"path": "glue", "config_name": "sst"}, r"no task 'sst', only cola"),
        ({"path": "accuracy", "num_process": 2}, r"num_process is 2.*wrap_reducer"),
    ],
)
def test_what_there_is_not(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        datasets.load_metric(**arguments)


def test_glue_without_a_task() -> None:
    """Old trials load it so for data of their own, and do not use it then."""
    metric = datasets.load_metric("glue", None)
    with pytest.raises(UserError, match=r"load_metric\('glue'\) needs a task: cola"):
        metric.compute(predictions=[1], references=[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no predictions"),
        ({"predictions": [1]}, "predictions and references"),
        ({"predictions": [1, 0], "references": [1]}, "2 predictions, but 1 references"),
    ],
)
def test_wrong_calls(arguments: dict[str, list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        datasets.load_metric("accuracy").compute(**arguments)


def test_a_row_with_another_number_of_labels() -> None:
    with pytest.raises(ValueError, match="another number of labels"):
        datasets.load_metric("seqeval").compute(
            predictions=[["O", "O"], ["O"]], references=[["O"], ["O", "O"]]
        )
