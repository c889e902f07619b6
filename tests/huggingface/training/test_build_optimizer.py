"""Optimizers and learning-rate schedules: what is built by default, and by name."""

import importlib.util
import json
from typing import Any

import pytest
import tiny
import torch
import transformers
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from transformers.optimization import AdafactorSchedule, GreedyLR
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.training.optim import DeferredLRScheduler, num_warmup_steps

# Mode of the contract -> a family of models that has it, and the Auto class.


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    transformers.utils.logging.disable_progress_bar()


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(tiny.bert_config())


class TestOptimizer:
    def test_default_is_adamw_of_torch(self, model: torch.nn.Module) -> None:
        optimizer = hf.build_default_optimizer(model, hf.OptimizerKwargs(weight_decay=0.1))
        assert type(optimizer) is torch.optim.AdamW
        assert optimizer.defaults["lr"] == 5e-5
        assert optimizer.defaults["betas"] == (0.9, 0.999)
        assert optimizer.defaults["eps"] == 1e-8

    def test_decay_is_for_matrices_outside_of_normalisation(self, model: torch.nn.Module) -> None:
        optimizer = hf.build_default_optimizer(model, hf.OptimizerKwargs(weight_decay=0.1))
        decayed, others = (group["params"] for group in optimizer.param_groups)
        assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        assert all(parameter.ndim == 2 for parameter in decayed)
        for parameter in others:
            assert "bias" in names[id(parameter)] or "LayerNorm" in names[id(parameter)]
        assert len(decayed) + len(others) == len(names)
        assert decayed
        assert others

    def test_frozen_parameters_are_left_out(self, model: torch.nn.Module) -> None:
        for parameter in model.bert.parameters():
            parameter.requires_grad = False
        optimizer = hf.build_default_optimizer(model, hf.OptimizerKwargs())
        assert sum(len(group["params"]) for group in optimizer.param_groups) == 2

    @pytest.mark.parametrize("kwargs", [{"adafactor": True}, {"optim": "adafactor"}])
    def test_adafactor(self, model: torch.nn.Module, kwargs: dict[str, Any]) -> None:
        optimizer = hf.build_default_optimizer(model, hf.OptimizerKwargs(**kwargs))
        assert type(optimizer) is transformers.Adafactor
        assert optimizer.defaults["lr"] == 5e-5
        assert not optimizer.defaults["scale_parameter"]
        assert not optimizer.defaults["relative_step"]

    def test_options_of_adafactor(self, model: torch.nn.Module) -> None:
        kwargs = hf.OptimizerKwargs(adafactor=True, scale_parameter=True, learning_rate=1e-3)
        optimizer = hf.build_default_optimizer(model, kwargs)
        assert optimizer.defaults["scale_parameter"]
        assert optimizer.defaults["lr"] == 1e-3
        kwargs = hf.OptimizerKwargs(adafactor=True, relative_step=True, weight_decay=0.1)
        optimizer = hf.build_default_optimizer(model, kwargs)
        assert optimizer.defaults["relative_step"]
        assert optimizer.defaults["lr"] is None
        assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]

    def test_relative_steps_train(self, model: torch.nn.Module) -> None:
        kwargs = hf.OptimizerKwargs(adafactor=True, relative_step=True, scale_parameter=True)
        optimizer = hf.build_default_optimizer(model, kwargs)
        schedule = hf.build_default_lr_scheduler(optimizer, hf.LRSchedulerKwargs(None))
        assert type(schedule) is AdafactorSchedule
        before = model.classifier.weight.detach().clone()
        for _ in range(3):
            model(torch.tensor([[2, 5, 3]]), labels=torch.tensor([1])).loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        assert not torch.equal(before, model.classifier.weight)
        schedule.load_state_dict(schedule.state_dict())

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"optim": "adamw_torhc"}, "optim: 'adamw_torhc'.*did you mean adamw_torch.*sgd"),
            ({"optim": "sgd", "adafactor": True}, "contradict each other; remove adafactor"),
            ({"optim": "lomo"}, "'lomo' updates weights inside of the backward pass"),
            ({"optim": "sgd", "optim_args": "momentum=much"}, "sgd cannot be built.*much"),
            ({"learning_rate": -1.0}, r"^hyperparameters\.learning_rate is -1\.0, .*at least 0"),
            ({"max_grad_norm": -1}, r"^hyperparameters\.max_grad_norm is -1, .*at least 0"),
            ({"learning_rate": float("nan")}, r"^hyperparameters\.learning_rate is nan"),
            ({"adam_beta1": 2.0}, "adam_beta1 is 2.0, but should be at least 0 and below 1"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, model: torch.nn.Module, kwargs: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            hf.build_default_optimizer(model, hf.OptimizerKwargs(**kwargs))

    @pytest.mark.parametrize(
        ("optim", "package"),
        [
            ("adamw_bnb_8bit", "bitsandbytes"),
            ("schedule_free_adamw", "schedulefree"),
            ("adamw_torch_4bit", "torchao"),
            ("galore_adamw", "galore_torch"),
            ("apollo_adamw", "apollo_torch"),
            ("grokadamw", "grokadamw"),
            ("stable_adamw", "optimi"),
            ("adamw_torch_xla", "torch_xla"),
            ("adamw_torch_npu_fused", "torch_npu"),
            ("adamw_anyprecision", "torchdistx"),
        ],
    )
    def test_package_that_is_not_installed(
        self, model: torch.nn.Module, optim: str, package: str
    ) -> None:
        if importlib.util.find_spec(package):
            pytest.skip(f"{package} is installed")
        with pytest.raises(UserError, match=rf"hyperparameters\.optim: {optim} cannot be built"):
            hf.build_default_optimizer(model, hf.OptimizerKwargs(optim=optim))

    def test_every_name_of_transformers_is_built_or_explained(self, model: torch.nn.Module) -> None:
        built = set()
        for name in OptimizerNames:
            try:
                hf.build_default_optimizer(model, hf.OptimizerKwargs(optim=name.value))
            except UserError as error:
                assert name.value in str(error)
            else:
                built.add(name.value)
        assert built >= {"adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad"}
        assert built >= {"rmsprop"}


@pytest.fixture
def optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
    return hf.build_default_optimizer(model, hf.OptimizerKwargs(learning_rate=1e-3))


def learning_rates(schedule: LRScheduler, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        schedule.step()
    return rates


class TestScheduler:
    @pytest.mark.parametrize(
        ("kwargs", "warmup"),
        [
            ({}, 0),
            ({"num_warmup_steps": 4}, 4),
            ({"num_warmup_steps": 4.0}, 4),
            ({"num_warmup_steps": 0.25}, 5),
            ({"warmup_ratio": 0.21}, 5),
            ({"warmup_ratio": 1.0}, 20),
            ({"num_warmup_steps": 4, "warmup_ratio": 0.5}, 4),
        ],
    )
    def test_warmup(self, kwargs: dict[str, Any], warmup: int) -> None:
        assert num_warmup_steps(hf.LRSchedulerKwargs(20, **kwargs), 20) == warmup

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"num_warmup_steps": -1}, "num_warmup_steps is -1, but should be at least 0"),
            ({"warmup_ratio": 1.5}, "warmup_ratio is 1.5, but should be at least 0 and at most 1"),
            ({"num_training_steps": 0}, "num_training_steps is 0, but should be at least 1"),
        ],
    )
    def test_wrong_lengths(
        self, optimizer: torch.optim.Optimizer, kwargs: dict[str, Any], message: str
    ) -> None:
        scheduler_kwargs = hf.LRSchedulerKwargs(**{"num_training_steps": 20, **kwargs})
        with pytest.raises(UserError, match=rf"^hyperparameters\.{message}"):
            hf.build_default_lr_scheduler(optimizer, scheduler_kwargs)

    def test_linear_by_hand(self, optimizer: torch.optim.Optimizer) -> None:
        kwargs = hf.LRSchedulerKwargs(num_training_steps=10, num_warmup_steps=2)
        schedule = hf.build_default_lr_scheduler(optimizer, kwargs)
        expected = [0, 0.5, *(1 - step / 8 for step in range(8)), 0, 0]
        assert learning_rates(schedule, 12) == pytest.approx([1e-3 * rate for rate in expected])

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            (
                {"lr_scheduler_type": "linaer"},
                r"lr_scheduler_type: 'linaer'.*mean linear\?.*cosine",
            ),
            ({"lr_scheduler_type": "cosine_with_min_lr"}, "lr_scheduler_kwargs: None.*min_lr"),
            ({"lr_scheduler_kwargs": {"num_cycle": 1}}, "does not suit.*'linear'.*num_cycle"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, optimizer: torch.optim.Optimizer, kwargs: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            hf.build_default_lr_scheduler(optimizer, hf.LRSchedulerKwargs(20, **kwargs))

    @pytest.mark.parametrize(
        ("kind", "expected"), [("reduce_lr_on_plateau", ReduceLROnPlateau), ("greedy", GreedyLR)]
    )
    @pytest.mark.parametrize("length", [None, 20])
    def test_schedules_that_look_at_metrics_need_no_length(
        self, optimizer: torch.optim.Optimizer, kind: str, expected: type, length: int | None
    ) -> None:
        kwargs = hf.LRSchedulerKwargs(length, lr_scheduler_type=kind)
        assert type(hf.build_default_lr_scheduler(optimizer, kwargs)) is expected


class TestDeferredSchedule:
    KINDS = sorted(
        {kind.value for kind in SchedulerType}
        - {"reduce_lr_on_plateau", "greedy"}  # These two are not deferred.
        - {"cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay"}
    )

    @pytest.mark.parametrize("kind", KINDS)
    def test_equals_the_one_of_known_length(self, model: torch.nn.Module, kind: str) -> None:
        curves = []
        for length in (20, None):
            optimizer = hf.build_default_optimizer(model, hf.OptimizerKwargs(learning_rate=1e-3))
            kwargs = hf.LRSchedulerKwargs(length, kind, num_warmup_steps=0.2)
            schedule = hf.build_default_lr_scheduler(optimizer, kwargs)
            if length is None:
                assert isinstance(schedule, DeferredLRScheduler)
                assert not schedule.resolved
                # The groups are untouched until then.
                assert all("initial_lr" not in group for group in optimizer.param_groups)
                assert schedule.optimizer is optimizer
                real = schedule.resolve(20)
                assert schedule.resolved
                assert schedule.resolve(1) is real
            curves.append(learning_rates(schedule, 20))
            assert schedule.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
        assert curves[0] == curves[1]

    def test_state_is_that_of_the_real_one(self, optimizer: torch.optim.Optimizer) -> None:
        schedule = hf.build_default_lr_scheduler(optimizer, hf.LRSchedulerKwargs(None))
        real = schedule.resolve(10)
        learning_rates(schedule, 3)
        state = schedule.state_dict()
        assert state == real.state_dict()
        assert state["last_epoch"] == 3
        json.dumps(state)
        state["last_epoch"] = 7
        schedule.load_state_dict(state)
        assert real.last_epoch == 7

    def test_asked_too_early(self, optimizer: torch.optim.Optimizer) -> None:
        schedule = hf.build_default_lr_scheduler(optimizer, hf.LRSchedulerKwargs(None))
        for ask in (
            schedule.step,
            schedule.get_last_lr,
            schedule.state_dict,
            lambda: schedule.load_state_dict({}),
        ):
            with pytest.raises(UserError, match=r"hyperparameters\.num_training_steps"):
                ask()
