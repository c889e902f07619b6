"""What an adapter trains and what a checkpoint keeps of it, for the methods of the library peft."""

import pathlib
from typing import Any

import pytest
import tiny
import torch
import transformers
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.checkpoint import state_dict
from model_hub.huggingface.config import validate
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.model import adalora, adapter, loading, wrap
from model_hub.huggingface.tasks import UNSMOOTHED_MODES
from model_hub.huggingface.tasks import language_modeling as lm

IDS = torch.tensor([[2, 5, 6, 8, 3], [2, 7, 9, 3, 0]])
LORA: dict[str, Any] = {"r": 2}
PROMPT: dict[str, Any] = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3}


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of a masked language model: it has no pooler, and no classifier."""
    folder = tmp_path_factory.mktemp("masked")
    return str(tiny.save(folder, "bert", transformers.AutoModelForMaskedLM))


def classifier(folder: str) -> Any:
    return transformers.BertForSequenceClassification.from_pretrained(folder)


def trained(model: torch.nn.Module) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def kept(model: torch.nn.Module) -> set[str]:
    return set(state_dict.trainable_state_dict(model, model.state_dict()))


@pytest.mark.parametrize("task_type", [{}, {"task_type": "SEQ_CLS"}])
def test_modules_without_pretrained_weights_are_trained(
    task_type: dict[str, str], masked: str
) -> None:
    """Frozen, they would stay as they were drawn: other ones when the checkpoint is opened."""
    model = adapter.add_adapter(classifier(masked), {**LORA, **task_type})
    for module in ("pooler.dense", "classifier"):
        assert any(f"{module}.modules_to_save" in name for name in trained(model)), module
    assert all("lora_" in n or "pooler" in n or "classifier" in n for n in trained(model))
    assert kept(model) == trained(model)


def test_new_weights_that_stay_frozen_are_kept(masked: str) -> None:
    settings = {**LORA, "modules_to_save": ["classifier"]}
    model = adapter.add_adapter(classifier(masked), settings)
    assert not any("pooler" in name for name in trained(model))
    assert {name for name in kept(model) - trained(model) if "pooler" not in name} == set()
    assert sum("pooler" in name for name in kept(model)) == 2


def test_weights_that_came_from_nowhere_are_kept() -> None:
    model = transformers.BertForSequenceClassification(tiny.bert_config())
    adapted = adapter.add_adapter(model, LORA)
    unused = {name for name in adapted.state_dict() if ".original_module." in name}
    assert unused and kept(adapted) == set(adapted.state_dict()) - unused


def test_embeddings_that_were_added_are_kept(tmp_path: pathlib.Path) -> None:
    folder = tiny.save(tmp_path, "gpt2", transformers.AutoModelForCausalLM)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = tiny.word_tokenizer()
    tokenizer.add_tokens(["new"])
    loading.resize_embeddings(model, tokenizer)
    adapted = adapter.add_adapter(model, LORA)
    assert [
        n for n in kept(adapted) - trained(adapted) if "wte" not in n and "lm_head" not in n
    ] == []
    assert any("wte" in name for name in kept(adapted))


def test_an_adapters_weights_are_kept_when_they_are_frozen(masked: str) -> None:
    """Nothing but the checkpoint has them, trained or not."""
    model = adapter.add_adapter(classifier(masked), LORA)
    adapters = trained(model)
    wrap.freeze(model, ["*lora_A*", "*classifier*"])
    assert trained(model) < adapters == kept(model)


def test_ranks_follow_their_own_optimizer() -> None:
    model = transformers.BertForSequenceClassification(tiny.bert_config())
    settings = {"peft_type": "ADALORA", "total_step": 9}
    adapted = adapter.add_adapter(model, settings)
    allocation = adalora.AdaLoraCallback(adapted)
    other = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    own = torch.optim.SGD([weight for weight in adapted.parameters() if weight.requires_grad])
    for optimizer in (other, own):
        allocation.watch(optimizer)
    adapted(input_ids=IDS, labels=torch.tensor([0, 1])).loss.backward()
    other.step()
    assert allocation.state_dict()["updates"] == 0
    own.step()
    assert allocation.state_dict()["updates"] == 1


def test_random_starts_are_kept(tmp_path: pathlib.Path) -> None:
    """Such a start is taken out of the weights, and is another one the next time."""
    folder = str(tiny.save(tmp_path, "bert", transformers.AutoModelForSequenceClassification))
    for start, has_base in (("gaussian", False), ("pissa", False), ("pissa_niter_2", True)):
        settings = {**LORA, "target_modules": ["query"], "init_lora_weights": start}
        names = kept(adapter.add_adapter(classifier(folder), settings))
        assert any("base_layer.weight" in name for name in names) == has_base, start


def test_a_prompt_is_learned_for_the_task(tmp_path: pathlib.Path) -> None:
    folder = tiny.save(tmp_path, "gpt2", transformers.AutoModelForCausalLM)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    adapted = adapter.add_adapter(model, PROMPT)
    (name,) = trained(adapted)
    assert "prompt" in name and kept(adapted) == {name}
    batch = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS), "labels": IDS}
    logits, targets = lm.logits_and_targets(adapted, batch, next_token=True)
    # Of the tokens alone, and not those of the prompt before them.
    assert logits.shape[:2] == targets.shape == IDS.shape
    everything = adapted(input_ids=IDS, attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(logits, everything[:, 3:])
    logits.sum().backward()
    gradient = dict(adapted.named_parameters())[name].grad
    assert gradient is not None and bool(gradient.any())


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (
            transformers.BertForQuestionAnswering,
            PROMPT,
            "PROMPT_TUNING cannot be trained for a Bert",
        ),
        (transformers.BertForTokenClassification, PROMPT, "cannot be trained for a Bert"),
        (transformers.BertForMultipleChoice, PROMPT, "cannot be trained for a Bert"),
        # What it is put on would be lost.
        (transformers.BertForSequenceClassification, PROMPT, "are new and would be lost"),
        (
            transformers.BertForSequenceClassification,
            {**LORA, "target_modules": ["no"]},
            "does not",
        ),
        (
            transformers.GPT2LMHeadModel,
            {"peft_type": "TRAINABLE_TOKENS"},
            "TRAINABLE_TOKENS with these settings has no weight to train in a GPT2",
        ),
    ],
)
def test_what_cannot_be_put_on_a_model(model: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"hyperparameters.peft: .*{message}"):
        config = tiny.CONFIGS[model.config_class.model_type]()
        adapter.add_adapter(model(config), settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "LORRA"}, "peft_type is 'LORRA', but should be LORA, or another one of"),
        ({"peft_type": "POLY"}, "needs more of a batch"),
        ({"lora_alfa": 3}, "lora_alfa is not known to LORA; did you mean lora_alpha"),
        ({"rank": 3, "r": {"type": "int", "minval": 1, "maxval": 8}}, "rank is not known"),
        ({"peft_type": "ADALORA"}, "total_step"),
    ],
)
def test_settings_are_looked_at_without_a_model(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"hyperparameters.peft.*{message}"):
        OptionKwargs(peft=settings)


def test_a_range_is_no_mistake() -> None:
    steps = {"type": "int", "minval": 100, "maxval": 200}
    assert OptionKwargs(peft={"peft_type": "ADALORA", "total_step": steps}).peft


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        ({"label_smoothing_factor": 0.1, "model_mode": "question-answering"}, "label_smoothing"),
        ({"load_in_4bit": True, "load_in_8bit": True}, "both true"),
        ({"load_in_8bit": True}, "load_in_8bit is true, but weights that are rounded"),
        ({"fp16": True, "dtype": "float16"}, "dtype is float16"),
        ({"load_in_4bit": True, "peft": LORA}, None),
        ({"label_smoothing_factor": 0.0, "model_mode": "question-answering"}, None),
        ({"label_smoothing_factor": 0.1, "model_mode": "token-classification"}, None),
        ({"fp16": True, "dtype": "float16", "peft": LORA}, None),
        ({"fp16": {"type": "categorical", "vals": [True]}, "dtype": "float16"}, None),
    ],
)
def test_what_does_not_go_together(hparams: dict[str, Any], message: str | None) -> None:
    found = validate.conflicting_hparams(hparams, UNSMOOTHED_MODES)
    assert len(found) == (message is not None) and all(str(message) in each for each in found)


def test_keys_of_a_trial_that_is_not_ours() -> None:
    hparams = {"global_batch_size": 1, "load_in_8bit": True, "torch_compile": "never"}
    validate.check_settings(pytorch.PyTorchTrial, hparams, {}, slots=1, unsmoothed_modes={})


def test_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    there = validate.importlib.util.find_spec

    def find_spec(name: str) -> Any:
        return None if name in ("bitsandbytes", "peft") else there(name)

    monkeypatch.setattr(validate.importlib.util, "find_spec", find_spec)
    for key, package in (("load_in_4bit", "bitsandbytes"), ("peft", "model-hub[peft]"),
                         ("quantization_config", "bitsandbytes")):  # fmt: skip
        (message,) = validate.missing_packages({key: {"r": 1} if key != "load_in_4bit" else True})
        assert f"hyperparameters.{key} needs" in message and package in message
    assert validate.missing_packages({"quantization_config": {"quant_method": "gptq"}}) == []
