"""Access tokens of the Hugging Face Hub, which neither logs nor files may show."""

from collections.abc import Mapping
from typing import Any

_KEYS = ("token", "use_auth_token")


def is_secret(key: str, value: Any) -> bool:
    """Whether the value of a YAML key is an access token; true and false stand for a stored one."""
    return key in _KEYS and value is not None and not isinstance(value, bool)


def shown(key: str, value: Any) -> str:
    """The value's ``repr`` as logs and messages may show it."""
    return "'***'" if is_secret(key, value) else repr(value)


def without_secrets(value: Any) -> Any:
    """The nested value in plain dicts and lists, without the keys that hold a token."""
    if isinstance(value, Mapping):
        return {k: without_secrets(v) for k, v in value.items() if not is_secret(k, v)}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value
