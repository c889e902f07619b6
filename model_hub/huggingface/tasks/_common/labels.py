"""Labels of the data and outputs of the model's head: their number, order and names."""

import logging
import re
from collections.abc import Sequence
from typing import Any

import torch
import transformers

from model_hub.huggingface.model import unwrap

logger = logging.getLogger("model_hub")

# The names that transformers gives to the labels of a head by default.
_DEFAULT_NAME = re.compile(r"LABEL_\d+")


def truncate_text(values: Sequence[Any], most: int = 10) -> str:
    """Return the values for a message, only the first ``most`` of them if there are more."""
    shown = ", ".join(map(repr, values[:most]))
    return shown if len(values) <= most else f"{shown}, ... ({len(values)} in all)"


def set_num_labels(hparams: dict[str, Any], number: int) -> None:
    """Set ``hparams["num_labels"]`` to what the data needs.

    Args:
        hparams: section ``hyperparameters``; another number there is replaced with a warning.
        number: labels of the data, 1 for regression.
    """
    configured = hparams.get("num_labels")
    if configured is not None and configured != number:
        logger.warning(
            "hyperparameters.num_labels is %s, but the data has %d, which is used instead. The "
            "key is not needed; remove it.",
            configured,
            number,
        )
    hparams["num_labels"] = number


def name_outputs(
    names: Sequence[str],
    config: transformers.PretrainedConfig,
    model: torch.nn.Module,
    *,
    named: bool = True,
) -> tuple[list[int], tuple[str, ...]]:
    """Match the labels of the data with the outputs of the model's head.

    If the model was fine-tuned before on labels of the same names (in upper or lower case), they
    keep the model's numbers. Otherwise the outputs get the data's names and order, with a warning
    if they had other names. The names are written into the configuration, which is saved with the
    model.

    Args:
        names: names of the labels, in the order of the data's numbers.
        config: the trial's configuration.
        model: the trial's model, wrapped or not; it may hold a copy of the configuration.
        named: whether the data names its labels; if it only numbers them, the model's names stay.

    Returns:
        The output's number for each number of the data; and the names of the outputs.
    """
    numbers, outputs = list(range(len(names))), tuple(names)
    head = _pretrained_label_names(config)
    for spelling in (str, str.lower):
        output_of = {spelling(name): number for number, name in enumerate(head)}
        spelled = [spelling(name) for name in names]
        if head and len(output_of) == len(head) and sorted(output_of) == sorted(spelled):
            numbers, outputs = [output_of[name] for name in spelled], head
            break
    else:
        if head and not named and len(head) == len(names):
            outputs = head
        elif head:
            logger.warning(
                "the model was trained for the labels %s, but those of the data are %s: the "
                "model's are ignored",
                truncate_text(head),
                truncate_text(names),
            )
    for model_config in nested_configs(model, config):
        model_config.id2label = dict(enumerate(outputs))
        model_config.label2id = {name: number for number, name in enumerate(outputs)}
    return numbers, outputs


def nested_configs(
    model: torch.nn.Module, config: transformers.PretrainedConfig
) -> list[transformers.PretrainedConfig]:
    """Return the trial's configuration, and the model's if that is another object."""
    own: Any = getattr(unwrap.unwrap(model), "config", None)
    return [config] if own is None or own is config else [config, own]


def _pretrained_label_names(config: transformers.PretrainedConfig) -> tuple[str, ...]:
    """Return the names of the head's outputs; none if they are transformers' defaults."""
    names = tuple(str(name) for _, name in sorted((config.id2label or {}).items()))
    return () if all(_DEFAULT_NAME.fullmatch(name) for name in names) else names
