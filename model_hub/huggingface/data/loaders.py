"""The order of training samples where those of similar length go into one batch."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import datasets
import numpy as np
import torch
from determined import pytorch
from determined.pytorch import samplers

from model_hub.errors import UserError
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.config.parsing import parse_dict_to_dataclasses

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


def trial_seed(context: pytorch.PyTorchTrialContext) -> int:
    """The trial's seed; the experiment's, or 0, where Determined gives the trial none."""
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
    """A loader that shuffles anew every epoch.

    The order follows from the trial's seed alone: it is the same on every slot (each takes its
    share of it) and after a pause. With ``hyperparameters.group_by_length`` samples of similar
    length share a batch.

    Args:
        context: gives the batch size per slot, the seed and the hyperparameters.
        dataset: prepared training data.
        collate_fn: makes a batch of a list of rows.
        num_workers: processes that load ahead; None takes
            ``hyperparameters.dataloader_num_workers``.
        drop_last: leave out the last batch of an epoch if it is not full.

    Raises:
        UserError: when there is nothing to train on.
    """
    if len(dataset) == 0:
        raise UserError("there is no training data left after preparation.")
    (options,) = parse_dict_to_dataclasses((OptionKwargs,), context.get_hparams())
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
    """A loader that goes through the data once in its order; arguments as for training.

    Raises:
        UserError: when there is nothing to validate on.
    """
    if len(dataset) == 0:
        raise UserError("there is no validation data left after preparation.")
    (options,) = parse_dict_to_dataclasses((OptionKwargs,), context.get_hparams())
    return pytorch.DataLoader(
        dataset,
        batch_size=context.get_per_slot_batch_size(),
        collate_fn=collate_fn,
        num_workers=num_workers,
        pin_memory=options.dataloader_pin_memory and torch.cuda.is_available(),
    )
