"""Determined's loader, with random numbers that follow from seed, batch and slot."""

import copy
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from determined import pytorch
from determined.pytorch import samplers

# What a seed is for; so that no two things draw the same numbers.
STEP, FETCH, EPOCH, VALIDATION = range(4)

# The key of the batch that stands for none.
PLACEHOLDER_BATCH = "model_hub_no_batch"


def seed_random(*parts: int) -> None:
    """Seeds the generators of Python, numpy and torch (all devices) from a few numbers."""
    words = np.random.SeedSequence(parts).generate_state(2, np.uint64)
    random.seed(int(words[0]))
    np.random.seed(int(words[0] % 2**32))
    seed = int(words[1] >> np.uint64(1))
    torch.default_generator.manual_seed(seed)
    # Beside this, `torch.manual_seed` notes for devices that are not in use where it was called
    # from, and that takes longer than all else here together, in every step.
    for device in (torch.cuda, torch.xpu):
        if device.is_initialized():
            device.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


class _Batch(NamedTuple):
    """What the sampler asks of the data: the rows of one batch, and what to seed with."""

    seed: tuple[int, ...]
    rows: Sequence[Any]


class _SeededRows(torch.utils.data.Dataset[Any]):
    """Seeds the process that fetches a batch; collating it is the next thing done there."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        # Others may ask the loader's dataset for its own attributes.
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
    """The data of a slot that has no share: one batch that stands for none."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> dict[str, torch.Tensor]:
        return {PLACEHOLDER_BATCH: torch.zeros(1)}


class _SeededEpochs(torch.utils.data.Sampler[Any]):
    """A sampler whose order in the n-th epoch depends on the seed and n alone, on every slot.

    ``shuffle=True`` draws its order from torch's global generator, and so may a trial's own
    sampler: they get random numbers that nobody else draws from.
    """

    def __init__(self, batches: Any, seed: int) -> None:
        self._batches = batches
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        outside = _random_state()
        seed_random(self._seed, EPOCH, epoch)
        batches = iter(self._batches)
        # A generator draws no earlier than for its first element.
        first = list(itertools.islice(batches, 1))
        inside = _random_state()
        _set_random_state(outside)
        yield from first
        if _draws_at_once(self._batches):
            yield from batches
            return
        while True:
            outside = _random_state()
            _set_random_state(inside)
            following = list(itertools.islice(batches, 1))
            inside = _random_state()
            _set_random_state(outside)
            if not following:
                return
            yield from following


def _draws_at_once(batches: Any) -> bool:
    """Whether a sampler is known to draw its whole order when an epoch begins.

    Exchanging the random state for every batch takes some ten microseconds, of each slot for the
    batches of all.
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
    """Gives each batch of a slot the seed that belongs to its number."""

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

    Args:
        loader: the loader that the trial has built; it is left as it is.
        seed: the trial's seed.
        purpose: what the batches are for.
    """

    def __init__(self, loader: pytorch.DataLoader, seed: int, purpose: int) -> None:
        # The arguments were checked and completed when the trial built its loader.
        vars(self).update(vars(loader))
        self._seed = seed
        self._purpose = purpose
        self.share_is_empty = False

    def copy_for_replay(self) -> "SeededLoader | None":
        """The loader with its sampler as it is now, or None where that cannot be copied."""
        duplicate = SeededLoader(self, self._seed, self._purpose)
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
        """As Determined asks for it."""
        batches: Any = self.batch_sampler
        if repeat:
            batches = _SeededEpochs(batches, self._seed)
        batches = pytorch.adapt_batch_sampler(
            batches, repeat=repeat, skip=skip, num_replicas=num_replicas, rank=rank
        )
        # Determined fails on a slot without a validation batch. That the whole validation set has
        # none stays its error.
        self.share_is_empty = (
            not repeat and rank > 0 and _length(batches) == 0 and _length(self.batch_sampler) != 0
        )
        if self.share_is_empty:
            return torch.utils.data.DataLoader(_EmptyShard(), batch_size=None)
        numbered: Any = _SeededBatchSampler(batches, (self._seed, self._purpose, rank), skip)
        return torch.utils.data.DataLoader(
            _SeededRows(self.dataset),
            batch_sampler=numbered,
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
    """Number of batches; None if a sampler does not tell."""
    try:
        return len(batches)
    except TypeError:
        return None
