"""Values of the YAML in the types that a dataclass declares."""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from model_hub import utils
from model_hub._hub import is_secret, redacted
from model_hub.errors import UserError
from model_hub.experiment import yaml_io
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
    """The key as messages show it: ``data.doc_stride``."""
    name = name if isinstance(name, str) else yaml_io.in_yaml(name)
    return f"{section}.{name}" if section else name


def typed_values(cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values in the types that the dataclass declares.

    Whole numbers become floats where a float is wanted, and so do numbers that a YAML 1.1 reader
    left as text (``3e-5``). Null where the type has no place for it means "not said", as in old
    files: the key is left out.

    Raises:
        UserError: naming all values that cannot be what is declared.
    """
    hints = typing.get_type_hints(cls)
    section = getattr(cls, "yaml_section", None)
    typed, wrong = {}, []
    for name, value in given.items():
        if value is None and not _takes_null(hints[name]):
            continue
        try:
            typed[name] = _convert(value, hints[name])
        except (TypeError, ValueError):
            wanted = _describe_type(hints[name])
            found = redacted(name, value) if is_secret(name, value) else yaml_io.in_yaml(value)
            wrong.append(f"{key_in(section, name)} is {found}, but should be {wanted}")
    if wrong:
        raise UserError("; ".join(wrong) + ".")
    return typed


def _union_members(hint: Any) -> tuple[Any, ...]:
    """The members of a union, written as ``A | B`` or ``Optional[A]``; else the hint alone."""
    is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return typing.get_args(hint) if is_union else (hint,)


def _takes_null(hint: Any) -> bool:
    """Whether null is a value of the type; of types that are not checked it may be one."""
    for option in _union_members(hint):
        kind = typing.get_origin(option) or option
        if not isinstance(kind, type) or kind in (Any, object, type(None)):
            return True
    return False


def _convert(value: Any, hint: Any) -> Any:
    options = _union_members(hint)
    if value is None and type(None) in options:
        return None
    for option in options:
        kind = typing.get_origin(option) or option
        # Literal[...] and the like, which a trial's own dataclass may have, are not checked.
        if not isinstance(kind, type) or kind in (Any, object):
            return value
        # In Python True is an int as well; in a YAML it is not.
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
    if isinstance(value, bool):
        raise TypeError
    if int in options and isinstance(value, (float, str)) and float(value).is_integer():
        return int(float(value))
    if float in options and isinstance(value, (int, float, str)):
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
    options = [option for option in _union_members(hint)]
    if float in options and int in options:
        options.remove(int)
    return " or ".join(words.get(typing.get_origin(o) or o, str(o)) for o in options)


def parse_dict_to_dataclasses(
    dataclass_types: Sequence[type], args: Mapping[str, Any], as_dict: bool = False
) -> list[Any]:
    """Fills one object per dataclass with those keys of ``args`` that it has.

    The same key may fill several; keys that none of them has are no error here. A key that is null
    where its type has no place for null counts as absent.

    Args:
        dataclass_types: the dataclasses.
        args: for instance the ``hyperparameters`` of an experiment.
        as_dict: return ``AttrDict`` with exactly the set and the defaulted fields instead.

    Returns:
        One object (or ``AttrDict``) per type, in their order.

    Raises:
        UserError: when a value has the wrong type or a required field is not there; it names the
            YAML keys.
    """
    parsed: list[Any] = []
    for cls in dataclass_types:
        fields = [field for field in dataclasses.fields(cls) if field.init]
        given = {field.name: args[field.name] for field in fields if field.name in args}
        if hasattr(cls, "yaml_section"):
            given = typed_values(cls, given)
        flexible = issubclass(cls, FlexibleKwargs)
        missing = [
            field.name
            for field in fields
            if field.name not in given
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ]
        if missing and not flexible:
            section = getattr(cls, "yaml_section", None)
            raise UserError(f"missing: {', '.join(key_in(section, name) for name in missing)}.")
        value = cls(**given)
        if as_dict:
            value = (
                value.as_dict()
                if flexible
                else utils.AttrDict({f.name: getattr(value, f.name) for f in fields})
            )
        parsed.append(value)
    return parsed


def default_parse_config_tokenizer_model_kwargs(
    hparams: Mapping[str, Any],
) -> tuple[utils.AttrDict, utils.AttrDict, utils.AttrDict]:
    """Reads the arguments of config, tokenizer and model from the hyperparameters.

    ``config_name``, ``tokenizer_name`` and ``model_name`` replace
    ``pretrained_model_name_or_path`` for that one.

    Returns:
        ``(config_kwargs, tokenizer_kwargs, model_kwargs)``.
    """
    kwargs = parse_dict_to_dataclasses(
        (ConfigKwargs, TokenizerKwargs, ModelKwargs), hparams, as_dict=True
    )
    for parsed, name in zip(kwargs, ("config_name", "tokenizer_name", "model_name"), strict=True):
        if hparams.get(name):
            parsed.pretrained_model_name_or_path = hparams[name]
    config_kwargs, tokenizer_kwargs, model_kwargs = kwargs
    return config_kwargs, tokenizer_kwargs, model_kwargs


def default_parse_optimizer_lr_scheduler_kwargs(
    hparams: Mapping[str, Any],
) -> tuple[OptimizerKwargs, LRSchedulerKwargs]:
    """Reads the settings of optimizer and learning-rate schedule from the hyperparameters.

    Raises:
        UserError: when a value has the wrong type, ``num_training_steps`` is not there, or there is
            no optimizer or schedule of that name.
    """
    optimizer_kwargs, scheduler_kwargs = parse_dict_to_dataclasses(
        (OptimizerKwargs, LRSchedulerKwargs), hparams
    )
    # Here already, as the model, which can take minutes to load, is built before they are.
    names.optimizer_name(optimizer_kwargs)
    names.scheduler_name(scheduler_kwargs.lr_scheduler_type)
    return optimizer_kwargs, scheduler_kwargs
