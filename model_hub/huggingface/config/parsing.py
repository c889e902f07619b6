"""Parsing of the YAML's values into dataclasses."""

import dataclasses
import math
import operator
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from model_hub import utils
from model_hub._hub import is_secret, redacted
from model_hub.errors import UserError
from model_hub.experiment import yaml_io
from model_hub.experiment.messages import truncate
from model_hub.experiment.schema.types import LARGEST
from model_hub.huggingface.config import names
from model_hub.huggingface.config.fields import (
    ConfigKwargs,
    FlexibleKwargs,
    LRSchedulerKwargs,
    ModelKwargs,
    OptimizerKwargs,
    TokenizerKwargs,
)


def key_in(section: str | None, name: Any) -> str:
    """Return the key as messages show it: ``data.doc_stride``."""
    name = name if isinstance(name, str) else yaml_io.in_yaml(name)
    return f"{section}.{name}" if section else name


def typed_values(cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values in the types that the dataclass declares.

    Numbers that a YAML 1.1 reader left as text (``3e-5``) become numbers. Whole numbers stay whole
    where a float is declared. Null where the type does not allow it means "not set", as in old
    files: the key is left out.

    Raises:
        UserError: naming all values that are not of their type, or outside of their limits.
    """
    hints = typing.get_type_hints(cls)
    metadata = {field.name: field.metadata for field in dataclasses.fields(cls)}
    section = getattr(cls, "yaml_section", None)
    typed, wrong = {}, []
    for name, value in given.items():
        if value is None and not _takes_null(hints[name]):
            continue
        try:
            typed[name] = _convert(value, hints[name])
            expected = _expected_limits(metadata[name], typed[name])
            if isinstance(typed[name], int) and abs(typed[name]) > LARGEST:
                # Where a float is expected, those that it can hold.
                is_float = int not in _union_members(hints[name]) and float(typed[name])
                expected = expected if is_float else f"a whole number of at most {LARGEST}"
        except OverflowError:
            expected = "a smaller number"
        except (TypeError, ValueError):
            expected = _describe_type(hints[name])
        if expected:
            found = redacted(name, value) if is_secret(name, value) else truncate(value)
            wrong.append(f"{key_in(section, name)} is {found}, but should be {expected}")
    if wrong:
        raise UserError("; ".join(wrong) + ".")
    return typed


# Limits in the metadata of fields: their words in messages, and the comparison that must hold.
_LIMITS = {
    "min": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "max": ("at most", operator.le),
    "below": ("below", operator.lt),
}


def _expected_limits(metadata: Mapping[str, Any], value: Any) -> str:
    """Return the limits in a field's metadata, for messages, if a number is outside of them.

    Returns:
        For instance ``at least 0 and below 1``; an empty text if nothing is wrong, or for anything
        but a number.
    """
    limits = {name: metadata[name] for name in _LIMITS if name in metadata}
    if not limits or isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    # All comparisons are false for NaN.
    if all(_LIMITS[name][1](value, limit) for name, limit in limits.items()) and value < math.inf:
        return ""
    text = " and ".join(f"{_LIMITS[name][0]} {limit}" for name, limit in limits.items())
    if math.isfinite(value):
        return text
    return f"a finite number {'' if 'above' in limits else 'of '}{text}"


def check_limits(kwargs: Any) -> None:
    """Check the numbers of an object that was made in Python against the limits of its fields.

    Raises:
        UserError: naming all keys that are outside of their limits.
    """
    wrong = []
    for field in dataclasses.fields(kwargs):
        value = getattr(kwargs, field.name)
        expected = _expected_limits(field.metadata, value)
        if expected:
            key = key_in(kwargs.yaml_section, field.name)
            wrong.append(f"{key} is {value}, but should be {expected}")
    if wrong:
        raise UserError("; ".join(wrong) + ".")


def with_whole_numbers(
    dataclass_types: Sequence[type], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values with ``16`` in place of ``16.0`` and ``"16"`` where an int is declared.

    Determined reads ``global_batch_size`` itself, and trials read values without parsing them.

    Args:
        dataclass_types: the dataclasses that declare the types; other values stay as they are.
        values: section ``hyperparameters``, without ranges and with correct values.
    """
    result = dict(values)
    for cls in dataclass_types:
        hints = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            given = values.get(field.name)
            if int in _union_members(hints[field.name]) and isinstance(given, (float, str)):
                result[field.name] = _convert(given, hints[field.name])
    return result


def _union_members(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union (``A | B`` or ``Optional[A]``); else the hint alone."""
    is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return typing.get_args(hint) if is_union else (hint,)


def _takes_null(hint: Any) -> bool:
    """Return whether the type allows null; types that are not checked do."""
    for option in _union_members(hint):
        kind = typing.get_origin(option) or option
        if not isinstance(kind, type) or kind in (Any, object, type(None)):
            return True
    return False


def _convert(value: Any, hint: Any) -> Any:
    """Return the value in the declared type.

    Raises:
        TypeError, ValueError: when it has another type.
    """
    options = _union_members(hint)
    if value is None and type(None) in options:
        return None
    for option in options:
        kind = typing.get_origin(option) or option
        # Literal[...] and the like, which a trial's own dataclass may use, are not checked.
        if not isinstance(kind, type) or kind in (Any, object):
            return value
        # In Python True is an int as well; in a YAML it is not.
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
    if isinstance(value, bool):
        raise TypeError
    if int in options and isinstance(value, (float, str)) and float(value).is_integer():
        return int(float(value))
    if float in options and isinstance(value, int):
        return value
    if float in options and isinstance(value, str):
        return float(value)
    raise TypeError


def _describe_type(hint: Any) -> str:
    words = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        dict: "a mapping of names to values",
        list: "a list",
        type(None): "null",
    }
    options = list(_union_members(hint))
    if float in options and int in options:
        options.remove(int)
    return " or ".join(words.get(typing.get_origin(o) or o, str(o)) for o in options)


def parse_dict_to_dataclasses(
    dataclass_types: Sequence[type], args: Mapping[str, Any], as_dict: bool = False
) -> tuple[Any, ...]:
    """Build one object per dataclass from those keys of ``args`` that are its fields.

    Several objects may take the same key; keys that are no field of any are ignored. A key that is
    null counts as absent if its type does not allow null.

    Args:
        dataclass_types: the dataclasses.
        args: for instance the ``hyperparameters`` of an experiment.
        as_dict: return ``AttrDict`` with exactly the fields that are set or have a default.

    Returns:
        A tuple of one object (or ``AttrDict``) per type, in their order.

    Raises:
        UserError: when a value has the wrong type, is outside of its limits, or a required field
            is missing; it names the YAML keys.
    """
    parsed: list[Any] = []
    for cls in dataclass_types:
        names_of_fields = [field.name for field in dataclasses.fields(cls) if field.init]
        given = {name: args[name] for name in names_of_fields if name in args}
        if hasattr(cls, "yaml_section"):
            given = typed_values(cls, given)
        flexible = issubclass(cls, FlexibleKwargs)
        missing = [n for n in required_fields(cls) if n not in given and not flexible]
        if missing:
            section = getattr(cls, "yaml_section", None)
            raise UserError(f"missing: {', '.join(key_in(section, name) for name in missing)}.")
        value = cls(**given)
        if as_dict and flexible:
            value = value.as_dict()
        elif as_dict:
            value = utils.AttrDict({name: getattr(value, name) for name in names_of_fields})
        parsed.append(value)
    return tuple(parsed)


def required_fields(cls: type) -> list[str]:
    """Return the names of the dataclass's fields that have no default."""
    no_default = (dataclasses.MISSING, dataclasses.MISSING)
    fields = (field for field in dataclasses.fields(cls) if field.init)
    return [f.name for f in fields if (f.default, f.default_factory) == no_default]


def default_parse_config_tokenizer_model_kwargs(
    hparams: Mapping[str, Any],
) -> tuple[utils.AttrDict, utils.AttrDict, utils.AttrDict]:
    """Parse the arguments of config, tokenizer and model.

    ``config_name``, ``tokenizer_name`` and ``model_name`` take the place of
    ``pretrained_model_name_or_path`` for one of the three.

    Args:
        hparams: section ``hyperparameters``.

    Returns:
        ``(config_kwargs, tokenizer_kwargs, model_kwargs)``.

    Raises:
        UserError: when a value has the wrong type, or none of these four names is set.
    """
    kwargs = parse_dict_to_dataclasses(
        (ConfigKwargs, TokenizerKwargs, ModelKwargs), hparams, as_dict=True
    )
    names_of_parts = ("config_name", "tokenizer_name", "model_name")
    if not any(map(hparams.get, ("pretrained_model_name_or_path", *names_of_parts))):
        raise UserError(
            "hyperparameters.pretrained_model_name_or_path is missing: write the name of a model "
            "on the Hugging Face Hub, or a folder; or write config_name, tokenizer_name and "
            "model_name."
        )
    for parsed, name in zip(kwargs, names_of_parts, strict=True):
        if hparams.get(name):
            parsed.pretrained_model_name_or_path = hparams[name]
    config_kwargs, tokenizer_kwargs, model_kwargs = kwargs
    return config_kwargs, tokenizer_kwargs, model_kwargs


def default_parse_optimizer_lr_scheduler_kwargs(
    hparams: Mapping[str, Any],
) -> tuple[OptimizerKwargs, LRSchedulerKwargs]:
    """Parse the settings of optimizer and learning-rate schedule.

    Args:
        hparams: section ``hyperparameters``.

    Raises:
        UserError: when a value has the wrong type or is outside of its limits,
            ``num_training_steps`` is missing, or there is no optimizer or schedule of that name.
    """
    optimizer_kwargs, scheduler_kwargs = parse_dict_to_dataclasses(
        (OptimizerKwargs, LRSchedulerKwargs), hparams
    )
    # Checked here because the model, which can take minutes to load, is built before they are.
    names.optimizer_name(optimizer_kwargs)
    names.scheduler_name(scheduler_kwargs.lr_scheduler_type)
    return optimizer_kwargs, scheduler_kwargs
