"""What a reducer keeps does not grow with the validation data."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import model_hub.huggingface.tasks.language_modeling as language_modeling
import model_hub.huggingface.tasks.text_classification as text_classification
import model_hub.huggingface.tasks.token_classification as token_classification

TAGS = ["O", "B-PER", "I-PER"]


def classify(reducer: Any) -> None:
    reducer.update(torch.randn(8, 3), torch.randint(0, 3, (8,)))


def tag(reducer: Any) -> None:
    reducer.update(torch.randn(8, 16, len(TAGS)), torch.randint(0, len(TAGS), (8, 16)))


def predict_tokens(reducer: Any) -> None:
    reducer.update(torch.randn(8, 16, 100), torch.randint(0, 100, (8, 16)))


def kept_bytes(value: Any) -> int:
    """Of all tensors that an object holds, also in lists and mappings."""
    if isinstance(value, torch.Tensor):
        return value.untyped_storage().nbytes()
    if isinstance(value, dict):
        return sum(map(kept_bytes, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(kept_bytes, value))
    return kept_bytes(vars(value)) if hasattr(value, "__dict__") else 0


@pytest.mark.parametrize(
    ("make", "update"),
    [
        (lambda: text_classification.ClassificationReducer(3, ("accuracy",)), classify),
        (lambda: token_classification.TokenClassificationReducer(TAGS), tag),
        (language_modeling.TokenReducer, predict_tokens),
    ],
)
def test_as_much_after_eight_times_the_data(
    make: Callable[[], Any], update: Callable[[Any], None]
) -> None:
    sizes = []
    for batches in (4, 32):
        reducer = make()
        reducer.reset()
        for _ in range(batches):
            update(reducer)
        sizes.append(kept_bytes(reducer))
    # Something is kept, or this would show nothing.
    assert 0 < sizes[0] == sizes[1] < 10_000
