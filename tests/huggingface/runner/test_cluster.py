"""Which errors become InvalidHP, so that a search goes on with other values."""

import contextlib
from typing import Any

import determined as det
import pytest
import torch

from model_hub.errors import UserError
from model_hub.huggingface import parse_dict_to_dataclasses
from model_hub.huggingface.config.fields import LRSchedulerKwargs
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.model.precision import autocast_dtype
from model_hub.huggingface.runner import cluster
from model_hub.huggingface.training.optim import build_default_lr_scheduler


def categorical(*values: Any) -> dict[str, Any]:
    return {"type": "categorical", "vals": list(values)}


def options(**hparams: Any) -> OptionKwargs:
    return parse_dict_to_dataclasses((OptionKwargs,), hparams)[0]


def schedule(**hparams: Any) -> Any:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    (kwargs,) = parse_dict_to_dataclasses((LRSchedulerKwargs,), hparams)
    return build_default_lr_scheduler(optimizer, kwargs)


def error(message: str) -> Any:
    raise UserError(message)


def out_of_memory() -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory.")


CASES: dict[str, tuple[dict[str, Any], Any, bool]] = {
    "one of two precisions": ({"fp16": categorical(True)},
                              lambda: options(bf16=True, fp16=True), True),
    "the other": ({"bf16": categorical(True)}, lambda: options(bf16=True, fp16=True), True),
    "device": ({"fp16": categorical(True)},
               lambda: autocast_dtype(options(fp16=True), torch.device("cpu")), True),
    "schedule": ({"lr_scheduler_type": categorical("linear")},
                 lambda: schedule(num_training_steps=1, lr_scheduler_kwargs={"num_cycles": 1}),
                 True),
    "warm-up": ({"warmup_ratio": {"type": "double", "minval": 0, "maxval": 2}},
                lambda: schedule(num_training_steps=1, warmup_ratio=2.0), True),
    "colon": ({"freeze": categorical("x")}, lambda: error("hyperparameters.freeze: no weight"),
              True),
    "below": ({"peft": {"r": {"type": "int", "minval": 0, "maxval": 8}}},
              lambda: error("hyperparameters.peft: LORA does not accept this"), True),
    "end": ({"bf16": categorical(True)}, lambda: error("Remove hyperparameters.bf16."), True),
    "not searched": ({"fp16": {"type": "const", "val": True}, "bf16": True},
                     lambda: options(bf16=True, fp16=True), False),
    "name of another": ({"freeze": categorical("x")}, lambda: error("hyperparameters.freezer is"),
                        False),
    "file": ({"fp16": categorical(True)}, lambda: error("data.train_file: there is none"), False),
    "memory": ({"global_batch_size": categorical(8, 512)}, out_of_memory, True),
    "memory of others": ({"learning_rate": categorical(1, 2)}, out_of_memory, False),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_only_errors_of_searched_values_are_invalid_hp(name: str) -> None:
    hparams, fail, is_invalid_hp = CASES[name]
    expected = det.InvalidHP if is_invalid_hp else (UserError, torch.OutOfMemoryError)
    with pytest.raises(expected), contextlib.ExitStack() as stack:
        stack.enter_context(cluster._report_invalid_hparams({"hyperparameters": hparams}))
        fail()
