"""What Determined loses at a pause or between slots, restored from the trial's side.

Randomness becomes a function of the trial's seed, the batch and the slot: it does not depend on
what was drawn before, so a run that continues draws what the run without a stop draws, on every
slot and in every worker process of a loader.
"""

import copy
import itertools
import logging
import pathlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from determined import pytorch, util

from model_hub.huggingface import _checkpoint, _data

logger = logging.getLogger("model_hub")

# What a seed is for; so that no two things draw the same numbers.
_STEP, _FETCH, _EPOCH, _VALIDATION = range(4)

_NO_BATCH = "model_hub_no_batch"


def seed_random(*parts: int) -> None:
    """Seeds the generators of Python, numpy and torch (all devices) from a few numbers."""
    words = np.random.SeedSequence(parts).generate_state(2, np.uint64)
    random.seed(int(words[0]))
    np.random.seed(int(words[0] % 2**32))
    torch.manual_seed(int(words[1] >> np.uint64(1)))


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

    def __getitems__(self, batch: _Batch) -> list[Any]:
        seed_random(*batch.seed)
        if callable(getattr(self._dataset, "__getitems__", None)):
            rows: list[Any] = self._dataset.__getitems__(list(batch.rows))
            return rows
        return [self._dataset[row] for row in batch.rows]


class _NoRows(torch.utils.data.Dataset[Any]):
    """The data of a slot that has no share: one batch that stands for none."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> dict[str, torch.Tensor]:
        return {_NO_BATCH: torch.zeros(1)}


class _SeededEpochs(torch.utils.data.Sampler[Any]):
    """A sampler whose order in the n-th epoch depends on the seed and n alone, on every slot.

    ``shuffle=True`` draws its order from torch's global generator, when an epoch begins.
    """

    def __init__(self, batches: Any, seed: int) -> None:
        self._batches = batches
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        seed_random(self._seed, _EPOCH, epoch)
        batches = iter(self._batches)
        # A generator draws no earlier than for its first element.
        first = list(itertools.islice(batches, 1))
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        yield from first
        yield from batches


class _Numbered(torch.utils.data.Sampler[_Batch]):
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


class _ExactLoader(pytorch.DataLoader):
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

    def get_data_loader(
        self, repeat: bool = False, skip: int = 0, num_replicas: int = 1, rank: int = 0
    ) -> torch.utils.data.DataLoader[Any]:
        """As Determined asks for it; every call starts from the sampler's first state."""
        batches: Any = copy.deepcopy(self.batch_sampler, {id(self.dataset): self.dataset})
        if repeat:
            batches = _SeededEpochs(batches, self._seed)
        batches = pytorch.adapt_batch_sampler(
            batches, repeat=repeat, skip=skip, num_replicas=num_replicas, rank=rank
        )
        if not repeat and len(batches) == 0:
            # Determined fails on a slot without a validation batch.
            return torch.utils.data.DataLoader(_NoRows(), batch_size=None)
        numbered: Any = _Numbered(batches, (self._seed, self._purpose, rank), skip)
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


class _ExactCallback(pytorch.PyTorchCallback):
    """What has to happen beside the loop of Determined.

    Args:
        trial: the trial.
        training_loader: gives the loader that the trial has built for this run.
    """

    def __init__(self, trial: Any, training_loader: Callable[[], Any]) -> None:
        self._trial = trial
        self._context: pytorch.PyTorchTrialContext = trial.context
        self._training_loader = training_loader

    def on_checkpoint_save_start(self, checkpoint: dict[str, Any]) -> None:
        """Names weights as the model does, without the prefix of the wrapper for several slots."""
        checkpoint["models_state_dict"] = [
            _checkpoint.without_prefix(state)
            if isinstance(model, torch.nn.parallel.DistributedDataParallel)
            else state
            for model, state in zip(
                self._context.models, checkpoint["models_state_dict"], strict=True
            )
        ]

    def on_checkpoint_write_end(self, checkpoint_dir: str) -> None:
        """Keeps access tokens out of the checkpoint, which others may be given."""
        _checkpoint.forget_tokens(pathlib.Path(checkpoint_dir))

    def on_training_start(self) -> None:
        """Computes the gradients again that had been summed up for the next update at the stop.

        A checkpoint does not hold them, and those of slots other than 0 it could not. Weights and
        random numbers are as they were, so the gradients are the same.
        """
        context = self._context
        steps = context.get_initial_batch()
        first = steps - steps % context._aggregation_frequency
        if first == steps:
            return
        loader = self._training_loader()
        if not isinstance(loader, _ExactLoader):
            logger.warning(
                "The run was stopped between two updates of the weights, and the trial's loader is "
                "not Determined's: the gradients of %d batches are lost.",
                steps - first,
            )
            return
        batches = iter(
            loader.get_data_loader(
                repeat=True,
                skip=first,
                num_replicas=context.distributed.size,
                rank=context.distributed.rank,
            )
        )
        assert context._epoch_len is not None  # Set with the loaders.
        for model in context.models:
            model.train()
        for number in range(first, steps):
            context._current_batch_idx = number
            batch = next(batches)
            if context.experimental._auto_to_device:
                batch = context.to_device(batch)
            self._trial.train_batch(
                batch=batch, epoch_idx=number // context._epoch_len, batch_idx=number
            )

    def on_validation_epoch_end(self, outputs: list[Any]) -> None:
        """Takes the result of the batch away that stands for none."""
        if outputs and _NO_BATCH in outputs[0]:
            outputs.clear()


