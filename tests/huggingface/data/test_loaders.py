"""The order in which samples of similar length share batches."""

import numpy as np
import pytest

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
