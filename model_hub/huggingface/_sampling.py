"""The order of training samples where those of similar length go into one batch."""

from collections.abc import Iterator, Sequence

import datasets
import numpy as np
import torch

from model_hub.errors import UserError

# Batches that are shuffled together and sorted within, as in transformers' Trainer: many enough
# for lengths to be alike, few enough for the order to stay random.
_BATCHES_SORTED_TOGETHER = 50


class LengthGroupedSampler(torch.utils.data.Sampler[int]):
    """Row numbers in an order in which neighbours have similar lengths; another order each epoch.

    The rows are shuffled, cut into stretches of 50 batches, and each stretch is sorted, as
    transformers' ``Trainer`` does. The batches are then shuffled, as it does not: the lengths of
    successive batches have nothing to do with each other. Of the full batches the one with the
    longest row comes first, so that a lack of memory shows at once. The
    order follows from the seed and the number of the epoch alone: it is the same on every slot, and
    after a pause.

    Args:
        lengths: tokens of each row.
        batch_size: rows of a training step, over all slots.
        seed: of the order.
    """

    def __init__(self, lengths: Sequence[int] | np.ndarray, batch_size: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._rng = np.random.RandomState(seed)

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        order = self._rng.permutation(len(self._lengths))
        # At least four stretches, or small data would be sorted as a whole, the same every epoch.
        together = min(_BATCHES_SORTED_TOGETHER, len(order) // (self._batch_size * 4))
        stretch = max(together, 1) * self._batch_size
        for begin in range(0, len(order), stretch):
            piece = order[begin : begin + stretch]
            order[begin : begin + stretch] = piece[np.argsort(-self._lengths[piece], kind="stable")]
        whole = len(order) // self._batch_size
        batches = order[: whole * self._batch_size].reshape(whole, self._batch_size)
        shuffled = self._rng.permutation(whole)
        if whole:
            longest = int(np.argmax(self._lengths[batches].max(axis=1)[shuffled]))
            shuffled[[0, longest]] = shuffled[[longest, 0]]
        rest = order[whole * self._batch_size :]
        return iter(np.concatenate([batches[shuffled].ravel(), rest]).tolist())


def lengths_of(dataset: datasets.Dataset) -> np.ndarray:
    """Tokens of each row; of a row with several sequences, those of the longest.

    Args:
        dataset: prepared data with the column ``input_ids``.

    Returns:
        int64, ``[rows]``.

    Raises:
        UserError: when there is no such column.
    """
    own: np.ndarray | None = getattr(dataset, "lengths", None)
    if own is not None:  # Of data that is put together only when it is read.
        return own
    if "input_ids" not in dataset.column_names:
        raise UserError(
            "hyperparameters.group_by_length is true, but the training data has no column "
            f"input_ids, only {', '.join(dataset.column_names)}. Remove the key."
        )
    rows = dataset.with_format("arrow", columns=["input_ids"])[:].column(0).to_pylist()
    return np.array(
        [max(map(len, row)) if row and isinstance(row[0], list) else len(row) for row in rows],
        dtype=np.int64,
    )
