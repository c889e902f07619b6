"""Every metric equals scikit-learn's or scipy's, whatever the batches and slots are."""

import math
import pickle
import warnings
from typing import Any

import dealing
import hypothesis
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch

from model_hub.huggingface.tasks import text_classification as tc
from model_hub.huggingface.tasks.text_classification import metrics

CLASSIFICATION = ("accuracy", "f1", "combined_score", "matthews_correlation")
REGRESSION = ("pearson", "spearmanr", "combined_score", "mse")


def by_scikit_learn(
    labels: np.ndarray, predictions: np.ndarray, positive: int | None
) -> dict[str, float]:
    with warnings.catch_warnings():
        # Of labels that do not occur.
        warnings.simplefilter("ignore")
        accuracy = sklearn.metrics.accuracy_score(labels, predictions)
        if positive is None:
            f1 = sklearn.metrics.f1_score(labels, predictions, average="macro")
        else:
            f1 = sklearn.metrics.f1_score(labels == positive, predictions == positive)
        matthews = sklearn.metrics.matthews_corrcoef(labels, predictions)
    return {
        "accuracy": accuracy,
        "f1": f1,
        "combined_score": (accuracy + f1) / 2,
        "matthews_correlation": matthews,
    }


@pytest.mark.parametrize("num_labels", [2, 3, 7])
@pytest.mark.parametrize("positive", [None, 1])
@pytest.mark.parametrize("rows", [1, 2, 5, 300])
def test_classification_equals_scikit_learn(
    num_labels: int, positive: int | None, rows: int
) -> None:
    random = np.random.default_rng(rows + num_labels)
    for right in (0.0, 0.3, 0.9, 1.0):
        labels = random.integers(0, num_labels, rows)
        other = random.integers(0, num_labels, rows)
        predictions = np.where(random.random(rows) < right, labels, other)
        reducer = tc.ClassificationReducer(num_labels, CLASSIFICATION, positive)
        logits = torch.nn.functional.one_hot(torch.from_numpy(predictions), num_labels)
        reducer.update(logits.bfloat16(), torch.from_numpy(labels))
        found = reducer.cross_slot_reduce([reducer.per_slot_reduce()])
        assert found.pop("validation_loss") > 0
        assert found == pytest.approx(by_scikit_learn(labels, predictions, positive), abs=1e-12)


@pytest.mark.parametrize("predicted", [0, 1])
@pytest.mark.parametrize("true", [0, 1])
def test_always_the_same_label(predicted: int, true: int) -> None:
    """Where correlation and F1 are not defined."""
    labels, predictions = np.full(4, true), np.full(4, predicted)
    confusion = np.zeros((2, 2), np.int64)
    confusion[true, predicted] = 4
    found = tc.classification_metrics(confusion, CLASSIFICATION, 1)
    assert found == pytest.approx(by_scikit_learn(labels, predictions, 1))


def test_matthews_of_many_rows_is_exact() -> None:
    """Products of such counts do not fit into 64 bits."""
    huge = np.array([[4, 1], [2, 3]], np.int64) * 2_000_000_000
    expected = sklearn.metrics.matthews_corrcoef([0] * 5 + [1] * 5, [0] * 4 + [1, 0, 0] + [1] * 3)
    assert metrics.matthews_correlation(huge) == pytest.approx(expected, abs=1e-12)


def test_labels_that_do_not_count() -> None:
    reducer = tc.ClassificationReducer(2, ("accuracy",))
    reducer.update(torch.tensor([[0.0, 1], [1, 0], [1, 0]]), torch.tensor([1, -100, 1]))
    found = reducer.cross_slot_reduce([reducer.per_slot_reduce()])
    # Of the two rows with a label, one has the higher logit at its label.
    expected = math.log(1 + math.e) - 0.5
    assert found == {"accuracy": 0.5, "validation_loss": pytest.approx(expected)}


def test_no_rows_at_all() -> None:
    counter = tc.ClassificationReducer(3, CLASSIFICATION, 1, ("", "_mismatched"))
    found = counter.cross_slot_reduce([counter.per_slot_reduce()])
    names = (*CLASSIFICATION, "validation_loss")
    assert set(found) == {f"{name}{end}" for name in names for end in ("", "_mismatched")}
    pairs = tc.RegressionReducer(REGRESSION)
    found |= pairs.cross_slot_reduce([pairs.per_slot_reduce()] * 2)
    assert all(math.isnan(value) for value in found.values())


