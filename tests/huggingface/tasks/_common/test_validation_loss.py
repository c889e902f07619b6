"""Validation losses are the training's losses over all rows, however they are dealt to slots."""

import math
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import torch
from dealing import dealings, reduced, same

from model_hub.huggingface.tasks import multiple_choice as mc
from model_hub.huggingface.tasks import token_classification as token
from model_hub.huggingface.tasks.text_classification.reducer import (
    ClassificationReducer,
    RegressionReducer,
)

ROWS = 7
GENERATOR = torch.Generator().manual_seed(3)
SCORES = torch.randn(ROWS, 5, 4, generator=GENERATOR)
CLASSES = torch.randint(0, 4, (ROWS, 5), generator=GENERATOR)
# Rows of different lengths: each token has the same weight.
TAGS = CLASSES.masked_fill(torch.arange(5) > torch.arange(ROWS)[:, None], -100)
CHOICES = torch.tensor([[True] * 4, [True, True, False, False]] * 4)[:ROWS]
RIGHT = torch.tensor([3, 1, 0, 0, 2, 1, 3])
NUMBERS = torch.randn(ROWS, generator=GENERATOR)


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> float:
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, -2), targets.flatten()))


Update = Callable[[Any, list[int]], None]
CASES: dict[str, tuple[Callable[[], Any], Update, float]] = {
    "token": (
        lambda: token.TokenClassificationReducer(["O", "B-x", "I-x", "B-y"]),
        lambda reducer, rows: reducer.update(SCORES[rows], TAGS[rows]),
        cross_entropy(SCORES, TAGS),
    ),
    "choice": (
        mc.MultipleChoiceReducer,
        lambda reducer, rows: reducer.update(SCORES[rows, 0], RIGHT[rows], CHOICES[rows]),
        float(mc.choice_loss(SCORES[:, 0], RIGHT, CHOICES)),
    ),
    "text": (
        lambda: ClassificationReducer(4, ["accuracy"]),
        lambda reducer, rows: reducer.update(SCORES[rows, 0], CLASSES[rows, 0]),
        cross_entropy(SCORES[:, 0], CLASSES[:, 0]),
    ),
    "regression": (
        lambda: RegressionReducer(["mse"]),
        lambda reducer, rows: reducer.update(SCORES[rows, 0, :1], NUMBERS[rows]),
        float(torch.nn.functional.mse_loss(SCORES[:, 0, 0], NUMBERS)),
    ),
}


@pytest.mark.parametrize("case", CASES)
@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(slots=dealings(ROWS))
def test_is_the_loss_of_all_rows(case: str, slots: list[list[list[int]]]) -> None:
    make, update, expected = CASES[case]
    metrics = reduced(make, update, slots)
    assert metrics["validation_loss"] == pytest.approx(expected, rel=1e-5)
    assert same(metrics, reduced(make, update, [[list(range(ROWS))], []]))


def test_each_split_has_its_own() -> None:
    reducer = ClassificationReducer(4, ["accuracy"], suffixes=("", "_mismatched"))
    split = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    reducer.update(SCORES[:4, 0], CLASSES[:4, 0], split[:4])
    reducer.update(SCORES[4:, 0], CLASSES[4:, 0], split[4:])
    metrics = reducer.cross_slot_reduce([reducer.per_slot_reduce()])
    for number, name in enumerate(("validation_loss", "validation_loss_mismatched")):
        rows = split == number
        expected = cross_entropy(SCORES[rows, 0], CLASSES[rows, 0])
        assert metrics[name] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_of_nothing_there_is_none(case: str) -> None:
    make, _, _ = CASES[case]
    reducer = make()
    assert math.isnan(reducer.cross_slot_reduce([reducer.per_slot_reduce()])["validation_loss"])


def test_a_loss_that_is_not_finite_is_told() -> None:
    reducer = ClassificationReducer(4, ["accuracy"])
    reducer.update(SCORES[:2, 0], CLASSES[:2, 0])
    reducer.update(torch.full((1, 4), torch.nan), CLASSES[:1, 0])
    assert math.isnan(reducer.cross_slot_reduce([reducer.per_slot_reduce()])["validation_loss"])
