"""The options of the YAML on a trial's context, beside what the trial itself changes there."""

import logging
from typing import Any

import pytest
import torch
from determined import pytorch

from model_hub.huggingface.training.context import set_up_context

HPARAMS = {"freeze": "0.*", "use_apex_amp": True}


def new_model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))


def trainable(model: torch.nn.Module) -> list[bool]:
    return [weight.requires_grad for weight in model.parameters()]


def mark(context: Any, name: str, calls: list[str]) -> None:
    """Replace ``wrap_model`` as a trial may do it: by a function that calls what was there."""
    replaced = context.wrap_model

    def wrap_model(model: torch.nn.Module) -> Any:
        calls.append(name)
        return replaced(model)

    context.wrap_model = wrap_model


def test_methods_that_the_trial_replaced_are_called() -> None:
    calls: list[str] = []
    with pytorch.init(hparams=HPARAMS, exp_conf={}) as context:
        mark(context, "before", calls)
        set_up_context(context, HPARAMS, {})
        mark(context, "between", calls)
        # A trial checks its hyperparameters, which it may have changed.
        set_up_context(context, {"freeze": "1.*"}, {})
        mark(context, "after", calls)
        model: Any = context.wrap_model(new_model())
    assert calls == ["after", "between", "before"]
    assert trainable(model) == [True, True, False, False]
    assert context.models == [model]


def test_each_model_gets_the_options_and_a_warning_comes_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        pytorch.init(hparams=HPARAMS, exp_conf={}) as context,
        caplog.at_level(logging.INFO, "model_hub"),
    ):
        set_up_context(context, HPARAMS, {})
        set_up_context(context, HPARAMS, {})
        models: list[Any] = [context.wrap_model(new_model()) for _ in range(2)]
    assert [trainable(model) for model in models] == [[False, False, True, True]] * 2
    about_apex = [text for text in caplog.messages if "use_apex_amp" in text]
    assert len(about_apex) == 1 and ("no GPU" in about_apex[0] or "fp16" in about_apex[0])