ROWS = 23
DRAWN = np.random.default_rng(0)
LABELS = torch.from_numpy(DRAWN.integers(0, 3, ROWS))
LOGITS = torch.from_numpy(DRAWN.normal(size=(ROWS, 3)))
SPLIT = torch.from_numpy(DRAWN.integers(0, 2, ROWS))


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(slots=dealing.dealings(ROWS))
def test_classification_does_not_depend_on_batches_and_slots(
    slots: list[list[list[int]]],
) -> None:
    def update(reducer: Any, rows: list[int]) -> None:
        reducer.update(LOGITS[rows], LABELS[rows], SPLIT[rows])

    found = dealing.reduced(
        lambda: tc.ClassificationReducer(3, CLASSIFICATION, None, ("", "_mismatched")),
        update,
        slots,
    )
    expected: dict[str, float] = {}
    for number, suffix in enumerate(("", "_mismatched")):
        of_split = number == SPLIT
        values = by_scikit_learn(
            LABELS[of_split].numpy(), LOGITS[of_split].argmax(-1).numpy(), None
        )
        expected |= {f"{name}{suffix}": value for name, value in values.items()}
    whole = dealing.reduced(
        lambda: tc.ClassificationReducer(3, CLASSIFICATION, None, ("", "_mismatched")),
        update,
        [[list(range(ROWS))]],
    )
    assert dealing.same(found, whole)
    scores = {name: value for name, value in found.items() if "loss" not in name}
    assert scores == pytest.approx(expected, abs=1e-12)


def by_scipy(predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    pearson = scipy.stats.pearsonr(predictions, labels).statistic
    spearman = scipy.stats.spearmanr(predictions, labels).statistic
    return {
        "pearson": pearson,
        "spearmanr": spearman,
        "combined_score": (pearson + spearman) / 2,
        "mse": sklearn.metrics.mean_squared_error(labels, predictions),
    }


# Quarters as labels, as STS-B has them: many ties.
NUMBERS = torch.from_numpy(DRAWN.integers(0, 21, ROWS) / 4)
PREDICTED = NUMBERS + torch.from_numpy(DRAWN.normal(size=ROWS).round(1))


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(slots=dealing.dealings(ROWS))
def test_regression_does_not_depend_on_batches_and_slots(slots: list[list[list[int]]]) -> None:
    def update(reducer: Any, rows: list[int]) -> None:
        reducer.update(PREDICTED[rows].float().unsqueeze(1), NUMBERS[rows])

    found = dealing.reduced(lambda: tc.RegressionReducer(REGRESSION), update, slots)
    whole = dealing.reduced(lambda: tc.RegressionReducer(REGRESSION), update, [[list(range(ROWS))]])
    assert dealing.same(found, whole)
    expected = by_scipy(PREDICTED.float().double().numpy(), NUMBERS.numpy())
    assert found == pytest.approx({**expected, "validation_loss": expected["mse"]}, abs=1e-12)


@pytest.mark.parametrize("rows", [2, 3, 10, 2000])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e6])
def test_regression_equals_scipy(rows: int, spread: float) -> None:
    random = np.random.default_rng(rows)
    labels = 100 + spread * random.normal(size=rows)
    predictions = labels + spread * random.normal(size=rows)
    found = tc.regression_metrics(predictions, labels, REGRESSION)
    assert found == pytest.approx(by_scipy(predictions, labels), rel=1e-9, abs=1e-9)


def test_ranks_of_ties() -> None:
    values = DRAWN.integers(0, 9, 200).astype(np.float64)
    assert metrics.average_ranks(values).tolist() == scipy.stats.rankdata(values).tolist()


def test_correlation_that_is_not_defined() -> None:
    some = np.array([0.1, 0.2, 0.7])
    for other in (np.full(3, 0.1), np.array([0.1, np.nan, 0.2]), np.array([0.1, np.inf, 0.2])):
        for x, y in ((some, other), (other, some)):
            assert math.isnan(metrics.pearson(x, y)) and math.isnan(metrics.spearman(x, y))
    assert math.isnan(metrics.pearson(some[:1], some[:1]))
    assert metrics.pearson(some, some) == pytest.approx(1)
    assert metrics.pearson(some, -some) == pytest.approx(-1)


def test_memory_is_bounded() -> None:
    """Counts for labels; two numbers a row for scores, as they go from slot to slot."""
    counter = tc.ClassificationReducer(3, CLASSIFICATION)
    pairs = tc.RegressionReducer(REGRESSION)
    for _ in range(200):
        counter.update(torch.zeros(50, 3), torch.zeros(50, dtype=torch.int64))
        pairs.update(torch.zeros(50, 1).half(), torch.zeros(50))
    assert counter.per_slot_reduce()["confusion"].nbytes == 9 * 8
    assert pairs.per_slot_reduce().nbytes == 200 * 50 * 8
    assert len(pickle.dumps(counter.per_slot_reduce())) < 1000
