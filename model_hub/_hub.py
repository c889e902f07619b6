"""The Hugging Face Hub: names, the reasons for failed loading, and access tokens."""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


def is_repo_id(text: str) -> bool:
    """Return whether the text can be a name on the Hub; if not, it can only be a path."""
    return _NAME.fullmatch(text) is not None and not text.startswith(".")


def explain_load_error(name: str, error: BaseException) -> str:
    """Return why a model or data set could not be loaded, without a full stop at the end.

    ``name`` is a name on the Hub or the path of a folder, ``error`` the exception of the library
    that was to load it.
    """
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    if pathlib.Path(name).expanduser().exists():
        return reason
    folder = f"there is no folder {name!r} (looked in {pathlib.Path.cwd()})"
    if not is_repo_id(name):
        return folder
    uncached = f"{folder}, nor is this name in the Hugging Face Hub's cache; the Hub"
    for variable in _OFFLINE:
        if os.environ.get(variable, "").upper() in ("1", "ON", "YES", "TRUE"):
            return f"{uncached} is not reached, because {variable} is set"
    if "connect to" in reason or "reach the Hugging Face Hub" in reason:
        return f"{uncached} cannot be reached"
    return reason


_KEYS = ("token", "use_auth_token")


def is_secret(key: str, value: Any) -> bool:
    """Return whether the value of a YAML key is an access token.

    True and false are not: they say whether to use the stored token.
    """
    return key in _KEYS and value is not None and not isinstance(value, bool)


def redacted(key: str, value: Any) -> str:
    """Return the value's ``repr`` for logs and messages, with an access token hidden."""
    return "'***'" if is_secret(key, value) else repr(value)


def redact_secrets(hparams: Any) -> Any:
    """Return hyperparameters without access tokens; anything but a mapping stays unchanged."""
    if not isinstance(hparams, Mapping):
        return hparams
    return {key: value for key, value in hparams.items() if not is_secret(key, value)}
