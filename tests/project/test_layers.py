"""Packages import only those that stand after them in one list; nothing runs up or in a circle."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2] / "model_hub"
# A package or module may import what comes after it; docs/how-it-is-built.md explains the list.
LAYERS = """
__main__ cli commands check huggingface.inference huggingface.train huggingface.export
huggingface.runner huggingface huggingface.trial huggingface.compat huggingface.training
huggingface.tasks huggingface.checkpoint huggingface.data huggingface.model huggingface.config
utils new experiment _terminal _hub errors __version__
""".split()


def layer_of(module: str) -> str:
    """The longest name in the list that the module is, or lies in."""
    parts = module.removeprefix("model_hub").strip(".").split(".")
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((name for name in names if name in LAYERS), "__version__")


def test_imports_point_down() -> None:
    wrong = set()
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        layer = layer_of(name.removesuffix(".__init__"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = getattr(node, "module", None) or ""
            for alias in getattr(node, "names", []) if module.startswith("model_hub") else []:
                target = alias.name if module == "model_hub" else f"{module}.{alias.name}"
                below = layer_of(target)
                if LAYERS.index(below) < LAYERS.index(layer):
                    wrong.add((layer, below, path.name))
    assert not wrong
