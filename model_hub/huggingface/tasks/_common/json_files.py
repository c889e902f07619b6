"""JSON files of predictions, which appear whole or not at all."""

import contextlib
import itertools
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson


@contextlib.contextmanager
def json_object(path: pathlib.Path) -> Iterator[Callable[[str, Any], None]]:
    """Write a JSON object in UTF-8 entry by entry, one a line.

    A reader sees the old file or the whole new one, never a part of it.

    Args:
        path: the file; its folder is created.

    Yields:
        A function that takes the name and the value of the next entry.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, suffix=".tmp", delete=False) as part:
        separators = itertools.chain((b"{\n",), itertools.repeat(b",\n"))

        def add(name: str, value: Any) -> None:
            part.write(next(separators) + _dumps(name) + b": " + _dumps(value))

        try:
            yield add
            part.write(b"\n}\n" if part.tell() else b"{\n}\n")
            part.close()
            # Temporary files are private; these are results for everybody.
            os.chmod(part.name, 0o666 & ~_umask())
            os.replace(part.name, path)
        except BaseException:
            os.unlink(part.name)
            raise


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as :func:`json_object` does."""
    with json_object(path) as add:
        for name, value in content.items():
            add(name, value)


def _dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # Lone surrogates, and integers of more than 64 bits.
        return json.dumps(value).encode()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
