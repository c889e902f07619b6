"""The order of the rows: which batch and which slot has them."""

import pathlib
from typing import Any

import datasets
import determined
import numpy as np
import pytest
import torch
from determined import core, pytorch

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.data.loaders import LengthGroupedSampler

LENGTHS = np.random.default_rng(0).integers(1, 400, 2410)


BATCH = 12


def batches_of(order: list[int]) -> list[list[int]]:
    return [order[begin : begin + BATCH] for begin in range(0, len(order), BATCH)]


def padded(order: list[int]) -> int:
    """Tokens that a model computes: every row as long as the longest of its batch."""
    return sum(len(rows) * int(LENGTHS[rows].max()) for rows in batches_of(order))


def test_every_row_once_with_little_padding() -> None:
    order = list(LengthGroupedSampler(LENGTHS, BATCH, seed=1))
    assert sorted(order) == list(range(len(LENGTHS)))
    shuffled = np.random.default_rng(1).permutation(len(LENGTHS)).tolist()
    assert padded(order) < 1.05 * LENGTHS.sum() < 0.6 * padded(shuffled)


def test_lengths_of_successive_batches_are_not_in_order() -> None:
    order = list(LengthGroupedSampler(LENGTHS, BATCH, seed=1))
    lengths = [LENGTHS[rows].max() for rows in batches_of(order)]
    assert abs(np.corrcoef(lengths[:-1], lengths[1:])[0, 1]) < 0.2


def test_longest_row_comes_first() -> None:
    for epoch in range(3):
        sampler = LengthGroupedSampler(LENGTHS, BATCH, seed=epoch)
        assert LENGTHS[list(sampler)[:BATCH]].max() == LENGTHS.max()


def test_order_follows_from_seed_and_epoch() -> None:
    one, same = (LengthGroupedSampler(LENGTHS, BATCH, seed=3) for _ in range(2))
    epochs = [list(one) for _ in range(2)]
    assert epochs == [list(same) for _ in range(2)]
    assert epochs[0] != epochs[1]
    sets = [{frozenset(rows) for rows in batches_of(epoch)} for epoch in epochs]
    assert len(sets[0] & sets[1]) < 5
    assert list(LengthGroupedSampler(LENGTHS, BATCH, seed=4)) != epochs[0]


