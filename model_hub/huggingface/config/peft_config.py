"""Section ``hyperparameters.peft``, checked before the model is built."""

import dataclasses
import difflib
import importlib.util
from collections.abc import Mapping
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment.messages import did_you_mean
from model_hub.huggingface.config.counterparts import counterpart

#: End of the message where the library is missing.
PEFT_NEEDED = "needs the library peft: pip install 'model-hub[peft]'."

# ADALORA has to be called after every update of the weights. The other three need batches that say
# which of several tasks a row belongs to, or which of its tokens are an example.
_UNSUPPORTED = ("ADALORA", "CPT", "MULTITASK_PROMPT_TUNING", "POLY")


def peft_is_installed() -> bool:
    """Return whether the library peft, an optional dependency, is installed."""
    return importlib.util.find_spec("peft") is not None


def import_peft(subject: str) -> Any:
    """Return the library peft.

    Raises:
        UserError: when it is not installed; ``subject``, what needs it, begins the message.
    """
    if not peft_is_installed():
        raise UserError(f"{subject} {PEFT_NEEDED}")
    import peft  # Imported here because it is optional and slow.

    return peft


def check_peft_settings(settings: Mapping[str, Any]) -> None:
    """Check ``hyperparameters.peft`` as far as that is possible without a model.

    With ranges of a search in it, only the names of the keys are checked.

    Raises:
        UserError: when there are none, or peft is installed and does not accept them.
    """
    if not settings:
        raise UserError(
            "hyperparameters.peft is empty; write for instance peft: {peft_type: LORA, r: 8}, or "
            "remove the key to train all weights."
        )
    if not peft_is_installed():
        return
    cls, kind = peft_config_class(settings), peft_type(settings)
    fields = [field.name for field in dataclasses.fields(cls) if field.init]
    unknown = []
    for name in settings:
        if name not in (*fields, "peft_type"):
            instead = counterpart(f"peft.{name}", settings[name], lambda *_: True)
            near = f"; {instead}" if instead else did_you_mean(name, [*fields, "peft_type"], 0.7)
            unknown.append(f"hyperparameters.peft.{name} is not known to {kind}{near}")
    if unknown:
        raise UserError("; ".join(unknown) + ("" if unknown[-1].endswith("?") else "."))
    if not any(isinstance(value, Mapping) and "type" in value for value in settings.values()):
        build_peft_config(cls, settings)


def peft_type(settings: Mapping[str, Any]) -> str:
    """Return ``peft_type`` in upper case, LORA if it is not set."""
    return str(settings.get("peft_type") or "LORA").upper()


def peft_config_class(settings: Mapping[str, Any]) -> Any:
    """Return peft's configuration class for the settings' ``peft_type``.

    Raises:
        UserError: for an unknown type, or one that no task here can train.
    """
    kind = peft_type(settings)
    classes = import_peft("hyperparameters.peft").mapping.PEFT_TYPE_TO_CONFIG_MAPPING
    supported = sorted({str(name.value) for name in classes} - {*_UNSUPPORTED})
    if kind not in supported:
        near = difflib.get_close_matches(kind, supported, 1, 0.6)
        hint = f"{near[0]}, or another " if near and kind not in _UNSUPPORTED else ""
        raise UserError(
            f"hyperparameters.peft.peft_type is {kind!r}, but should be {hint}one of "
            f"{', '.join(supported)}."
        )
    return classes[kind]


def build_peft_config(cls: Any, settings: Mapping[str, Any]) -> Any:
    """Return an object of peft's configuration class ``cls``.

    Raises:
        UserError: when the class does not accept the settings.
    """
    arguments = {name: value for name, value in settings.items() if name != "peft_type"}
    try:
        return cls(**arguments)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise UserError(
            f"hyperparameters.peft: {peft_type(settings)} does not accept this: {error}"
        ) from error
