"""The vectorised n-best selection equals comparing all pairs."""

import math

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from model_hub.huggingface.tasks.question_answering.spans import select_n_best_spans

Span = tuple[float, int, int]


def all_pairs(
    start_logits: torch.Tensor,
    end_logits: torch.Tensor,
    begin: int,
    end: int,
    n_best_size: int,
    max_answer_length: int,
) -> list[Span]:
    """Every allowed span of one feature, compared one by one; ties by start, then end."""
    starts = start_logits.float().numpy()
    ends = end_logits.float().numpy()
    spans = [
        (float(np.float32(starts[first]) + np.float32(ends[last])), first, last)
        for first in range(begin, end)
        for last in range(first, min(end, first + max_answer_length))
    ]
    spans = [span for span in spans if span[0] > -math.inf]
    return sorted(spans, key=lambda span: (-span[0], span[1], span[2]))[:n_best_size]


def found(candidates: tuple[torch.Tensor, torch.Tensor, torch.Tensor], row: int) -> list[Span]:
    start, end, score = (tensor[row].tolist() for tensor in candidates)
    return [span for span in zip(score, start, end, strict=True) if span[0] > -math.inf]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    batch, length = draw(st.integers(1, 4)), draw(st.integers(1, 24))
    dtype = draw(st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
    seed = draw(st.integers(0, 2**31))
    # Few different values make many ties.
    levels = draw(st.sampled_from([1, 3, 1000]))
    random = np.random.default_rng(seed)
    logits = [
        torch.tensor(random.integers(-levels, levels + 1, (batch, length)) / 8.0).to(dtype)
        for _ in range(2)
    ]
    bounds = np.sort(random.integers(0, length + 1, (batch, 2)), axis=1)
    return {
        "start_logits": logits[0],
        "end_logits": logits[1],
        "bounds": bounds,
        "n_best_size": draw(st.integers(1, 40)),
        "max_answer_length": draw(st.integers(1, 30)),
    }


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(cases())
def test_equals_all_pairs(case: dict) -> None:
    bounds = case.pop("bounds")
    candidates = select_n_best_spans(
        **case, context_begin=torch.tensor(bounds[:, 0]), context_end=torch.tensor(bounds[:, 1])
    )
    limits = (case["n_best_size"], case["max_answer_length"])
    assert candidates.score.dtype == torch.float32
    assert candidates.start.dtype == candidates.end.dtype == torch.int64
    for row, (begin, end) in enumerate(bounds.tolist()):
        assert candidates.start[row].shape == (case["n_best_size"],)
        expected = all_pairs(
            case["start_logits"][row], case["end_logits"][row], begin, end, *limits
        )
        assert found(candidates, row) == expected


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(cases(), st.integers(0, 5), st.integers(0, 5))
def test_padding_only_moves_the_spans(case: dict, left: int, right: int) -> None:
    bounds = torch.tensor(case.pop("bounds"))
    plain = select_n_best_spans(**case, context_begin=bounds[:, 0], context_end=bounds[:, 1])
    for name in ("start_logits", "end_logits"):
        case[name] = torch.nn.functional.pad(case[name], (left, right), value=99.0)
    padded = select_n_best_spans(
        **case, context_begin=bounds[:, 0] + left, context_end=bounds[:, 1] + left
    )
    some = plain.score > -math.inf
    assert torch.equal(plain.score, padded.score)
    assert torch.equal(plain.start[some], padded.start[some] - left)
    assert torch.equal(plain.end[some], padded.end[some] - left)


def select_all(
    start_logits: torch.Tensor, end_logits: torch.Tensor, n_best_size: int = 10
) -> list[Span]:
    candidates = select_n_best_spans(
        start_logits[None],
        end_logits[None],
        context_begin=torch.tensor([0]),
        context_end=torch.tensor([len(start_logits)]),
        n_best_size=n_best_size,
        max_answer_length=30,
    )
    return found(candidates, 0)


def test_zeros_of_both_signs_are_equal() -> None:
    spans = select_all(torch.tensor([-0.0, 0.0]), torch.tensor([-0.0, 0.0]))
    assert [span[1:] for span in spans] == [(0, 0), (0, 1), (1, 1)]


def test_logits_that_are_no_numbers_make_no_span() -> None:
    assert select_all(torch.tensor([math.nan, 1.0]), torch.tensor([5.0, -math.inf])) == []
    starts, ends = torch.tensor([math.nan, 1.0, 0.0]), torch.tensor([5.0, 2.0, math.nan])
    assert select_all(starts, ends, n_best_size=1) == [(3.0, 1, 1)]


@pytest.mark.parametrize("n_best_size", [1, 20])
def test_never_waits_for_the_device(n_best_size: int) -> None:
    # Tensors on the device "meta" have no values: whatever needs one on the host fails there.
    logits = torch.empty(64, 512, dtype=torch.bfloat16, device="meta")
    bounds = torch.empty(64, dtype=torch.int64, device="meta")
    candidates = select_n_best_spans(
        logits,
        logits,
        context_begin=bounds,
        context_end=bounds,
        n_best_size=n_best_size,
        max_answer_length=30,
    )
    assert candidates.score.shape == (64, n_best_size)
