"""Values that YAML can write, and an experiment's configuration cannot hold."""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

from model_hub.experiment.findings import Finding, Path, dotted
from model_hub.experiment.messages import truncate
from model_hub.experiment.yaml_io import in_yaml


def plain_findings(value: Any, path: Path = ()) -> Iterator[Finding]:
    """Yield values and keys that are not text, numbers, true, false or null.

    The master keeps a configuration as JSON, which has no dates, binary data or sets, and no lists
    as keys.

    Args:
        value: the value, as the YAML has it.
        path: its key.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str):
                yield from plain_findings(item, (*path, key))
            elif isinstance(key, (int, float)) or key is None:
                yield from plain_findings(item, (*path, in_yaml(key)))
            else:
                where = dotted(path) or "the file"
                message = f"{where} has the key {truncate(key)}, but a key should be text"
                quotes = isinstance(key, datetime.date)
                yield Finding(
                    (*path, in_yaml(key)),
                    f"{message}; put it in quotes: '{in_yaml(key)}'" if quotes else message,
                )
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from plain_findings(item, (*path, number))
    elif isinstance(value, datetime.date):
        text = in_yaml(value)
        yield Finding(path, f"{dotted(path)} is {text}, a date to YAML; put it in quotes: '{text}'")
    elif value is not None and not isinstance(value, (str, int, float)):
        kind = "binary data" if isinstance(value, bytes) else f"a {type(value).__name__}"
        yield Finding(path, f"{dotted(path)} is {kind}, but should be text, a number or a list")
