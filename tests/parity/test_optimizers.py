"""Every optimizer and every schedule of transformers' `Trainer` is built as `Trainer` builds it."""

import pathlib
from typing import Any

import pytest
import tiny
import torch
import transformers
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.config.names import _STEP_IN_BACKWARD

STEPS = 20


def trainer(folder: pathlib.Path, model: torch.nn.Module, **kwargs: Any) -> transformers.Trainer:
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        report_to="none",
        use_cpu=True,
        eval_strategy="epoch",  # Schedules that look at a metric are refused without it.
        **kwargs,
    )
    return transformers.Trainer(model=model, args=arguments, eval_dataset=[{"input_ids": [2]}])


def new_model(family: str) -> torch.nn.Module:
    torch.manual_seed(0)
    auto_class = {"bert": transformers.AutoModelForSequenceClassification}
    auto = auto_class.get(family, transformers.AutoModelForCausalLM)
    return auto.from_config(tiny.CONFIGS[family]())


# Settings by the names of the YAML, which are those of Trainer.
SETTINGS: list[dict[str, Any]] = [
    {},
    {"learning_rate": 1e-3, "weight_decay": 0.1},
    {"adam_beta1": 0.8, "adam_beta2": 0.95, "adam_epsilon": 1e-6},
]

# These need no package of their own; which of the others can be built depends on the environment.
BUILDABLE = (None, "adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop")

# Further arguments that belong to one optimizer.
OPTIM_ARGS = {
    "sgd": "momentum=0.9,nesterov=true",
    "adagrad": "lr_decay=0.1",
    "rmsprop": "alpha=0.9,centered=true",
}


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("name", [None, *(name.value for name in OptimizerNames)])
def test_optimizer(name: str | None, family: str, tmp_path: pathlib.Path) -> None:
    model = new_model(family)
    for settings in SETTINGS:
        kwargs = dict(settings)
        if name is not None:
            kwargs |= {"optim": name, "optim_args": OPTIM_ARGS.get(name)}
        reference = None
        if name not in _STEP_IN_BACKWARD:
            try:
                reference = trainer(tmp_path, model, **kwargs).create_optimizer()
            except (ImportError, ValueError):
                assert name not in BUILDABLE
        if reference is None:
            with pytest.raises(UserError, match=rf"^hyperparameters\.optim: .*{name}"):
                hf.build_default_optimizer(model, hf.OptimizerKwargs(**kwargs))
            continue
        optimizer = hf.build_default_optimizer(model, hf.OptimizerKwargs(**kwargs))
        assert type(optimizer) is type(reference)
        assert optimizer.defaults == reference.defaults
        assert len(optimizer.param_groups) == len(reference.param_groups)
        for ours, theirs in zip(optimizer.param_groups, reference.param_groups, strict=True):
            # The very same parameters, in the same order.
            assert list(map(id, ours.pop("params"))) == list(map(id, theirs.pop("params")))
            assert ours == theirs


# What some schedules cannot do without, and others take.
SCHEDULE_KWARGS: dict[str, list[dict[str, Any] | None]] = {
    "cosine_with_restarts": [None, {"num_cycles": 3}],
    "cosine": [None, {"num_cycles": 1.5}],
    "polynomial": [None, {"power": 2.0, "lr_end": 1e-5}],
    "cosine_with_min_lr": [{"min_lr": 1e-5}, {"min_lr_rate": 0.2}],
    "cosine_warmup_with_min_lr": [{"min_lr": 1e-5}, {"min_lr_rate": 0.2}],
    "warmup_stable_decay": [{"num_decay_steps": 5}, {"num_decay_steps": 5, "min_lr_ratio": 0.1}],
    "inverse_sqrt": [None, {"timescale": 7}],
    "reduce_lr_on_plateau": [None, {"patience": 1, "factor": 0.5}],
    "greedy": [None, {"patience": 1, "factor": 0.5}],
}
SCHEDULES = [
    (kind.value, kwargs) for kind in SchedulerType for kwargs in SCHEDULE_KWARGS.get(kind, [None])
]
BY_METRIC = ("reduce_lr_on_plateau", "greedy")


def curve(schedule: Any, kind: str) -> list[list[float]]:
    """Learning rates of all groups before each of the steps, and after the last."""
    rates = []
    for step in range(STEPS + 3):
        rates.append([group["lr"] for group in schedule.optimizer.param_groups])
        schedule.optimizer.step()
        if kind in BY_METRIC:
            schedule.step(1.0 + step)  # Always worse than before.
        else:
            schedule.step()
    return rates


def test_all_schedules_are_here() -> None:
    assert len({kind for kind, _ in SCHEDULES}) == len(SchedulerType) >= 12


@pytest.mark.parametrize("warmup", [0, 4, 0.3, "ratio"])
@pytest.mark.parametrize(("kind", "further"), SCHEDULES)
def test_schedule(
    kind: str, further: dict[str, Any] | None, warmup: float | str, tmp_path: pathlib.Path
) -> None:
    steps = 0.3 if warmup == "ratio" else warmup
    reference = trainer(
        tmp_path,
        new_model("bert"),
        learning_rate=2e-3,
        lr_scheduler_type=kind,
        lr_scheduler_kwargs=further,
        warmup_steps=steps,
    )
    reference.create_optimizer_and_scheduler(num_training_steps=STEPS)
    optimizer = hf.build_default_optimizer(
        new_model("bert"), hf.OptimizerKwargs(learning_rate=2e-3)
    )
    name = "warmup_ratio" if warmup == "ratio" else "num_warmup_steps"
    kwargs = {"lr_scheduler_kwargs": further, name: steps}
    schedule = hf.build_default_lr_scheduler(optimizer, hf.LRSchedulerKwargs(STEPS, kind, **kwargs))
    assert type(schedule) is type(reference.lr_scheduler)
    found = curve(schedule, kind)
    assert found == curve(reference.lr_scheduler, kind)
    assert len({tuple(rates) for rates in found}) > 1 or kind.startswith("constant")
    if warmup and kind not in (*BY_METRIC, "constant"):
        assert found[0] < found[3]
