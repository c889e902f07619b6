"""Which weights an adapter trains, and which of them a checkpoint holds."""

import importlib.util
import pathlib
from typing import Any

import peft
import pytest
import tiny
import torch
import transformers
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.checkpoint import state_dict
from model_hub.huggingface.config import packages, validate
from model_hub.huggingface.config.config_findings import check_settings
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.model import adapter, loading, unwrap, wrap
from model_hub.huggingface.tasks import UNSMOOTHED_MODES
from model_hub.huggingface.tasks import language_modeling as lm

IDS = torch.tensor([[2, 5, 6, 8, 3], [2, 7, 9, 3, 0]])
LORA: dict[str, Any] = {"r": 2}
# Layers can be chosen only where target_modules is a list.
LAYERS: dict[str, Any] = {"target_modules": "query", "layers_to_transform": 0}
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
    """Frozen, they would stay random, and differ whenever the model is built again."""
    model = adapter.add_adapter(classifier(masked), {**LORA, **task_type})
    for module in ("pooler.dense", "classifier"):
        assert any(f"{module}.modules_to_save" in name for name in trained(model)), module
    assert all("lora_" in n or "pooler" in n or "classifier" in n for n in trained(model))
    assert kept(model) == trained(model)


def test_all_weights_are_kept_if_a_new_one_is_frozen(masked: str) -> None:
    settings = {**LORA, "modules_to_save": ["classifier"]}
    model = adapter.add_adapter(classifier(masked), settings)
    assert not any("pooler" in name for name in trained(model))
    assert kept(model) == set(model.state_dict())


def test_all_weights_are_kept_if_none_was_loaded() -> None:
    model = transformers.BertForSequenceClassification(tiny.bert_config())
    adapted = adapter.add_adapter(model, LORA)
    assert kept(adapted) == set(adapted.state_dict())


@pytest.mark.parametrize("modules", [{}, {"modules_to_save": ["wte", "lm_head"]}])
def test_all_weights_are_kept_if_embeddings_were_added(
    modules: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    """Unless the embeddings are trained: then they are part of the adapter."""
    folder = tiny.save(tmp_path, "gpt2", transformers.AutoModelForCausalLM)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = tiny.word_tokenizer()
    tokenizer.add_tokens(["new"])
    loading.resize_embeddings(model, tokenizer)
    adapted = adapter.add_adapter(model, {**LORA, **modules})
    assert kept(adapted) == (trained(adapted) if modules else set(adapted.state_dict()))


def test_frozen_weights_of_the_adapter_are_kept(masked: str) -> None:
    """Only the checkpoint has them, trained or not."""
    model = adapter.add_adapter(classifier(masked), LORA)
    adapters = trained(model)
    wrap.freeze(model, ["*lora_A*", "*classifier*"])
    assert trained(model) < adapters == kept(model)


def test_base_weights_changed_at_random_are_kept(tmp_path: pathlib.Path) -> None:
    """Such an initialization is subtracted from them, and differs the next time."""
    folder = str(tiny.save(tmp_path, "bert", transformers.AutoModelForSequenceClassification))
    for start, has_base in (("gaussian", False), ("pissa", False), ("pissa_niter_2", True)):
        settings = {**LORA, "target_modules": ["query"], "init_lora_weights": start}
        model = adapter.add_adapter(classifier(folder), settings)
        assert kept(model) == (set(model.state_dict()) if has_base else trained(model)), start


def test_trained_weights_are_kept_whatever_was_chosen(masked: str) -> None:
    """Also those of the base model that a trial trains after it was wrapped."""
    model = adapter.add_adapter(classifier(masked), LORA)
    (name,) = (n for n in model.state_dict() if n.endswith("word_embeddings.weight"))
    model.get_parameter(name).requires_grad = True
    assert name in kept(model) == trained(model)


@pytest.mark.parametrize("kind", ["LORA", "LN_TUNING"])
def test_a_merged_model_has_the_names_of_its_class(kind: str, masked: str) -> None:
    """Else ``from_pretrained`` would not find the weights of the trained head."""
    settings = {"peft_type": kind, "target_modules": [{"LORA": "query"}.get(kind, "LayerNorm")]}
    model = adapter.add_adapter(classifier(masked), settings)
    with torch.no_grad():
        for weight in model.parameters():
            weight += weight.requires_grad
    merged = unwrap.merge_adapter(model)
    assert merged.state_dict().keys() == classifier(masked).state_dict().keys()
    torch.testing.assert_close(merged.eval()(IDS).logits, model.eval()(IDS).logits)


def test_an_adapter_that_the_trial_added_itself(masked: str) -> None:
    config = peft.LoraConfig(r=2, modules_to_save=["classifier"])
    model: Any = peft.get_peft_model(classifier(masked), config)
    # The pooler is new, and frozen.
    assert kept(model) - trained(model) == {n for n in model.state_dict() if "pooler" in n}


def test_a_prompt_is_trained_without_task_type(tmp_path: pathlib.Path) -> None:
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
        # The random weights of the base model would be lost.
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
def test_adapters_that_a_model_cannot_have(
    model: Any, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"hyperparameters.peft: .*{message}"):
        config = tiny.CONFIGS[model.config_class.model_type]()
        adapter.add_adapter(model(config), settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "LORRA"}, "peft_type is 'LORRA', but should be LORA, or another one of"),
        *(
            ({"peft_type": kind}, f"peft_type is '{kind}', but should be one of .* LORA, ")
            for kind in ("ADALORA", "CPT", "MULTITASK_PROMPT_TUNING", "POLY")
        ),
        ({"lora_alfa": 3}, "lora_alfa is not known to LORA; did you mean lora_alpha"),
        ({"rank": 3, "r": {"type": "int", "minval": 1, "maxval": 8}}, "rank is not known"),
        (LAYERS, "LORA does not accept this: .*layers_to_transform"),
    ],
)
def test_settings_are_checked_without_a_model(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"hyperparameters.peft.*{message}"):
        OptionKwargs(peft=settings)


