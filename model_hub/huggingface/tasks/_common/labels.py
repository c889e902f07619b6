"""Labels of the data and outputs of the model's head: how many, by which numbers and names."""

import logging
import re
from collections.abc import Sequence
from typing import Any

import torch
import transformers

from model_hub.huggingface.model import unwrap


def truncate_text(values: Sequence[Any], most: int = 10) -> str:
    """The values for a message, the first of them if there are many."""
    shown = ", ".join(map(repr, values[:most]))
    return shown if len(values) <= most else f"{shown}, ... ({len(values)} in all)"


logger = logging.getLogger("model_hub")

# How transformers calls the labels of a head that nobody has named.
_NAMELESS = re.compile(r"LABEL_\d+")


def set_num_labels(hparams: dict[str, Any], number: int) -> None:
    """Writes into the hyperparameters how many outputs the data asks for.

    Args:
        hparams: section ``hyperparameters``; what the YAML says there is replaced, with a warning
            if it was another number.
        number: labels of the data, 1 where a number is to be predicted.
    """
    wanted = hparams.get("num_labels")
    if wanted is not None and wanted != number:
        logger.warning(
            "hyperparameters.num_labels is %s, but the data asks for %d, which is taken. The key "
            "is not needed; remove it.",
            wanted,
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
    """Makes data and model speak of the same labels.

    If the model was trained before and knows the labels of the data by name (in upper or lower
    case), they keep the model's numbers; else the model gets the data's names, with a warning if it
    had others. The names are put into the configuration, which is saved with the model.

    Args:
        names: of the labels, in the order of the data's numbers.
        config: the trial's configuration.
        model: the trial's model, wrapped or not; it may have a copy of the configuration.
        named: whether the names are the data's; if they are nothing but numbers, the model's are
            kept.

    Returns:
        By the data's number of a label the number of the head's output; and the names of the
        outputs.
    """
    numbers, outputs = list(range(len(names))), tuple(names)
    head = _pretrained_label_names(config)
    for written in (str, str.lower):
        place = {written(name): number for number, name in enumerate(head)}
        wanted = [written(name) for name in names]
        if head and len(place) == len(head) and sorted(place) == sorted(wanted):
            numbers, outputs = [place[name] for name in wanted], head
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
    for each in nested_configs(model, config):
        each.id2label = dict(enumerate(outputs))
        each.label2id = {name: number for number, name in enumerate(outputs)}
    return numbers, outputs


def nested_configs(
    model: torch.nn.Module, config: transformers.PretrainedConfig
) -> list[transformers.PretrainedConfig]:
    """The trial's configuration, and the model's if that is another object."""
    own: Any = getattr(unwrap.unwrap(model), "config", None)
    return [config] if own is None or own is config else [config, own]


def _pretrained_label_names(config: transformers.PretrainedConfig) -> tuple[str, ...]:
    """Names that somebody gave the head's outputs; none if nobody did."""
    names = tuple(str(name) for _, name in sorted((config.id2label or {}).items()))
    return () if all(_NAMELESS.fullmatch(name) for name in names) else names
