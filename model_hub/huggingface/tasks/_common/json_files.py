"""JSON files of predictions, written whole or not at all."""

import contextlib
import itertools
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_json = json.JSONEncoder(ensure_ascii=False).encode


@contextlib.contextmanager
def json_object(path: pathlib.Path) -> Iterator[Callable[[str, str], None]]:
    """Writes a UTF-8 JSON object entry by entry, one a line.

    A reader sees the old file or the whole new one, never a part of it.

    Args:
        path: the file; its folder is made.

    Yields:
        A function that adds an entry: its name, and its value as JSON.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, suffix=".tmp", delete=False
    ) as part:
        # json's own indent takes twice as long for the n-best lists.
        before = itertools.chain(("{\n",), itertools.repeat(",\n"))

        def add(name: str, value: str) -> None:
            part.write(f"{next(before)}{_json(name)}: {value}")

        try:
            yield add
            part.write("\n}\n" if part.tell() else "{\n}\n")
            part.close()
            # Temporary files are private; these are results for everybody.
            os.chmod(part.name, 0o666 & ~_umask())
            os.replace(part.name, path)
        except BaseException:
            os.unlink(part.name)
            raise


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a mapping as :func:`json_object` does."""
    with json_object(path) as add:
        for name, value in content.items():
            add(name, _json(value))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
