"""An update is that of one large batch, however the batch is shared out."""

import copy
import types
from typing import Any

import pytest
import torch

from model_hub.huggingface.tasks import language_modeling as lm

ROWS, LENGTH, WIDTH, VOCABULARY = 8, 6, 4, 7


class Context:
    """What of Determined's context a step uses, on one slot, as Determined does it."""

    def __init__(self, batches: int, average: bool = True, **hparams: Any) -> None:
        self.distributed = types.SimpleNamespace(size=1)
        self._aggregation_frequency = batches
        self._average = average
        self._hparams = hparams
        self._optimizer_configs: dict[Any, dict[str, bool]] = {}
        self._batch = 0

    def wrap(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer_configs[optimizer] = {"average_aggregated_gradients": self._average}

    def get_hparams(self) -> dict[str, Any]:
        return self._hparams

    def backward(self, loss: torch.Tensor) -> None:
        loss.backward()

    def step_optimizer(self, optimizer: torch.optim.Optimizer, clip: Any) -> None:
        self._batch += 1
        if self._batch % self._aggregation_frequency:
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self._average:
            for parameter in parameters:
                parameter.grad.div_(self._aggregation_frequency)
        clip(parameters)
        optimizer.step()
        optimizer.zero_grad()


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(ROWS, LENGTH, WIDTH, generator=generator)
    targets = torch.randint(0, VOCABULARY, (ROWS, LENGTH), generator=generator)
    # Very uneven: from one target in a row to all.
    for row in range(ROWS):
        targets[row, 1 + row * LENGTH // ROWS :] = -100
    targets[4:6] = -100
    return inputs, targets


def trained(
    batches: list[list[int]],
    per_update: int,
    average: bool = True,
    clip: Any = None,
    **hparams: Any,
) -> tuple[torch.Tensor, list[float]]:
    torch.manual_seed(0)
    model = torch.nn.Linear(WIDTH, VOCABULARY)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.7)
    context = Context(per_update, average, **hparams)
    context.wrap(optimizer)
    step = lm.TokenMeanStep(context, optimizer, clip)  # type: ignore[arg-type]
    inputs, targets = data()
    losses = [float(step(model(inputs[rows]), targets[rows])) for rows in batches]
    return model.weight.detach(), losses


EVERY_ROW = list(range(ROWS))


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize(
    "batches",
    [
        [EVERY_ROW[:4], EVERY_ROW[4:]],
        [[n] for n in EVERY_ROW],
        # The first one without any target.
        [[4, 5], [0, 1, 2], [3, 6, 7]],
    ],
)
def test_accumulated_is_as_one_large_batch(batches: list[list[int]], average: bool) -> None:
    whole, _ = trained([EVERY_ROW] * 3, 1)
    parts, _ = trained(batches * 3, len(batches), average)
    assert torch.allclose(whole, parts, atol=1e-6)


def test_it_is_torchs_mean_of_the_large_batch() -> None:
    weight, losses = trained([EVERY_ROW], 1)
    torch.manual_seed(0)
    model = torch.nn.Linear(WIDTH, VOCABULARY)
    inputs, targets = data()
    loss = torch.nn.functional.cross_entropy(
        model(inputs).flatten(0, 1), targets.flatten(), ignore_index=-100
    )
    loss.backward()
    assert torch.allclose(weight, model.weight - 0.7 * model.weight.grad, atol=1e-6)
    assert losses == pytest.approx([loss.item()])


@pytest.mark.parametrize("count", range(1, 120))
def test_a_mean_over_all_there_is_stays_as_it_is(count: int) -> None:
    """To the bit, as a model's own loss without these steps."""
    torch.manual_seed(count)
    weights = [torch.randn(3, requires_grad=True) for _ in range(2)]
    weights[1].data.copy_(weights[0].data)
    (weights[0].exp().mean() / 3).backward()
    optimizer = torch.optim.SGD([weights[1]], lr=0.0)
    context, seen = Context(1), []
    context.wrap(optimizer)
    clip = lambda parameters: seen.extend(p.grad.clone() for p in parameters)  # noqa: E731
    step = lm.TokenMeanStep(context, optimizer, clip)  # type: ignore[arg-type]
    loss = weights[1].exp().mean() / 3
    told = step.of_mean(loss, torch.zeros(1, count, dtype=torch.int64))
    assert torch.equal(seen[0], weights[0].grad) and torch.equal(told, loss.detach())


def test_a_mean_of_means_would_be_another_one() -> None:
    """The mistake that this is about; the data is so that it shows."""
    whole, _ = trained([EVERY_ROW], 1)
    torch.manual_seed(0)
    model = torch.nn.Linear(WIDTH, VOCABULARY)
    inputs, targets = data()
    for rows in (EVERY_ROW[:4], EVERY_ROW[4:]):
        torch.nn.functional.cross_entropy(
            model(inputs[rows]).flatten(0, 1), targets[rows].flatten(), ignore_index=-100
        ).div(2).backward()
    assert not torch.allclose(whole, model.weight - 0.7 * model.weight.grad, atol=1e-3)


def test_gradients_are_clipped_after_they_are_weighted() -> None:
    norms: list[float] = []

    def clip(parameters: list[torch.Tensor]) -> None:
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters, 0.1)))

    whole, _ = trained([EVERY_ROW], 1, clip=clip)
    parts, _ = trained([EVERY_ROW[:3], EVERY_ROW[3:]], 2, clip=clip)
    assert norms[0] == pytest.approx(norms[1], rel=1e-5) and norms[0] > 0.1
    assert torch.allclose(whole, parts, atol=1e-6)


def test_no_target_at_all_changes_nothing() -> None:
    before, _ = trained([], 1)
    after, losses = trained([[4], [5]], 1)
    assert torch.equal(before, after) and losses == [0, 0]


def test_label_smoothing_is_trainers() -> None:
    from transformers.trainer_pt_utils import LabelSmoother

    _, losses = trained([EVERY_ROW], 1, label_smoothing_factor=0.2)
    torch.manual_seed(0)
    model = torch.nn.Linear(WIDTH, VOCABULARY)
    inputs, targets = data()
    expected = LabelSmoother(epsilon=0.2)({"logits": model(inputs)}, copy.deepcopy(targets))
    assert losses == pytest.approx([expected.item()], rel=1e-5)
