"""Add an adapter of the library peft to a model, as ``hyperparameters.peft`` says."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
import transformers
from transformers.models.auto import modeling_auto

from model_hub.errors import UserError
from model_hub.huggingface.config.peft_config import (
    build_peft_config,
    import_peft,
    peft_config_class,
    peft_type,
)
from model_hub.huggingface.model import untrained
from model_hub.huggingface.model.unwrap import can_merge

# peft's names of the tasks that prompts can be trained for, and the model classes of each.
_TASK_TYPES = {
    "CAUSAL_LM": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "SEQ_2_SEQ_LM": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "SEQ_CLS": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "TOKEN_CLS": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    "QUESTION_ANS": modeling_auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
}
# Prompts that are put before the keys of the attention, and not before the tokens.
_PREFIX_TYPES = ("PREFIX_TUNING", "CARTRIDGE")
# Values of init_lora_weights that either do not change the base model's weights, or always change
# them in the same way. The others depend on random numbers or data.
_DETERMINISTIC_INITS = (True, False, None, "gaussian", "orthogonal", "pissa", "olora")


def add_adapter(model: torch.nn.Module, settings: Mapping[str, Any]) -> torch.nn.Module:
    """Add an adapter of the library peft; only the adapter and new modules are trained.

    New modules are those without pretrained weights, such as the head of a classifier. They are
    trained completely and saved with the adapter, unless ``modules_to_save`` names others;
    ``task_type`` leaves the choice of the head to peft.

    Args:
        model: a transformers model; it is changed in place.
        settings: ``peft_type`` (LORA if absent) and fields of its configuration class.

    Raises:
        UserError: when peft is not installed or does not accept the settings, or when the adapter
            would be useless without weights that are not saved with it.
    """
    peft = import_peft("hyperparameters.peft")
    cls = peft_config_class(settings)
    kind = peft_type(settings)
    arguments = dict(settings)
    missing = untrained.missing_keys(model)
    if missing is None:
        # Built from a configuration, or by the trial's own code.
        untrained.mark_untrained(model.parameters())
    if _has_modules_to_save(cls) and "modules_to_save" not in arguments:
        head = untrained_head(model)
        further = _further_modules(model, missing or [], head)
        modules = further if "task_type" in arguments else [*head, *further]
        arguments["modules_to_save"] = modules or None
    if issubclass(cls, peft.PromptLearningConfig):
        arguments["task_type"] = _task_type(model, kind, arguments.get("task_type"))
    base_parameters = list(model.parameters())
    try:
        adapted: torch.nn.Module = peft.get_peft_model(model, build_peft_config(cls, arguments))
    except UserError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
        raise UserError(f"hyperparameters.peft: {kind} does not accept this: {error}") from error
    if arguments.get("init_lora_weights", True) not in _DETERMINISTIC_INITS:
        untrained.mark_untrained(
            weight for name, weight in adapted.named_parameters() if ".base_layer." in name
        )
    if not any(weight.requires_grad and weight.numel() for weight in adapted.parameters()):
        raise UserError(
            f"hyperparameters.peft: {kind} with these settings has no weight to train in a "
            f"{type(model).__name__}."
        )
    _check_saved_alone(adapted, cls)
    untrained.choose_left_out(adapted, base_parameters)
    return adapted


def untrained_head(model: torch.nn.Module) -> list[str]:
    """Return the names of the modules that a task adds to the pretrained model.

    A language model has none: its head is pretrained with the rest.
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
    """Return modules outside of the head whose weights are missing, such as BERT's pooler.

    The output embeddings are left out: most models share them with the input.
    """
    outputs: Any = getattr(model, "get_output_embeddings", lambda: None)()
    found: list[str] = []
    for name in sorted({weight.rpartition(".")[0] for weight in missing}):
        if not name or name.split(".")[0] in head:
            continue
        is_within_found = any(name.startswith(f"{outer}.") for outer in found)
        if not is_within_found and all(
            module is not outputs for module in model.get_submodule(name).modules()
        ):
            found.append(name)
    return found


def _has_modules_to_save(cls: Any) -> bool:
    return "modules_to_save" in {field.name for field in dataclasses.fields(cls)}


def _task_type(model: torch.nn.Module, kind: str, task_type: Any) -> str:
    """Return peft's task type for training a prompt; ``task_type`` is that of the settings.

    Raises:
        UserError: when peft cannot train this kind of prompt for the model's task.
    """
    name = type(model).__name__
    tasks = [task for task, classes in _TASK_TYPES.items() if name in classes.values()]
    task = str(task_type or next(iter(tasks), ""))
    # For these tasks peft neither shifts the labels nor cuts the logits by a prompt's length.
    needs_shift = kind not in _PREFIX_TYPES and task in ("TOKEN_CLS", "QUESTION_ANS")
    if not task or needs_shift:
        raise UserError(
            f"hyperparameters.peft: {kind} cannot be trained for a {name}; write another "
            "peft_type, such as LORA."
        )
    return task


def _check_saved_alone(adapted: Any, cls: Any) -> None:
    """Check that an adapter that cannot be merged needs no weights but pretrained ones.

    Raises:
        UserError: when it needs weights that are in no file.
    """
    lost = [] if can_merge(adapted) else untrained.frozen_untrained(adapted)
    if lost:
        advice = "take a model whose pretrained weights have them"
        if _has_modules_to_save(cls):
            advice += ", or write their modules into modules_to_save"
        raise UserError(
            "hyperparameters.peft: the adapter alone is saved, as it cannot be added to the "
            f"weights, but {', '.join(lost[:3])} are new and would be lost: {advice}."
        )
