"""Reading and writing of YAML as ``det`` does: YAML 1.2, in which ``3e-5`` is a number."""

import datetime
import io
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any, TypeGuard

import ruamel.yaml

from model_hub.errors import UserError


def yaml_reader() -> ruamel.yaml.YAML:
    """Return a new parser; each text needs its own."""
    return ruamel.yaml.YAML(typ="safe", pure=True)


def read_yaml(file: pathlib.Path) -> str:
    """Return the text of a YAML file, with its line breaks unchanged.

    Raises:
        UserError: when it cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read the configuration {str(file)!r}: {error.strerror}."
        ) from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"cannot read the configuration {str(file)!r}: line {line} is not UTF-8 "
            f"({error.reason}); save the file as UTF-8."
        ) from error


def write_text_file(file: pathlib.Path, text: str) -> None:
    """Replace the text of an existing YAML file; if that fails, the file is unchanged.

    Raises:
        UserError: when it cannot be written.
    """
    target = file.resolve()
    part = target.with_name(f"{target.name}.part")
    try:
        with target.open("r+b"):  # A file without permission to write is not replaced either.
            part.write_bytes(text.encode("utf-8"))
        shutil.copymode(target, part)
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {str(file)!r}: {error.strerror}; it is unchanged."
        ) from error


def parse_yaml(text: str, where: str) -> Any:
    """Return the value of a YAML text, in plain dicts and lists.

    Raises:
        UserError: when the text is not YAML; ``where`` names its source in the message.
    """
    try:
        return to_plain(yaml_reader().load(text))
    except ruamel.yaml.error.YAMLError as error:
        line, reason = error_location(error)
        raise UserError(
            f"{where}: not valid YAML ({reason})."
            if line is None
            else f"{where}, line {line}: not valid YAML ({reason})."
        ) from error
    except (ValueError, TypeError) as error:  # A tag such as !!int on a value of another type.
        raise UserError(f"{where}: not valid YAML ({error}).") from error


def error_location(error: ruamel.yaml.error.YAMLError) -> tuple[int | None, str]:
    """Return the line (from 1) of a parser's error, None if it has none, and the reason."""
    if not isinstance(error, ruamel.yaml.error.MarkedYAMLError):
        # Such as a character that YAML does not allow; the next lines are the place in a stream.
        return None, str(error).splitlines()[0]
    mark = error.problem_mark or error.context_mark
    reason = str(error.problem or error.context)
    start = error.context_mark
    if error.problem and mark and start and start.line < mark.line:
        reason += f", {error.context} that begins in line {start.line + 1}"
    return (mark.line + 1 if mark else None), reason


def to_plain(value: Any) -> Any:
    """Return the value in plain dicts and lists, which can be compared and pickled."""
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def get_path(config: Any, *path: str) -> Any:
    """Return the value at a path; None where a key is missing, or not in a mapping."""
    for name in path:
        config = config.get(name) if isinstance(config, Mapping) else None
    return config


def in_yaml(value: Any) -> str:
    """Return the value as YAML spells it in one line, for messages; texts are in quotes."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        items = (
            f"{k if isinstance(k, str) else in_yaml(k)}: {in_yaml(v)}" for k, v in value.items()
        )
        return f"{{{', '.join(items)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(in_yaml, value))}]"
    if isinstance(value, datetime.date):
        return value.isoformat()
    return repr(value)


def is_whole(value: Any, least: int) -> TypeGuard[int]:
    """Return whether the value of a YAML key is a whole number of at least ``least``."""
    # In Python True is an int as well; in a YAML it is not.
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def dump_config(config: Mapping[str, Any]) -> str:
    """Return the configuration as YAML text, which ``document.read_config`` reads back the same."""
    yaml = yaml_reader()
    yaml.default_flow_style = False
    yaml.width = 1_000_000  # Long texts stay on one line.
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump(to_plain(config), stream)
    return stream.getvalue()