def test_a_search_range_is_valid() -> None:
    layer = {"type": "int", "minval": 0, "maxval": 11}
    assert OptionKwargs(peft={**LAYERS, "layers_to_transform": layer}).peft


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        ({"label_smoothing_factor": 0.1, "model_mode": "question-answering"}, "label_smoothing"),
        ({"load_in_4bit": True, "load_in_8bit": True}, "both true"),
        ({"load_in_8bit": True}, "load_in_8bit is true, but quantized weights"),
        ({"fp16": True, "dtype": "float16"}, "dtype is float16"),
        ({"load_in_4bit": True, "peft": LORA}, None),
        ({"label_smoothing_factor": 0.0, "model_mode": "question-answering"}, None),
        ({"label_smoothing_factor": 0.1, "model_mode": "token-classification"}, None),
        ({"fp16": True, "dtype": "float16", "peft": LORA}, None),
        ({"fp16": {"type": "categorical", "vals": [True]}, "dtype": "float16"}, None),
    ],
)
def test_conflicting_hparams(hparams: dict[str, Any], message: str | None) -> None:
    found = validate.conflicting_hparams(hparams, UNSMOOTHED_MODES)
    assert len(found) == (message is not None) and all(str(message) in each for each in found)


def test_keys_of_another_trial_class_are_not_checked() -> None:
    hparams = {"global_batch_size": 1, "load_in_8bit": True, "torch_compile": "never"}
    config = {"entrypoint": "a:B", "searcher": {"name": "single", "metric": "f1"}}
    config["hyperparameters"] = hparams
    assert not check_settings(pytorch.PyTorchTrial, config, slots=1, unsmoothed_modes={})


def test_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec

    def find_spec(name: str) -> Any:
        return None if name in ("bitsandbytes", "peft") else there(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    for key, package in (("load_in_4bit", "bitsandbytes"), ("peft", "model-hub[peft]"),
                         ("quantization_config", "bitsandbytes")):  # fmt: skip
        (message,) = packages.missing_packages({key: {"r": 1} if key != "load_in_4bit" else True})
        assert f"hyperparameters.{key} needs" in message and package in message
    assert packages.missing_packages({"quantization_config": {"quant_method": "gptq"}}) == []
