"""The reducer of precision, recall and F1 of entities, and the baseline."""

import collections
from collections.abc import Mapping, Sequence

import datasets
import numpy as np
import torch

from model_hub.huggingface.tasks._common import reducers
from model_hub.huggingface.tasks._common.padding import NO_LABEL
from model_hub.huggingface.tasks._common.reducers import SumReducer, ratio
from model_hub.huggingface.tasks.token_classification.entities import LabelTables, count_entities
from model_hub.huggingface.tasks.token_classification.schemes import OUTSIDE

_ROWS_AT_A_TIME = 1000


class TokenClassificationReducer(SumReducer):
    """Metrics of entities and tokens, from counts.

    Entities are those of :func:`count_entities`. Metrics between 0 and 1:

    * ``precision``, ``recall``, ``f1`` over the entities of all types;
    * ``precision_TYPE``, ``recall_TYPE``, ``f1_TYPE`` for each type of the labels, such as
      ``f1_creative-work``;
    * ``accuracy`` over tokens, also under its old name ``accuracy_score``.

    ``validation_loss`` is the mean over all labelled tokens, as the loss of training.

    A metric with the denominator 0 (nothing predicted, or no entities) is 0, as in ``conlleval``;
    without any token all are NaN.

    Args:
        labels: names of the labels, in the order of their numbers.
        tag_scheme: ``data.tag_scheme``; None finds the scheme by the labels.

    Raises:
        UserError: when the labels are not of the scheme.
    """

    def __init__(self, labels: Sequence[str], tag_scheme: str | None = None) -> None:
        super().__init__()
        self._tables = LabelTables(labels, tag_scheme)

    def update(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch, without synchronizing with the device.

        Args:
            logits: any float type, ``[batch, length, labels]``.
            labels: int64 ``[batch, length]``, -100 for none.
        """
        self.update_predictions(logits.argmax(dim=-1), labels)
        self.add(**reducers.loss_counts(logits.flatten(0, 1), labels.flatten()))

    def update_predictions(self, predictions: torch.Tensor, labels: torch.Tensor) -> None:
        """Do the same, without a loss, with the predicted labels, int64 ``[batch, length]``."""
        self.add(**count_entities(predictions, labels, self._tables))

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the metrics; see the class."""
        none = np.zeros(len(self._tables.types), dtype=np.int64)
        gold, predicted, matched = (
            sums.get(name, none) for name in ("gold", "predicted", "matched")
        )
        tokens = int(sums.get("tokens", 0))
        accuracy = ratio(int(sums.get("right_tokens", 0)), tokens)
        metrics = entity_scores(matched.sum(), predicted.sum(), gold.sum())
        metrics |= {"accuracy": accuracy, "accuracy_score": accuracy}
        if "loss" in sums or not sums:
            metrics["validation_loss"] = reducers.mean_loss(sums)
        for kind, *counts in zip(self._tables.types, matched, predicted, gold, strict=True):
            if kind:  # The type of bare labels has no name.
                metrics |= {
                    f"{name}_{kind}": value for name, value in entity_scores(*counts).items()
                }
        return metrics if tokens else dict.fromkeys(metrics, float("nan"))


def entity_scores(matched: int, predicted: int, gold: int) -> dict[str, float]:
    """Return ``precision``, ``recall`` and ``f1`` of counts of entities; 0 where not defined."""
    return {
        "precision": float(matched / predicted) if predicted else 0.0,
        "recall": float(matched / gold) if gold else 0.0,
        "f1": float(2 * matched / (predicted + gold)) if predicted + gold else 0.0,
    }


def log_baseline(
    train: datasets.Dataset,
    validation: datasets.Dataset,
    labels: Sequence[str],
    tag_scheme: str | None = None,
) -> dict[str, float]:
    """Log what one label for all tokens scores on the validation data.

    Args:
        train: features to train on, with ``labels``.
        validation: features to validate on.
        labels: names of the labels, in the order of their numbers.
        tag_scheme: ``data.tag_scheme``.

    Returns:
        The metrics of ``O`` for all tokens, or, without an ``O``, of the most frequent label of the
        training data.
    """
    outside = [number for number, label in enumerate(labels) if label.upper() == OUTSIDE]
    if outside:
        number, description = outside[0], "always 'O'"
    else:
        counts: collections.Counter[int] = collections.Counter()
        for rows in train.with_format(None, columns=["labels"]).iter(_ROWS_AT_A_TIME):
            for row in rows["labels"]:
                counts.update(label for label in row if label != NO_LABEL)
        number = counts.most_common(1)[0][0]
        description = f"always the most frequent label of the training data, {labels[number]!r}"
    reducer = TokenClassificationReducer(labels, tag_scheme)
    for rows in validation.with_format(None, columns=["labels"]).iter(_ROWS_AT_A_TIME):
        gold = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row) for row in rows["labels"]], batch_first=True, padding_value=NO_LABEL
        )
        reducer.update_predictions(torch.full_like(gold, number), gold)
    metrics = reducer.cross_slot_reduce([reducer.per_slot_reduce()])
    overall = ("precision", "recall", "f1", "accuracy")
    reducers.log_baseline_metrics(description, {name: metrics[name] for name in overall})
    return metrics
