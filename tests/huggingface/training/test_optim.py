"""Schedules that depend on a metric are stepped after validations, as `Trainer` does it."""

import types
from typing import Any

import pytest
import torch

import model_hub.huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.training import callbacks, optim


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def context(batch: int | None) -> Any:
    return types.SimpleNamespace(_current_batch_idx=batch, get_initial_batch=lambda: 0)


def plateau(sgd: torch.optim.Optimizer) -> Any:
    kwargs = hf.LRSchedulerKwargs(
        None, "reduce_lr_on_plateau", lr_scheduler_kwargs={"patience": 0, "factor": 0.5}
    )
    return hf.build_default_lr_scheduler(sgd, kwargs)


def test_the_rate_is_lowered_when_the_metric_does_not_improve() -> None:
    sgd = optimizer()
    callback = callbacks.MetricScheduleCallback(plateau(sgd), context(7), "loss")
    rates = []
    for value in (1.0, 0.5, 0.75, 0.75):
        callback.on_validation_end({"loss": value, "other": 0.0})
        rates.append(sgd.param_groups[0]["lr"])
    assert rates == [1.0, 1.0, 0.5, 0.25]


def test_a_validation_of_the_untrained_model_does_not_count() -> None:
    sgd = optimizer()
    scheduler = plateau(sgd)
    callback = callbacks.MetricScheduleCallback(scheduler, context(None), "loss")
    before = scheduler.state_dict()
    callback.on_validation_end({"loss": 1.0})
    assert scheduler.state_dict() == before


@pytest.mark.parametrize("metric", [None, "accuracy"])
def test_a_metric_that_is_not_reported(metric: str | None) -> None:
    callback = callbacks.MetricScheduleCallback(plateau(optimizer()), context(1), metric)
    with pytest.raises(UserError, match=r"searcher\.metric is .*loss"):
        callback.on_validation_end({"loss": 1.0})


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant"])
def test_other_schedules_do_not_depend_on_a_metric(kind: str) -> None:
    scheduler = hf.build_default_lr_scheduler(optimizer(), hf.LRSchedulerKwargs(5, kind))
    assert not optim.steps_on_metric(scheduler)
    assert optim.steps_on_metric(plateau(optimizer()))
