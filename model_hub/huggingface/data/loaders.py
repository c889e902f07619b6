"""Data loaders of Determined with an order that depends on the trial's seed alone."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import datasets
import numpy as np
import torch
from determined import pytorch
from determined.pytorch import samplers

from model_hub.errors import UserError
from model_hub.huggingface.config.hparams import options_of

# The number of batches that are sorted together, as in transformers' Trainer: enough for similar
# lengths, few enough for the order to stay random.
_BATCHES_PER_CHUNK = 50


class LengthGroupedSampler(torch.utils.data.Sampler[int]):
    """Sampler of row indices that puts rows of similar length into one batch.

    The rows are shuffled and cut into chunks of 50 batches, and each chunk is sorted, as in
    transformers' ``Trainer``. Unlike there, the batches are then shuffled, so that the lengths of
    successive batches are independent. Of the full batches the one with the longest row comes
    first, so that a lack of memory shows at once. Each epoch has another order, which depends on
    the seed and the number of the epoch alone: it is the same on every slot and in a resumed run.

    Args:
        lengths: tokens of each row.
        batch_size: rows of a training step, over all slots.
        seed: seed of the order.
    """

    def __init__(self, lengths: Sequence[int] | np.ndarray, batch_size: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._rng = np.random.RandomState(seed)

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        order = self._rng.permutation(len(self._lengths))
        # At least four chunks, or small data would be sorted as a whole, the same every epoch.
        batches_per_chunk = min(_BATCHES_PER_CHUNK, len(order) // (self._batch_size * 4))
        size = max(batches_per_chunk, 1) * self._batch_size
        for begin in range(0, len(order), size):
            chunk = order[begin : begin + size]
            order[begin : begin + size] = chunk[np.argsort(-self._lengths[chunk], kind="stable")]
        full = len(order) // self._batch_size
        batches = order[: full * self._batch_size].reshape(full, self._batch_size)
        shuffled = self._rng.permutation(full)
        if full:
            longest = int(np.argmax(self._lengths[batches].max(axis=1)[shuffled]))
            shuffled[[0, longest]] = shuffled[[longest, 0]]
        rest = order[full * self._batch_size :]
        return iter(np.concatenate([batches[shuffled].ravel(), rest]).tolist())


def lengths_of(dataset: datasets.Dataset) -> np.ndarray:
    """Return the number of tokens of each row; of its longest sequence if a row has several.

    Args:
        dataset: prepared data with the column ``input_ids``, or with an attribute ``lengths``.

    Returns:
        int64, ``[rows]``.

    Raises:
        UserError: when there is no such column.
    """
    own: np.ndarray | None = getattr(dataset, "lengths", None)
    if own is not None:  # A dataset whose rows are made when they are read.
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


def trial_seed(context: pytorch.PyTorchTrialContext) -> int:
    """Return the trial's seed; the experiment's, or 0, if the trial has none."""
    seed = getattr(context, "_trial_seed", None)
    if seed is None:
        try:
            config = context.get_experiment_config()
        except ValueError:
            config = {}
        seed = (config.get("reproducibility") or {}).get("experiment_seed")
    return int(seed or 0)


def training_data_loader(
    context: pytorch.PyTorchTrialContext,
    dataset: datasets.Dataset,
    collate_fn: Callable[[list[Any]], Any],
    *,
    num_workers: int | None = None,
    drop_last: bool = False,
) -> pytorch.DataLoader:
    """Return a loader that shuffles anew every epoch.

    The order depends on the trial's seed alone: it is the same on every slot (which takes its shard
    of it) and in a resumed run. With ``hyperparameters.group_by_length`` samples of similar length
    share a batch.

    Args:
        context: the trial's context, with batch size, seed and hyperparameters.
        dataset: prepared training data.
        collate_fn: makes a batch of a list of rows.
        num_workers: processes that load ahead; None takes
            ``hyperparameters.dataloader_num_workers``.
        drop_last: leave out the last batch of an epoch if it is not full.

    Raises:
        UserError: when the data is empty.
    """
    if len(dataset) == 0:
        raise UserError("there is no training data left after preparation.")
    options = options_of(context)
    order: torch.utils.data.Sampler[int]
    if options.group_by_length:
        order = LengthGroupedSampler(
            lengths_of(dataset), context.get_global_batch_size(), trial_seed(context)
        )
    else:
        order = samplers.ReproducibleShuffleSampler(
            torch.utils.data.SequentialSampler(dataset), trial_seed(context)
        )
    return pytorch.DataLoader(
        dataset,
        batch_size=context.get_per_slot_batch_size(),
        sampler=order,
        collate_fn=collate_fn,
        num_workers=options.dataloader_num_workers if num_workers is None else num_workers,
        drop_last=drop_last,
        pin_memory=options.dataloader_pin_memory and torch.cuda.is_available(),
    )


def validation_data_loader(
    context: pytorch.PyTorchTrialContext,
    dataset: datasets.Dataset,
    collate_fn: Callable[[list[Any]], Any],
    *,
    num_workers: int = 0,
) -> pytorch.DataLoader:
    """Return a loader that reads the data once in its order.

    Args:
        context: as for training.
        dataset: prepared validation data.
        collate_fn: makes a batch of a list of rows.
        num_workers: processes that load ahead.

    Raises:
        UserError: when the data is empty.
    """
    if len(dataset) == 0:
        raise UserError("there is no validation data left after preparation.")
    options = options_of(context)
    return pytorch.DataLoader(
        dataset,
        batch_size=context.get_per_slot_batch_size(),
        collate_fn=collate_fn,
        num_workers=num_workers,
        pin_memory=options.dataloader_pin_memory and torch.cuda.is_available(),
    )
