"""Values of the YAML in the types that a dataclass declares."""

import types
import typing
from collections.abc import Mapping
from typing import Any

from model_hub import utils
from model_hub._secrets import is_secret, shown
from model_hub.errors import UserError


def key_in(section: str | None, name: Any) -> str:
    """The key as messages show it: ``data.doc_stride``."""
    name = name if isinstance(name, str) else utils.in_yaml(name)
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
            wanted = _described(hints[name])
            found = shown(name, value) if is_secret(name, value) else utils.in_yaml(value)
            wrong.append(f"{key_in(section, name)} is {found}, but should be {wanted}")
    if wrong:
        raise UserError("; ".join(wrong) + ".")
    return typed


def _options(hint: Any) -> tuple[Any, ...]:
    """The members of a union, written as ``A | B`` or ``Optional[A]``; else the hint alone."""
    is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return typing.get_args(hint) if is_union else (hint,)


def _takes_null(hint: Any) -> bool:
    """Whether null is a value of the type; of types that are not checked it may be one."""
    for option in _options(hint):
        kind = typing.get_origin(option) or option
        if not isinstance(kind, type) or kind in (Any, object, type(None)):
            return True
    return False


def _convert(value: Any, hint: Any) -> Any:
    options = _options(hint)
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


def _described(hint: Any) -> str:
    words = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        dict: "a mapping of names to values",
        list: "a list",
        type(None): "null",
    }
    options = [option for option in _options(hint)]
    if float in options and int in options:
        options.remove(int)
    return " or ".join(words.get(typing.get_origin(o) or o, str(o)) for o in options)
