"""The dtype of loaded weights, quantization, and the rows that ``max_*_samples`` keep."""

import pathlib
from typing import Any

import datasets
import pytest
import tiny
import torch
import transformers

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.data import load
from model_hub.huggingface.model import loading


@pytest.mark.parametrize(
    ("saved", "given", "loaded"),
    [
        (torch.bfloat16, None, torch.float32),
        (torch.float16, None, torch.float32),
        (torch.float32, None, torch.float32),
        (torch.float64, None, torch.float64),
        (torch.bfloat16, "auto", torch.bfloat16),
        (torch.float32, "bfloat16", torch.bfloat16),
    ],
)
def test_dtype_of_loaded_weights(
    saved: torch.dtype, given: str | None, loaded: torch.dtype, tmp_path: pathlib.Path
) -> None:
    folder = tiny.save(tmp_path / "bert", "bert")
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    model.to(saved).save_pretrained(folder)
    hparams = {
        "pretrained_model_name_or_path": str(folder),
        "model_mode": "sequence-classification",
    }
    kwargs = hf.default_parse_config_tokenizer_model_kwargs(
        {**hparams, **({"dtype": given} if given else {})}
    )
    *_, model = hf.build_using_auto(
        kwargs[0], kwargs[1], hparams["model_mode"], kwargs[2], use_pretrained_weights=True
    )
    assert {parameter.dtype for parameter in model.parameters()} == {loaded}


@pytest.mark.parametrize("key", ["load_in_4bit", "load_in_8bit", "quantization_config"])
def test_quantization_needs_pretrained_weights(key: str) -> None:
    with pytest.raises(UserError, match=rf"hyperparameters\.{key}.*use_pretrained_weights"):
        loading.from_config_kwargs({key: True}, tiny.bert_config())


def test_quantization_reaches_transformers() -> None:
    made = loading.from_pretrained_kwargs({"load_in_8bit": True}, tiny.bert_config())
    # No dtype is set for quantized weights.
    assert made == {"quantization_config": {"load_in_8bit": True}}


def rows(count: int) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"row": list(range(count))})


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        ({}, [6, 4, 5, 3]),
        ({"max_train_samples": 2}, [2, 4, 5, 3]),
        ({"max_eval_samples": 1}, [6, 1, 1, 3]),
        ({"max_train_samples": 6, "max_eval_samples": 99}, [6, 4, 5, 3]),
    ],
)
def test_sample_limits(limits: dict[str, Any], sizes: list[int]) -> None:
    names = ("train", "validation_matched", "validation_mismatched", "test")
    splits = datasets.DatasetDict(dict(zip(names, map(rows, (6, 4, 5, 3)), strict=True)))
    cut = load.limit_rows(splits, hf.DatasetKwargs(**limits))
    assert {name: cut[name]["row"][:] for name in names} == {
        name: list(range(size)) for name, size in zip(names, sizes, strict=True)
    }