def make_exact(trial: Any) -> None:
    """Lets a trial end the same however often it is stopped, and on any share of the data.

    It replaces, on this one trial, the methods that Determined calls by ones that seed before, or
    wrap what is returned; a subclass may override them as it likes. Call it once ``trial.context``
    is there and before a model is wrapped; a second call does nothing.

    Args:
        trial: a ``PyTorchTrial`` that has ``context``.
    """
    if "train_batch" in vars(trial):
        return
    context: pytorch.PyTorchTrialContext = trial.context
    seed = _data.trial_seed(context)
    rank = context.distributed.rank
    train_batch, evaluate_batch = trial.train_batch, trial.evaluate_batch
    build_callbacks, evaluation_reducer = trial.build_callbacks, trial.evaluation_reducer
    loaders: dict[int, Any] = {}

    def replace(name: str, function: Callable[..., Any]) -> None:
        original = getattr(trial, name)
        # Determined tells by the qualified name whether a subclass has a method of its own.
        function.__name__, function.__qualname__ = original.__name__, original.__qualname__
        setattr(trial, name, function)

    def seeded_train_batch(batch: Any, epoch_idx: int, batch_idx: int) -> Any:
        seed_random(seed, _STEP, rank, batch_idx)
        return train_batch(batch=batch, epoch_idx=epoch_idx, batch_idx=batch_idx)

    def exact_loader(build: Callable[[], Any], purpose: int) -> Callable[[], Any]:
        def build_loader() -> Any:
            loader = build()
            # A loader of another kind is the trial's own responsibility.
            if type(loader) is pytorch.DataLoader and loader.batch_sampler is not None:
                loader = _ExactLoader(loader, seed, purpose)
            loaders[purpose] = loader
            return loader

        return build_loader

    def evaluate_batch_if_any(batch: Any, batch_idx: int) -> Any:
        if isinstance(batch, dict) and _NO_BATCH in batch:
            return batch
        if util.has_param(evaluate_batch, "batch_idx", 2):
            return evaluate_batch(batch=batch, batch_idx=batch_idx)
        return evaluate_batch(batch=batch)

    def reducer_of_batch_metrics() -> Any:
        loader = loaders.get(_VALIDATION)
        # For a slot without a batch, names of metrics mean nothing.
        return pytorch.Reducer.AVG if _is_empty_share(loader, context) else evaluation_reducer()

    def callbacks() -> dict[str, pytorch.PyTorchCallback]:
        return {
            # First, so that no other callback sees the batch that stands for none.
            "model_hub": _ExactCallback(trial, lambda: loaders.get(_FETCH)),
            **build_callbacks(),
        }

    wrap_model = context.wrap_model

    def wrap_model_that_loads(model: torch.nn.Module) -> torch.nn.Module:
        wrapped: torch.nn.Module = wrap_model(model)
        _checkpoint.accept_prefixed_weights(wrapped)
        return wrapped

    context.wrap_model = wrap_model_that_loads  # type: ignore[method-assign]
    replace("train_batch", seeded_train_batch)
    replace("build_training_data_loader", exact_loader(trial.build_training_data_loader, _FETCH))
    replace(
        "build_validation_data_loader",
        exact_loader(trial.build_validation_data_loader, _VALIDATION),
    )
    if util.is_overridden(evaluate_batch, pytorch.PyTorchTrial):
        replace("evaluate_batch", evaluate_batch_if_any)
        replace("evaluation_reducer", reducer_of_batch_metrics)
    replace("build_callbacks", callbacks)


def _is_empty_share(loader: Any, context: pytorch.PyTorchTrialContext) -> bool:
    if not isinstance(loader, _ExactLoader):
        return False
    return len(loader) <= context.distributed.rank
