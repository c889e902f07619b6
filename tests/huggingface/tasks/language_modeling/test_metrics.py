"""Perplexity and accuracy over tokens: the definition, any batches, and no memory for rows."""

import gc
import math
import pickle

import datasets
import hypothesis
import numpy as np
import pytest
import torch
from dealing import dealings, reduced, same
from hypothesis import strategies as st

from model_hub.huggingface.tasks import language_modeling as lm

ROWS, LENGTH, VOCABULARY = 7, 6, 5


def predictions(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(ROWS, LENGTH, VOCABULARY, generator=generator)
    targets = torch.randint(0, VOCABULARY, (ROWS, LENGTH), generator=generator)
    targets[torch.rand(ROWS, LENGTH, generator=generator) < 0.4] = -100
    targets[2] = -100  # A row without any target.
    return logits, targets


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(seed=st.integers(0, 2**16), slots=dealings(ROWS), padding=st.integers(0, 5))
def test_equals_the_definition_for_any_batches(
    seed: int, slots: list[list[list[int]]], padding: int
) -> None:
    logits, targets = predictions(seed)

    def update(reducer: lm.TokenReducer, rows: list[int]) -> None:
        # In a batch with longer rows, there is padding with any logits.
        more = (0, padding * (len(rows) % 2))
        reducer.update(
            torch.nn.functional.pad(logits[rows], (0, 0, *more), value=9.0),
            torch.nn.functional.pad(targets[rows], more, value=-100),
        )

    metrics = reduced(lm.TokenReducer, update, slots)
    counted = targets != -100
    probabilities = logits.double().softmax(-1)[counted]
    chosen = probabilities[torch.arange(len(probabilities)), targets[counted]]
    loss = float(-chosen.log().mean())
    assert metrics["validation_loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert metrics["token_accuracy"] == pytest.approx(
        float((probabilities.argmax(-1) == targets[counted]).double().mean())
    )
    at_once = reduced(lm.TokenReducer, update, [[list(range(ROWS))]])
    assert same(metrics, at_once)


def test_it_is_not_a_mean_of_means() -> None:
    logits, targets = predictions(0)
    targets[0], targets[1, 1:] = 0, -100
    metrics = reduced(
        lm.TokenReducer, lambda r, rows: r.update(logits[rows], targets[rows]), [[[0], [1]]]
    )
    means = [
        float(torch.nn.functional.cross_entropy(logits[n], targets[n], ignore_index=-100))
        for n in (0, 1)
    ]
    assert metrics["perplexity"] != pytest.approx(math.exp(sum(means) / 2), rel=1e-2)


def test_nothing_counted_or_not_finite() -> None:
    logits, targets = predictions(1)
    none = reduced(lm.TokenReducer, lambda r, rows: None, [[], []])
    assert all(math.isnan(value) for value in none.values())
    logits[0] = math.nan
    targets[0] = 1
    metrics = reduced(
        lm.TokenReducer, lambda r, rows: r.update(logits[rows], targets[rows]), [[[0, 1]]]
    )
    assert math.isnan(metrics["perplexity"]) and math.isnan(metrics["validation_loss"])


def test_perplexity_may_be_beyond_floats() -> None:
    logits = torch.zeros(1, 1, 2)
    logits[0, 0, 0] = 1000
    reducer = lm.TokenReducer()
    reducer.update(logits, torch.ones(1, 1, dtype=torch.long))
    metrics = reducer.cross_slot_reduce([reducer.per_slot_reduce()])
    assert metrics["perplexity"] == math.inf and metrics["validation_loss"] == 1000


def tensor_bytes() -> int:
    gc.collect()
    tensors = [each for each in gc.get_objects() if torch.is_tensor(each)]
    return sum(each.untyped_storage().nbytes() for each in tensors)


def test_memory_does_not_grow_with_the_validation_data() -> None:
    sizes = []
    for times in (1, 8):
        reducer = lm.TokenReducer()
        before = tensor_bytes()
        for batch in range(10 * times):
            reducer.update(*predictions(batch))
        sizes.append((tensor_bytes() - before, len(pickle.dumps(reducer.per_slot_reduce()))))
        del reducer
    assert sizes[0] == sizes[1]
    assert sizes[0][0] < 100  # A few numbers.


def test_unigram_metrics() -> None:
    metrics = lm.unigram_metrics(np.array([3, 1, 0]), np.array([1, 1, 2]))
    # With one added to each: 4/7, 2/7, 1/7.
    expected = (4 / 7 * 2 / 7 * (1 / 7) ** 2) ** (-1 / 4)
    assert metrics["perplexity"] == pytest.approx(expected)
    assert metrics["token_accuracy"] == 0.25
    assert math.isnan(lm.unigram_metrics(np.ones(3), np.zeros(3))["perplexity"])


def test_unigram_baseline_counts_targets_only(caplog: pytest.LogCaptureFixture) -> None:
    blocks = datasets.Dataset.from_dict({"input_ids": [[0, 1, 1], [0], [], [0, 2]]})
    masked = datasets.Dataset.from_dict(
        {"input_ids": [[0, 1], [2]], "special_tokens_mask": [[1, 0], [0]]}
    )
    labelled = datasets.Dataset.from_dict(
        {"input_ids": [[0, 1], [2]], "labels": [[-100, 1], [-100]]}
    )
    from model_hub.huggingface.tasks._common.unigram import token_counts

    assert token_counts(blocks, 4).tolist() == [3, 2, 1, 0]
    assert token_counts(blocks, 4, next_token=True).tolist() == [0, 2, 1, 0]
    assert token_counts(masked, 4).tolist() == [0, 1, 1, 0]
    assert token_counts(labelled, 4).tolist() == [0, 1, 0, 0]
    caplog.set_level("INFO", logger="model_hub")
    lm.log_unigram_baseline(blocks, blocks, 4, next_token=True)
    assert "baseline" in caplog.text and "perplexity" in caplog.text


@pytest.mark.parametrize(("train", "validation"), [([[0, 9]], [[1, 5]]), ([[1]], [[7, 0]])])
def test_tokens_whose_numbers_have_gaps(
    train: list[list[int]], validation: list[list[int]]
) -> None:
    """A tokenizer of four tokens, the last of which has a higher number than 3."""
    rows = [datasets.Dataset.from_dict({"input_ids": ids}) for ids in (train, validation)]
    metrics = lm.log_unigram_baseline(*rows, 4)
    seen, asked = (np.bincount(np.concatenate(ids), minlength=10) for ids in (train, validation))
    highest = max(4, max(np.flatnonzero(seen + asked)) + 1)
    probabilities = (seen[:highest] + 1) / (seen.sum() + highest)
    expected = math.exp(-(asked[:highest] * np.log(probabilities)).sum() / asked.sum())
    assert metrics["perplexity"] == pytest.approx(expected)
