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


def without_secrets(hparams: Any) -> Any:
    """Hyperparameters without the keys that hold a token; what is no mapping stays as it is."""
    if not isinstance(hparams, Mapping):
        return hparams
    return {key: value for key, value in hparams.items() if not is_secret(key, value)}
