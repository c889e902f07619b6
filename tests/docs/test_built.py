"""The boxes and arrows of docs/how-it-is-built.md are those of the code."""

import ast
import fnmatch
import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-it-is-built.md").read_text(encoding="utf-8")
# Every box may import these, so that their arrows are left out.
EVERYONES = "base"


def read_diagram() -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """Modules and arrows by the name of the box, from top to bottom."""
    (diagram,) = re.findall(r"```text\n(command.*?)```", PAGE, re.DOTALL)
    boxes: dict[str, list[str]] = {}
    arrows: dict[str, set[str]] = {}
    for part in diagram.strip().split("\n\n"):
        name = part.split()[0]
        modules, _, rest = part.partition("\n  |")
        boxes[name] = modules.split()[1:]
        arrows[name] = set(rest.partition("+->")[2].split())
    return boxes, arrows


BOXES, ARROWS = read_diagram()


def modules() -> dict[str, pathlib.Path]:
    found = {}
    for path in sorted((ROOT / "model_hub").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(path: pathlib.Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else str(node.module)


def name_in_diagram(module: str) -> str:
    """As the page writes it: ``_data``, ``tasks/seq2seq``, ``_check/engine``."""
    name = module.removeprefix("model_hub").removeprefix(".")
    short = name.removeprefix("huggingface").removeprefix(".") or "__init__"
    return re.sub(r"^(tasks|_check|_new)(\.|$)", r"\1/", short)


def box_of(module: str) -> str:
    if module == "model_hub":
        return EVERYONES  # Holds the version.
    name = name_in_diagram(module)
    found = [box for box, kept in BOXES.items() if any(fnmatch.fnmatch(name, k) for k in kept)]
    assert len(found) == 1, f"{module} stands in {found or 'no box'} of docs/how-it-is-built.md"
    return found[0]


def test_every_module_stands_in_one_box() -> None:
    used = {box_of(module) for module in MODULES}
    assert used == set(BOXES)
    names = {name_in_diagram(module) for module in MODULES}
    for kept in BOXES.values():
        assert all(fnmatch.filter(names, pattern) for pattern in kept), kept


@pytest.mark.parametrize("box", BOXES)
def test_arrows_are_the_imports(box: str) -> None:
    real = {
        box_of(target)
        for module, path in MODULES.items()
        if box_of(module) == box
        for target in imported(path)
    }
    assert ARROWS[box] == real - {box, EVERYONES}


def test_arrows_point_down() -> None:
    order = list(BOXES)
    for box, targets in ARROWS.items():
        for target in targets:
            assert order.index(box) < order.index(target), (box, target)
