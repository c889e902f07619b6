"""Limits of numbers that torch, transformers or a task would refuse only when they are built."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from model_hub._check.findings import Problem, dotted
from model_hub._check.ranges import is_range, possible_values
from model_hub._values import in_yaml

# Least, most, whether the most itself may be, and the words for it.
_Limit = tuple[float, float, bool, str]
_NO_LESS_THAN_0: _Limit = (0, math.inf, False, "a finite number of 0 or more")
_DECAY: _Limit = (0, 1, False, "at least 0 and below 1")
_COUNT: _Limit = (1, math.inf, False, "at least 1")

_LIMITS: dict[str, dict[str, _Limit]] = {
    "hyperparameters": {
        "learning_rate": _NO_LESS_THAN_0,
        "weight_decay": _NO_LESS_THAN_0,
        "adam_beta1": _DECAY,
        "adam_beta2": _DECAY,
        "adam_epsilon": _NO_LESS_THAN_0,
        "num_warmup_steps": _NO_LESS_THAN_0,
        "warmup_ratio": (0, 1, True, "between 0 and 1"),
    },
    "data": {
        "max_seq_length": _COUNT,
        "n_best_size": _COUNT,
        "max_answer_length": _COUNT,
        "preprocessing_num_workers": _COUNT,
        "doc_stride": (0, math.inf, False, "at least 0"),
    },
}


def problems(
    section: str, values: Mapping[str, Any], dataclass_types: Iterable[type]
) -> Iterator[Problem]:
    """Numbers outside of their limits, and a stride that is as long as its window.

    Args:
        section: ``hyperparameters`` or ``data``.
        values: the section.
        dataclass_types: what the trial reads; a key that none of these has may mean anything.
    """
    known = {field.name for cls in dataclass_types for field in dataclasses.fields(cls)}
    for name, limit in _LIMITS[section].items():
        if name not in known:
            continue
        least, most, included, words = limit
        for where, value in possible_values(values.get(name), (section, name)):
            if not _is_number(value):
                continue
            # Written so that it finds .nan as well.
            if not (least <= value < most or (included and value == most)):
                verb = "may become" if is_range(values[name]) else "is"
                yield Problem(
                    where,
                    f"{dotted((section, name))} {verb} {in_yaml(value)}, but should be {words}",
                )
                break
    if {"doc_stride", "max_seq_length"} <= known:
        yield from _stride(section, values, dataclass_types)


def _stride(
    section: str, values: Mapping[str, Any], dataclass_types: Iterable[type]
) -> Iterator[Problem]:
    fields = {field.name: field for cls in dataclass_types for field in dataclasses.fields(cls)}
    stride, length = (
        values.get(name, fields[name].default) for name in ("doc_stride", "max_seq_length")
    )
    if _is_number(stride) and _is_number(length) and stride >= length > 0:
        said = "doc_stride" in values
        yield Problem(
            (section, "doc_stride" if said else "max_seq_length"),
            f"{section}.doc_stride is {stride}{'' if said else ' if it is not set'}, but should be "
            f"less than {section}.max_seq_length, {length}: it is the number of tokens that two "
            f"windows share. Common is a third of the length, {length // 3}",
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
