"""Autocast reaches all that a model does, and what comes out is float32."""

import pytest
import tiny
import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.model import adapter, precision, wrap

CPU = torch.device("cpu")
IDS = torch.tensor([[2, 5, 6, 8, 3], [2, 7, 9, 3, 0]])


def types_computed_in(model: torch.nn.Module) -> set[torch.dtype]:
    """Filled with the types of what the linear layers give."""
    found: set[torch.dtype] = set()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _, __, output: found.add(output.dtype))
    return found


@pytest.mark.parametrize("peft", [None, {"r": 2}])
def test_generation_computes_in_bfloat16_as_well(peft: dict[str, int] | None) -> None:
    """An encoder is called without the model's ``forward``, and so is the model in an adapter."""
    model = transformers.T5ForConditionalGeneration(tiny.CONFIGS["t5"]())
    prepared = wrap.apply_options(model, OptionKwargs(peft=peft))
    found = types_computed_in(prepared)
    generate = {"input_ids": IDS, "max_length": 4, "do_sample": False}
    prepared.generate(**generate)
    # Without it this is what they compute in.
    assert found == {torch.float32}
    found.clear()
    precision.autocast_forward(prepared, torch.bfloat16, CPU)
    tokens = prepared.generate(**generate)
    assert found == {torch.bfloat16} and tokens.dtype == torch.int64
    found.clear()
    outputs = prepared(input_ids=IDS, labels=IDS)
    assert found == {torch.bfloat16}
    assert {outputs.loss.dtype, outputs.logits.dtype} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_in_half_precision_give_float32(dtype: torch.dtype) -> None:
    model = transformers.BertForSequenceClassification(tiny.bert_config())
    assert not precision.has_half_weights(model)
    assert precision.has_half_weights(model.to(dtype))
    found = types_computed_in(model)
    precision.autocast_forward(model, None, CPU)
    outputs = model(input_ids=IDS, labels=torch.tensor([0, 1]))
    assert found == {dtype}
    assert {outputs.loss.dtype, outputs.logits.dtype} == {torch.float32}


def test_autocast_of_the_trial_itself_holds_on() -> None:
    model = transformers.BertForSequenceClassification(tiny.bert_config()).bfloat16()
    found = []
    model.classifier.register_forward_hook(
        lambda *_: found.append(torch.is_autocast_enabled("cpu"))
    )
    precision.autocast_forward(model, None, CPU)
    model(input_ids=IDS)
    with torch.autocast("cpu", torch.bfloat16):
        model(input_ids=IDS)
    assert found == [False, True]


def test_only_what_is_trained_has_to_be_float32() -> None:
    """As with a base model in float16 on a GPU without bfloat16."""
    language = transformers.GPT2LMHeadModel(tiny.CONFIGS["gpt2"]()).half()
    precision.check_trained_weights(adapter.add_adapter(language, {"r": 2}))
    # Its head is trained as a whole.
    classifier = transformers.BertForSequenceClassification(tiny.bert_config()).half()
    with pytest.raises(UserError, match=r"classifier.*is float16, but hyperparameters.fp16"):
        precision.check_trained_weights(adapter.add_adapter(classifier, {"r": 2}))
