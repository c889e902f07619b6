"""Names in the YAML that transformers defines: model classes, optimizers, schedules."""

import difflib
import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import transformers

from model_hub.errors import UserError
from model_hub.huggingface.config.fields import OptimizerKwargs

if TYPE_CHECKING:
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

#: The ten modes that the library has had from the start.
MODEL_MODES = (
    "base",
    "pretraining",
    "causal-lm",
    "masked-lm",
    "seq2seq-lm",
    "sequence-classification",
    "multiple-choice",
    "next-sentence",
    "token-classification",
    "question-answering",
)

# Modes that are not spelt like their Auto class.
_SPECIAL_MODES = {
    "base": "AutoModel",
    "next-sentence": "AutoModelForNextSentencePrediction",
}

# Optimizers that update each parameter inside backward(). Trainer's training loop supports that,
# Determined's does not.
_STEP_IN_BACKWARD = (
    "lomo",
    "adalomo",
    "galore_adamw_layerwise",
    "galore_adamw_8bit_layerwise",
    "galore_adafactor_layerwise",
    "apollo_adamw_layerwise",
)


@functools.cache
def _auto_classes() -> dict[str, str]:
    """Return the names of the Auto classes by mode (``causal-lm`` without the hyphens)."""
    prefix = "AutoModelFor"
    names = [name for name in dir(transformers) if name.startswith(prefix)]
    return {name.removeprefix(prefix).lower(): name for name in names}


def auto_model_class(model_mode: str) -> Any:
    """Return the Auto class of a ``model_mode``.

    ``base`` is ``AutoModel`` and ``next-sentence`` is ``AutoModelForNextSentencePrediction``. Any
    other mode is the part of a class name after ``AutoModelFor`` in lower case, with or without
    hyphens: ``causal-lm``, ``question-answering``, ``image-classification``. The name of a class
    (``AutoModelForCausalLM``) is a mode as well.

    Raises:
        UserError: for a mode without such a class in the installed transformers.
    """
    wanted = str(model_mode)
    name = _SPECIAL_MODES.get(wanted)
    if name is None:
        key = wanted.removeprefix("AutoModelFor").replace("-", "").replace("_", "").lower()
        name = _auto_classes().get(key)
    if name is None:
        raise _unknown_name(
            "model_mode",
            wanted,
            [*MODEL_MODES, *_auto_classes().values()],
            f"write one of {', '.join(MODEL_MODES)}, or the name of any AutoModelFor... class of "
            "transformers",
        )
    return getattr(transformers, name)


def optimizer_name(optimizer_kwargs: OptimizerKwargs) -> "OptimizerNames":
    """Return the name of the optimizer that ``Trainer`` uses for the settings.

    Raises:
        UserError: for an unknown ``optim``, one that contradicts ``adafactor``, or one that
            Determined's training loop does not support.
    """
    # Imported here because transformers.training_args imports peft, which takes seconds.
    from transformers.training_args import OptimizerNames, TrainingArguments

    name = optimizer_kwargs.optim
    if optimizer_kwargs.adafactor:
        if name not in (None, "adafactor"):
            raise UserError(
                f"hyperparameters.optim is {name!r} and hyperparameters.adafactor is true: they "
                "contradict each other; remove adafactor."
            )
        name = "adafactor"
    if name is None:
        return OptimizerNames(TrainingArguments.default_optim)
    usable = [kind.value for kind in OptimizerNames if kind.value not in _STEP_IN_BACKWARD]
    if name in _STEP_IN_BACKWARD:
        raise UserError(
            f"hyperparameters.optim: {name!r} updates weights inside of the backward pass, which "
            f"Determined's training loop does not support; write one of {', '.join(usable)}."
        )
    if name not in usable:
        raise _unknown_name("optim", name, usable, f"transformers has {', '.join(usable)}")
    return OptimizerNames(name)


def scheduler_name(lr_scheduler_type: str) -> "SchedulerType":
    """Return the name of the learning-rate schedule.

    Raises:
        UserError: when transformers has no schedule of that name.
    """
    # Imported here because transformers.trainer_utils imports peft, which takes seconds.
    from transformers.trainer_utils import SchedulerType

    names = [kind.value for kind in SchedulerType]
    if lr_scheduler_type not in names:
        raise _unknown_name(
            "lr_scheduler_type", lr_scheduler_type, names, f"transformers has {', '.join(names)}"
        )
    return SchedulerType(lr_scheduler_type)


def _unknown_name(key: str, found: str, known: Iterable[str], expected: str) -> UserError:
    near = difflib.get_close_matches(str(found), known, 1, 0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    expected = expected[0].upper() + expected[1:] if near else expected
    return UserError(f"hyperparameters.{key}: {found!r} is not known; {hint}{expected}.")
