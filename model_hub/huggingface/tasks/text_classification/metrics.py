"""Metrics of classification, from a confusion matrix, and of regression, from pairs of numbers.

All are pure functions of numpy arrays whose results do not depend on the order of rows.
"""

import math
from collections.abc import Sequence

import numpy as np

from model_hub.huggingface.tasks._common.reducers import ratio

_NAN = float("nan")


def accuracy(confusion: np.ndarray) -> float:
    """Return the share of rows whose label was predicted; NaN without rows.

    Args:
        confusion: int ``[labels, labels]``: number of rows with the label of the line and the
            predicted label of the column.
    """
    return ratio(int(np.trace(confusion)), int(confusion.sum()))


def matthews_correlation(confusion: np.ndarray) -> float:
    """Return Matthews' correlation coefficient, also for more than two labels (Gorodkin 2004).

    Args:
        confusion: as for :func:`accuracy`.

    Returns:
        A number from -1 to 1; 0 if it is not defined (all rows have the same label, or the same
        prediction), as in scikit-learn; NaN without rows.
    """
    # Python's integers: products of counts can need more than 64 bits.
    true = [int(count) for count in confusion.sum(axis=1)]
    predicted = [int(count) for count in confusion.sum(axis=0)]
    rows, right = sum(true), int(np.trace(confusion))
    if rows == 0:
        return _NAN
    covariance = right * rows - sum(t * p for t, p in zip(true, predicted, strict=True))
    spread = (rows**2 - sum(t * t for t in true)) * (rows**2 - sum(p * p for p in predicted))
    return covariance / math.sqrt(spread) if spread else 0.0


def f1_per_label(confusion: np.ndarray) -> np.ndarray:
    """Return F1 of each label against all others: the harmonic mean of precision and recall.

    Args:
        confusion: as for :func:`accuracy`.

    Returns:
        float64 ``[labels]``; NaN for a label that no row has and that was never predicted.
    """
    right = np.diag(confusion).astype(np.float64)
    # 2 TP + FP + FN: rows with the label plus rows with the prediction.
    together = (confusion.sum(axis=0) + confusion.sum(axis=1)).astype(np.float64)
    scores = np.full(len(right), _NAN)
    np.divide(2 * right, together, out=scores, where=together > 0)
    return scores


def f1(confusion: np.ndarray, positive: int | None = None) -> float:
    """Return F1 of one label, or the mean over all labels.

    Args:
        confusion: as for :func:`accuracy`.
        positive: number of the label; None takes the unweighted mean over the labels that occur in
            the rows or the predictions (macro F1).

    Returns:
        F1; 0 if it is not defined, as in scikit-learn; NaN without rows.
    """
    if confusion.sum() == 0:
        return _NAN
    scores = f1_per_label(confusion)
    if positive is not None:
        return 0.0 if math.isnan(scores[positive]) else float(scores[positive])
    occurring = scores[~np.isnan(scores)]
    return math.fsum(occurring) / len(occurring)


def classification_metrics(
    confusion: np.ndarray, names: Sequence[str], positive: int | None = None
) -> dict[str, float]:
    """Return the metrics of these names.

    Args:
        confusion: as for :func:`accuracy`.
        names: of ``accuracy``, ``f1``, ``matthews_correlation``, ``combined_score`` (the mean of
            those before it).
        positive: as for :func:`f1`.
    """
    known = {
        "accuracy": lambda: accuracy(confusion),
        "f1": lambda: f1(confusion, positive),
        "matthews_correlation": lambda: matthews_correlation(confusion),
    }
    metrics: dict[str, float] = {}
    for name in names:
        metrics[name] = mean_score(metrics) if name == "combined_score" else known[name]()
    return metrics


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Return Pearson's correlation coefficient.

    Args:
        x: float ``[rows]``.
        y: the same.

    Returns:
        A number from -1 to 1; NaN for fewer than two rows, or if an input is constant or not
        finite.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    if len(x) < 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return _NAN
    if x.min() == x.max() or y.min() == y.max():
        return _NAN
    # math.fsum rounds once, at the end: its result does not depend on the order.
    dx, dy = x - math.fsum(x) / len(x), y - math.fsum(y) / len(y)
    spread = math.sqrt(math.fsum(dx * dx)) * math.sqrt(math.fsum(dy * dy))
    return min(max(math.fsum(dx * dy) / spread, -1.0), 1.0) if spread else _NAN


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 1; equal values get the mean of their ranks.

    Args:
        values: float ``[rows]``.

    Returns:
        float64 ``[rows]``.
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's rank correlation: :func:`pearson` of the :func:`average_ranks`."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return _NAN
    return pearson(average_ranks(x), average_ranks(y))


def mean_squared_error(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of the squared differences; NaN without rows.

    Args:
        predictions: float ``[rows]``.
        labels: the same.
    """
    errors = predictions.astype(np.float64) - labels.astype(np.float64)
    if not np.isfinite(errors).all():
        return _NAN
    return ratio(math.fsum(errors * errors), len(errors))


def regression_metrics(
    predictions: np.ndarray, labels: np.ndarray, names: Sequence[str]
) -> dict[str, float]:
    """Return the metrics of these names.

    Args:
        predictions: float ``[rows]``.
        labels: the same.
        names: of ``mse``, ``pearson``, ``spearmanr``, ``combined_score`` (the mean of those before
            it).
    """
    known = {"mse": mean_squared_error, "pearson": pearson, "spearmanr": spearman}
    metrics: dict[str, float] = {}
    for name in names:
        metrics[name] = (
            mean_score(metrics) if name == "combined_score" else known[name](predictions, labels)
        )
    return metrics


def mean_score(metrics: dict[str, float]) -> float:
    """Return the mean of the values."""
    return math.fsum(metrics.values()) / len(metrics)
