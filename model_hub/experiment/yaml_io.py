"""Reading YAML text as ``det`` does: YAML 1.2, in which ``3e-5`` is a number."""

import io
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any, TypeGuard

import ruamel.yaml

from model_hub.errors import UserError


def yaml_reader() -> ruamel.yaml.YAML:
    """A fresh parser; one parser is for one text."""
    return ruamel.yaml.YAML(typ="safe", pure=True)


def read_yaml(file: pathlib.Path) -> str:
    """The text of a YAML file, with its line breaks as they are.

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
    """Puts a text into a YAML file that is there; a full disk leaves the file as it was.

    Raises:
        UserError: when it cannot be written.
    """
    target = file.resolve()
    part = target.with_name(f"{target.name}.part")
    try:
        with target.open("r+b"):  # One that may not be written is not replaced either.
            part.write_bytes(text.encode("utf-8"))
        shutil.copymode(target, part)
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {str(file)!r}: {error.strerror}; it is as it was."
        ) from error


def parse_yaml(text: str, where: str) -> Any:
    """The value that the text stands for, in plain dicts and lists.

    Args:
        text: the YAML.
        where: what it is, for the message.

    Raises:
        UserError: when it is no YAML.
    """
    try:
        return to_plain(yaml_reader().load(text))
    except ruamel.yaml.error.YAMLError as error:
        line, reason = error_location(error)
        raise UserError(
            f"{where}: no YAML ({reason})."
            if line is None
            else f"{where}, line {line}: no YAML ({reason})."
        ) from error


def error_location(error: ruamel.yaml.error.YAMLError) -> tuple[int | None, str]:
    """The line (from 1) where the reader failed, None if it does not say; and why."""
    if not isinstance(error, ruamel.yaml.error.MarkedYAMLError):
        # Such as a character that cannot stand in a YAML: on further lines is where, in a stream.
        return None, str(error).splitlines()[0]
    mark = error.problem_mark or error.context_mark
    reason = str(error.problem or error.context)
    began = error.context_mark
    if error.problem and mark and began and began.line < mark.line:
        reason += f", {error.context} that begins in line {began.line + 1}"
    return (mark.line + 1 if mark else None), reason


def to_plain(value: Any) -> Any:
    """The value in plain dicts and lists, for those who compare types or pickle."""
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def in_yaml(value: Any) -> str:
    """The value as a YAML spells it in one line, for messages; texts are quoted."""
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
    return repr(value)


def is_whole(value: Any, least: int) -> TypeGuard[int]:
    """Whether the value of a YAML key is a whole number, and not below ``least``."""
    # In Python True is an int as well; in a YAML it is not.
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def read_config(path: pathlib.Path) -> dict[str, Any]:
    """Reads an experiment's YAML as ``det`` does: YAML 1.2, in which ``3e-5`` is a number.

    Raises:
        UserError: when there is no such file, it is no YAML, or no mapping.
    """
    config = parse_yaml(read_yaml(path), str(path))
    if not isinstance(config, dict):
        found = "is empty" if config is None else f"holds {in_yaml(config)[:60]}"
        raise UserError(
            f"{path}: should hold keys such as 'hyperparameters:' and 'data:', but {found}."
        )
    return config


def dump_config(config: Mapping[str, Any]) -> str:
    """The configuration as YAML text that :func:`read_config` reads back the same."""
    yaml = ruamel.yaml.YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 1_000_000  # Long texts stay on their line.
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump(to_plain(config), stream)
    return stream.getvalue()