@pytest.mark.parametrize("rows", [0, 1, BATCH - 1, BATCH, BATCH + 1, 4 * BATCH + 5])
def test_few_rows(rows: int) -> None:
    order = list(LengthGroupedSampler(LENGTHS[:rows], BATCH, seed=1))
    assert sorted(order) == list(range(rows))
    if rows >= BATCH:
        whole = order[: rows // BATCH * BATCH]
        assert LENGTHS[order[:BATCH]].max() == LENGTHS[whole].max()


def new_context(
    slots: int = 1, rank: int = 0, seed: int | None = 5, config: dict[str, Any] | None = None
) -> pytorch.PyTorchTrialContext:
    """A genuine context as the slot of that rank has it."""
    distributed = core.DummyDistributedContext()
    distributed.size, distributed.rank = slots, rank
    core_context = core.Context(
        distributed=distributed,
        checkpoint=core.DummyCheckpointContext(distributed, determined.common.storage),
        preempt=core.DummyPreemptContext(distributed),
        train=core.DummyTrainContext(pathlib.Path()),
    )
    return pytorch.PyTorchTrialContext(
        core_context=core_context,
        trial_seed=seed,
        hparams={"global_batch_size": 4},
        slots_per_trial=slots,
        num_gpus=0,
        exp_conf=config,
        aggregation_frequency=1,
        steps_completed=0,
        managed_training=True,
        debug_enabled=False,
    )


NUMBERS = datasets.Dataset.from_dict({"number": list(range(18))})


def collate(rows: list[dict[str, int]]) -> list[int]:
    return [row["number"] for row in rows]


def batches(
    loader: pytorch.DataLoader, count: int, slots: int = 1, rank: int = 0, skip: int = 0
) -> list[list[int]]:
    """The first batches that Determined's loop draws from a training loader."""
    torch_loader = loader.get_data_loader(repeat=True, skip=skip, num_replicas=slots, rank=rank)
    iterator = iter(torch_loader)
    return [next(iterator) for _ in range(count)]


class TestTrainingDataLoader:
    def loader(self, **context: Any) -> pytorch.DataLoader:
        return hf.training_data_loader(new_context(**context), NUMBERS, collate)

    def test_every_epoch_is_another_order_of_all_rows(self) -> None:
        loader = self.loader()
        assert len(loader) == 5
        drawn = batches(loader, 15)
        assert [len(batch) for batch in drawn] == [4, 4, 4, 4, 2] * 3
        epochs = [[n for batch in drawn[i : i + 5] for n in batch] for i in (0, 5, 10)]
        assert all(sorted(epoch) == list(range(18)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in [*epochs, range(18)]}) == 4

    def test_order_follows_from_the_seed_alone(self) -> None:
        first = batches(self.loader(), 12)
        torch.manual_seed(123)
        assert batches(self.loader(), 12) == first
        assert batches(self.loader(seed=6), 12) != first

    def test_after_a_pause_it_goes_on(self) -> None:
        drawn = batches(self.loader(), 12)
        for skip in (1, 5, 7):
            assert batches(self.loader(), 12 - skip, skip=skip) == drawn[skip:]

    def test_slots_share_one_order(self) -> None:
        shares = [batches(self.loader(slots=2, rank=r), 9, slots=2, rank=r) for r in (0, 1)]
        assert all(len(batch) == 2 for share in shares for batch in share)
        together = [n for pair in zip(*shares, strict=True) for batch in pair for n in batch]
        assert sorted(together[:18]) == sorted(together[18:]) == list(range(18))
        # The order is that of one slot with the same seed.
        one = [n for batch in batches(self.loader(), 10) for n in batch]
        assert together == one

    def test_drop_last(self) -> None:
        loader = hf.training_data_loader(new_context(), NUMBERS, collate, drop_last=True)
        assert {len(batch) for batch in batches(loader, 12)} == {4}

    def test_worker_processes_change_nothing(self) -> None:
        loader = hf.training_data_loader(new_context(), NUMBERS, collate, num_workers=2)
        assert batches(loader, 7) == batches(self.loader(), 7)

    def test_nothing_to_train_on(self) -> None:
        with pytest.raises(UserError, match="no training data left"):
            hf.training_data_loader(new_context(), NUMBERS.select([]), collate)

    @pytest.mark.parametrize(
        ("seed", "config", "expected"),
        [
            (5, {"reproducibility": {"experiment_seed": 7}}, 5),
            (0, {"reproducibility": {"experiment_seed": 7}}, 0),
            (None, {"reproducibility": {"experiment_seed": 7}}, 7),
            (None, {"reproducibility": None}, 0),
            (None, {}, 0),
            (None, None, 0),
        ],
    )
    def test_seed(self, seed: int | None, config: dict[str, Any] | None, expected: int) -> None:
        assert hf.trial_seed(new_context(seed=seed, config=config)) == expected


class TestValidationDataLoader:
    def test_once_in_order(self) -> None:
        loader = hf.validation_data_loader(new_context(), NUMBERS, collate)
        assert [n for batch in loader for n in batch] == list(range(18))
        assert [len(batch) for batch in loader] == [4, 4, 4, 4, 2]

    def test_slots_get_every_row_once(self) -> None:
        rows = []
        for rank in (0, 1, 2):
            loader = hf.validation_data_loader(new_context(slots=2, rank=0), NUMBERS, collate)
            share = loader.get_data_loader(repeat=False, num_replicas=3, rank=rank)
            rows += [n for batch in share for n in batch]
        assert sorted(rows) == list(range(18))

    def test_nothing_to_validate_on(self) -> None:
        with pytest.raises(UserError, match="no validation data left"):
            hf.validation_data_loader(new_context(), NUMBERS.select([]), collate)
