"""Determined's data loader with random numbers that depend on seed, batch and slot alone."""

import copy
import enum
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from determined import pytorch
from determined.pytorch import samplers


class Stream(enum.IntEnum):
    """The use of a seed. Each use has its own stream of random numbers."""

    STEP = 0
    FETCH = 1
    EPOCH = 2
    VALIDATION = 3


# The only key of the batch that a slot without validation data gets.
PLACEHOLDER_BATCH = "model_hub_no_batch"


def seed_random(*parts: int) -> None:
    """Seed the generators of Python, numpy and torch (all devices) from a few numbers."""
    words = np.random.SeedSequence(parts).generate_state(2, np.uint64)
    random.seed(int(words[0]))
    np.random.seed(int(words[0] % 2**32))
    seed = int(words[1] >> np.uint64(1))
    torch.default_generator.manual_seed(seed)
    # `torch.manual_seed` does the same, but also records a stack trace for each device that is not
    # initialized yet. That takes longer than everything else here, in every step.
    for device in (torch.cuda, torch.xpu):
        if device.is_initialized():
            device.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


class _Batch(NamedTuple):
    """The row indices of one batch and the seed to collate it with."""

    seed: tuple[int, ...]
    rows: Sequence[Any]


class _SeededRows(torch.utils.data.Dataset[Any]):
    """A dataset that seeds the process which fetches a batch, right before it is collated."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        # Code that gets the dataset from the loader may read its other attributes.
        if name.startswith("__") or "_dataset" not in vars(self):
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __getitem__(self, row: Any) -> Any:
        return self._dataset[row]

    def __getitems__(self, batch: _Batch) -> list[Any]:
        seed_random(*batch.seed)
        if callable(getattr(self._dataset, "__getitems__", None)):
            rows: list[Any] = self._dataset.__getitems__(list(batch.rows))
            return rows
        return [self._dataset[row] for row in batch.rows]


class _EmptyShard(torch.utils.data.Dataset[Any]):
    """The data of a slot whose shard is empty: one placeholder batch."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> dict[str, torch.Tensor]:
        return {PLACEHOLDER_BATCH: torch.zeros(1)}


class _SeededEpochs(torch.utils.data.Sampler[Any]):
    """A batch sampler whose order in the n-th epoch depends on the seed and n alone.

    ``shuffle=True`` draws the order from torch's global generator, and so may a user's sampler.
    Such a sampler gets random numbers from a stream that nothing else draws from.
    """

    def __init__(self, batches: Any, seed: int) -> None:
        self._batches = batches
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        outer_state = _random_state()
        seed_random(self._seed, Stream.EPOCH, epoch)
        batches = iter(self._batches)
        # A generator function draws nothing before its first element is requested.
        first = list(itertools.islice(batches, 1))
        sampler_state = _random_state()
        _set_random_state(outer_state)
        yield from first
        if _draws_at_epoch_start(self._batches):
            yield from batches
            return
        while True:
            outer_state = _random_state()
            _set_random_state(sampler_state)
            batch = list(itertools.islice(batches, 1))
            sampler_state = _random_state()
            _set_random_state(outer_state)
            if not batch:
                return
            yield from batch


def _draws_at_epoch_start(batches: Any) -> bool:
    """Return whether a sampler is known to draw its whole order when an epoch begins.

    For other samplers the random state is swapped around every batch. That takes some ten
    microseconds, and each slot does it for the batches of all slots.
    """
    order = getattr(batches, "sampler", None)
    return type(batches) is torch.utils.data.BatchSampler and type(order) in (
        torch.utils.data.RandomSampler,
        torch.utils.data.SequentialSampler,
        samplers.ReproducibleShuffleSampler,
    )


def _random_state() -> tuple[Any, Any, torch.Tensor]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _set_random_state(state: tuple[Any, Any, torch.Tensor]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])


class _SeededBatchSampler(torch.utils.data.Sampler[_Batch]):
    """A batch sampler that adds to each batch of a slot the seed of the batch's number."""

    def __init__(self, batches: Any, seed: tuple[int, ...], first: int) -> None:
        self._batches = batches
        self._seed = seed
        self._first = first

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[_Batch]:
        for number, rows in enumerate(self._batches, self._first):
            yield _Batch((*self._seed, number), rows)


class SeededLoader(pytorch.DataLoader):
    """Determined's loader, with the random numbers of a batch tied to its number and slot.

    ``loader``, which the trial has built, is not changed; ``stream`` is the use of the batches.
    """

    def __init__(self, loader: pytorch.DataLoader, seed: int, stream: Stream) -> None:
        # The trial's loader has checked and completed its arguments already.
        vars(self).update(vars(loader))
        self._seed = seed
        self._stream = stream
        self.shard_is_empty = False

    def copy_for_replay(self) -> "SeededLoader | None":
        """Return the loader with a copy of its sampler, or None if that cannot be copied."""
        duplicate = SeededLoader(self, self._seed, self._stream)
        try:
            duplicate.batch_sampler = copy.deepcopy(
                self.batch_sampler, {id(self.dataset): self.dataset}
            )
        except Exception:  # A sampler may hold anything.
            return None
        return duplicate

    def get_data_loader(
        self, repeat: bool = False, skip: int = 0, num_replicas: int = 1, rank: int = 0
    ) -> torch.utils.data.DataLoader[Any]:
        """Return torch's loader for one slot; Determined calls it.

        Args:
            repeat: iterate over epochs without end, as training does.
            skip: batches of this slot to skip.
            num_replicas: number of slots.
            rank: number of this slot.
        """
        batches: Any = self.batch_sampler
        if repeat:
            batches = _SeededEpochs(batches, self._seed)
        batches = pytorch.adapt_batch_sampler(
            batches, repeat=repeat, skip=skip, num_replicas=num_replicas, rank=rank
        )
        # Determined fails on a slot without a validation batch. A validation set that is empty on
        # all slots remains an error.
        self.shard_is_empty = (
            not repeat and rank > 0 and _length(batches) == 0 and _length(self.batch_sampler) != 0
        )
        if self.shard_is_empty:
            return torch.utils.data.DataLoader(_EmptyShard(), batch_size=None)
        seeded: Any = _SeededBatchSampler(batches, (self._seed, self._stream, rank), skip)
        return torch.utils.data.DataLoader(
            _SeededRows(self.dataset),
            batch_sampler=seeded,
            num_workers=self.num_workers,
            collate_fn=self.collate_fn,
            pin_memory=self.pin_memory,
            timeout=self.timeout,
            worker_init_fn=self.worker_init_fn,
            multiprocessing_context=self.multiprocessing_context,
            generator=self.generator,
            prefetch_factor=self.prefetch_factor,
            persistent_workers=self.persistent_workers,
        )


def _length(batches: Any) -> int | None:
    """Return the number of batches; None if a sampler has no length."""
    try:
        return len(batches)
    except TypeError:
        return None
