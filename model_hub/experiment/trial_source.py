"""The names that the source code of a trial mentions."""

import ast
import functools
import pathlib
import re
import sys
import sysconfig
from types import ModuleType
from typing import Any

_WORD = re.compile(r"\w+")


def names_in_source(trial_class: type | None) -> frozenset[str] | None:
    """Return all names and words of texts in the source code of a trial, without its comments.

    The source is that of the modules in which the trial and its base classes are defined, without
    those of installed packages, and of the modules in the same folder that they import.

    Args:
        trial_class: the trial; None where it could not be imported.

    Returns:
        The names; None where the source is not known, as that of a class from a notebook.
    """
    if trial_class is None:
        return None
    found: set[str] = set()
    seen: set[str] = set()
    own = sys.modules.get(trial_class.__module__)
    if own is None or _source_file(own) is None:
        return None
    waiting = [own.__name__]
    for base in trial_class.__mro__:
        module = sys.modules.get(base.__module__)
        if module is not None and _is_users(module):
            waiting.append(module.__name__)
    while waiting:
        name = waiting.pop()
        module = sys.modules.get(name)
        file = None if module is None else _source_file(module)
        if name in seen or module is None or file is None:
            continue
        seen.add(name)
        names, imported = _names_in_file(file, file.stat().st_mtime_ns, module.__package__ or "")
        found |= names
        for other in imported:
            neighbour = sys.modules.get(other)
            if neighbour is not None and _is_users(neighbour):
                waiting.append(other)
    return frozenset(found)


def _source_file(module: ModuleType) -> pathlib.Path | None:
    name = getattr(module, "__file__", None)
    file = pathlib.Path(name) if name else None
    return file if file is not None and file.suffix == ".py" and file.is_file() else None


def _is_users(module: ModuleType) -> bool:
    """Return whether the module is the user's, and neither Python's nor an installed package's."""
    file = _source_file(module)
    if file is None or module.__name__.partition(".")[0] in ("model_hub", "determined"):
        return False
    paths = sysconfig.get_paths()
    installed = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    parts = set(file.parts)
    return not parts & {"site-packages", "dist-packages"} and not any(
        file.is_relative_to(path) for path in installed
    )


@functools.lru_cache(maxsize=256)
def _names_in_file(
    file: pathlib.Path, changed: int, package: str
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that a file mentions, and the modules that it may import.

    Args:
        file: the file.
        changed: its time of change, so that a file that was changed is read again.
        package: the package of the module, from which relative imports start.
    """
    names: set[str] = set()
    imported: set[str] = set()
    tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        names.update(_names_of(node))
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            above = ".".join(parts) if node.level else ""
            base = ".".join(filter(None, (above, node.module)))
            imported.add(base)
            imported.update(f"{base}.{alias.name}" for alias in node.names)
    return frozenset(names), frozenset(imported)


def _names_of(node: Any) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, (ast.arg, ast.keyword)):
        return [node.arg or ""]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value, *_WORD.findall(node.value)]
    return []
