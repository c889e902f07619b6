"""What of a preparation function and a tokenizer decides about their output, for the cache."""

import ast
import functools
import importlib.util
import inspect
import json
import pathlib
from collections.abc import Callable
from typing import Any

import datasets
import transformers


def sources(function: Callable[..., Any]) -> dict[str, str]:
    """The code that a function runs, as far as it is its author's.

    Args:
        function: a function of a module.

    Returns:
        By name the source of the function's module and of the modules beside it (in the same
        folder) that it imports, also through others.
    """
    module = inspect.getmodule(function)
    found = {"": inspect.getsource(module or function)}
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return found
    folder = pathlib.Path(file).parent
    waiting = [found[""]]
    while waiting:
        for name in _imported_neighbours(waiting.pop(), module.__package__ or ""):
            path = folder / f"{name}.py"
            if name not in found and path.is_file():
                found[name] = path.read_text(encoding="utf-8")
                waiting.append(found[name])
    return found


@functools.cache
def _imported_neighbours(source: str, package: str) -> tuple[str, ...]:
    """Names right below ``package`` that are imported; modules, and what is in the package."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                origin = importlib.util.resolve_name("." * node.level + origin, package)
            names = [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
        prefix = f"{package}." if package else ""
        for name in names:
            if name.startswith(prefix):
                found.append(name.removeprefix(prefix).split(".")[0])
    return tuple(found)


def tokenizer_state(tokenizer: transformers.PreTrainedTokenizerBase) -> dict[str, Any]:
    """What of a tokenizer decides about its output, without what a call leaves behind in it.

    A fast tokenizer keeps the last call's padding and truncation, which would change its hash and
    make every cache miss.
    """
    state: dict[str, Any] = {
        "class": type(tokenizer).__name__,
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
        "model_max_length": tokenizer.model_max_length,
        "model_input_names": tokenizer.model_input_names,
        "special_tokens": {k: str(v) for k, v in tokenizer.special_tokens_map.items()},
        "chat_template": getattr(tokenizer, "chat_template", None),
    }
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        state["vocabulary"] = tokenizer.get_vocab()
        # Switches and numbers such as do_lower_case; among the texts there are paths.
        state["settings"] = {
            k: v for k, v in tokenizer.init_kwargs.items() if isinstance(v, (bool, int, float))
        }
    else:
        pipeline = json.loads(backend.to_str())
        # As text: hashing every entry of the vocabulary as an object takes a second.
        state["pipeline"] = json.dumps(
            {k: v for k, v in pipeline.items() if k not in ("padding", "truncation")}
        )
    return state


def forget_other_parts(dataset: datasets.Dataset, fingerprint: str, num_proc: int | None) -> None:
    """Removes what the cache has of a prepared dataset in another number of parts.

    ``Dataset.map`` prepares as many parts as the cache has, also when it is told not to read them:
    with those of one process, one of several would do all the work. Parts of the number asked for
    stay, as other processes may be about to read them; they are replaced as a whole.

    Args:
        dataset: raw rows.
        fingerprint: of the prepared dataset.
        num_proc: processes that will prepare it.
    """
    if not dataset.cache_files:
        return
    wanted = max(1, min(num_proc or 1, len(dataset)))
    folder = pathlib.Path(dataset.cache_files[0]["filename"]).parent
    for path in folder.glob(f"cache-{fingerprint}*.arrow"):
        parts = path.stem.rpartition("_of_")[2] if "_of_" in path.stem else "1"
        if parts.isdigit() and int(parts) != wanted:
            path.unlink(missing_ok=True)
