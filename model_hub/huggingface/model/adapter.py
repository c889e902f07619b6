"""Adapters of the library peft, put on a model as ``hyperparameters.peft`` says."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
import transformers
from transformers.models.auto import modeling_auto

from model_hub.errors import UserError
from model_hub.huggingface.config.peft_config import (
    PEFT_NEEDED,
    build_peft_config,
    peft_config_class,
    peft_is_installed,
    peft_type,
)
from model_hub.huggingface.model import untrained

# A trained prompt depends on what the model is for; peft's name of that, and the classes.
_TASK_TYPES = {
    "CAUSAL_LM": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "SEQ_2_SEQ_LM": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "SEQ_CLS": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "TOKEN_CLS": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    "QUESTION_ANS": modeling_auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
}
# Prompts that are put before the keys of the attention, and not before the tokens.
_PREFIX_TYPES = ("PREFIX_TUNING", "CARTRIDGE")
# Ways of initializing LoRA that leave the model's weights as they are, or change them alike
# whenever it is done.
_KEEPS_BASE_WEIGHTS = (True, False, None, "gaussian", "orthogonal", "pissa", "olora")


def add_adapter(model: torch.nn.Module, settings: Mapping[str, Any]) -> torch.nn.Module:
    """The model with an adapter of the library peft; only the adapter and new modules are trained.

    For the head of a classifier, and for other modules that the model was not pretrained with, no
    weights are there. They are trained as a whole and saved with the adapter, unless
    ``modules_to_save`` says otherwise; ``task_type`` leaves the choice of the head to peft.

    Args:
        model: a transformers model.
        settings: ``peft_type`` (LORA if absent) and fields of its configuration class.

    Raises:
        UserError: when peft is not installed, does not take the settings, or the adapter would be
            worth nothing without weights that it does not hold.
    """
    if not peft_is_installed():
        raise UserError(f"hyperparameters.peft {PEFT_NEEDED}")
    # An extra: most runs have no adapter.
    import peft

    cls = peft_config_class(settings)
    arguments = dict(settings)
    missing = untrained.missing_keys(model)
    if missing is None:
        # Built from a configuration, or in a way of the trial's own.
        untrained.mark_untrained(model)
    takes_modules = "modules_to_save" in {field.name for field in dataclasses.fields(cls)}
    if takes_modules and "modules_to_save" not in arguments:
        head = untrained_head(model)
        further = _further_modules(model, missing or [], head)
        chosen = [] if "task_type" in arguments else head
        arguments["modules_to_save"] = [*chosen, *further] or None
    kind = peft_type(settings)
    if issubclass(cls, peft.PromptLearningConfig):
        arguments["task_type"] = _task_type(model, kind, arguments.get("task_type"))
    before = list(model.parameters())
    try:
        adapted: torch.nn.Module = peft.get_peft_model(model, build_peft_config(cls, arguments))
    except UserError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
        raise UserError(f"hyperparameters.peft: {kind} does not take this: {error}") from error
    if arguments.get("init_lora_weights", True) not in _KEEPS_BASE_WEIGHTS:
        # What the adapter starts with is taken out of the weights, and it may be another part the
        # next time.
        layers = [name for name, _ in adapted.named_parameters() if ".base_layer." in name]
        untrained.mark_untrained(adapted, layers)
    if not any(each.requires_grad and each.numel() for each in adapted.parameters()):
        raise UserError(
            f"hyperparameters.peft: {kind} with these settings has no weight to train in a "
            f"{type(model).__name__}."
        )
    _check_saved_alone(adapted, cls)
    # Should one be frozen, it would be left out as the model's are.
    old = {id(each) for each in before}
    untrained.mark_untrained(
        adapted, {n for n, each in adapted.named_parameters() if id(each) not in old}
    )
    return adapted


def untrained_head(model: torch.nn.Module) -> list[str]:
    """Names of the modules that a task puts on the pretrained model; none for a language model.

    A language model's head is pretrained with the rest.
    """
    base = getattr(model, "base_model_prefix", "")
    if not base or not hasattr(model, base) or not isinstance(model, transformers.PreTrainedModel):
        return []
    if model.get_output_embeddings() is not None:
        return []
    return [
        name
        for name, module in model.named_children()
        if name != base and any(True for _ in module.parameters())
    ]


def _further_modules(model: torch.nn.Module, missing: list[str], head: list[str]) -> list[str]:
    """Modules beside the head whose weights were missing, such as the pooler of a masked model.

    What holds the output embeddings is none of them: most often they are the input's as well.
    """
    outputs: Any = getattr(model, "get_output_embeddings", lambda: None)()
    found: list[str] = []
    for name in sorted({weight.rpartition(".")[0] for weight in missing}):
        if not name or name.split(".")[0] in head:
            continue
        within = any(name.startswith(f"{outer}.") for outer in found)
        if not within and all(
            module is not outputs for module in model.get_submodule(name).modules()
        ):
            found.append(name)
    return found


def _task_type(model: torch.nn.Module, kind: str, given: Any) -> str:
    """What a prompt is trained for.

    Raises:
        UserError: when peft cannot train a prompt of this kind for that.
    """
    name = type(model).__name__
    found = [task for task, classes in _TASK_TYPES.items() if name in classes.values()]
    task = str(given or next(iter(found), ""))
    before_tokens = kind not in _PREFIX_TYPES
    # There peft neither moves the labels by the length of the prompt, nor takes it from the logits.
    if not task or (before_tokens and task in ("TOKEN_CLS", "QUESTION_ANS")):
        raise UserError(
            f"hyperparameters.peft: {kind} cannot be trained for a {name}; write another "
            "peft_type, such as LORA."
        )
    return task


def _check_saved_alone(adapted: Any, cls: Any) -> None:
    """Can the adapter be saved without the model's weights, or be added to them?

    Raises:
        UserError: when it cannot.
    """
    quantized = getattr(adapted.get_base_model(), "is_quantized", False)
    if hasattr(adapted.base_model, "merge_adapter") and not quantized:
        return
    trained = {name for name, each in adapted.named_parameters() if each.requires_grad}
    lost = sorted(untrained.untrained_names(adapted) - trained)
    if lost:
        advice = "take a model whose pretrained weights have them"
        if "modules_to_save" in {field.name for field in dataclasses.fields(cls)}:
            advice += ", or write their modules into modules_to_save"
        raise UserError(
            "hyperparameters.peft: the adapter alone is saved, as it cannot be added to the "
            f"weights, but {', '.join(lost[:3])} are new and would be lost: {advice}."
        )
