"""What of a preparation function and a tokenizer decides about their output, for the cache."""

import ast
import contextlib
import functools
import gc
import importlib.util
import inspect
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import datasets
import pyarrow as pa
import transformers
from datasets.fingerprint import Hasher
from determined import pytorch

import model_hub
from model_hub.huggingface.data import arrow

_TASKS = "model_hub.huggingface.tasks"


def source_code(function: Callable[..., Any]) -> dict[str, str]:
    """Return the code that decides about a function's result, as far as its author wrote it.

    Args:
        function: a function of a module.

    Returns:
        By name the source of the function's module and of all modules that it imports, directly or
        through others, from the same folder or from folders below. For a function of a task of this
        library that folder is ``tasks``.
    """
    module = inspect.getmodule(function)
    found = {"": inspect.getsource(module or function)}
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return found
    root = module.__package__ or ""
    folder = pathlib.Path(file).parent
    if root.startswith(f"{_TASKS}."):
        folder = folder.parents[root.removeprefix(_TASKS).count(".") - 1]
        root = _TASKS
    waiting = [(found[""], module.__package__ or "")]
    while waiting:
        source, package = waiting.pop()
        for imported in _imported_names(source, package):
            name, path = _module_below(folder, root, imported)
            if path is not None and name not in found:
                found[name] = path.read_text(encoding="utf-8")
                inside = name if path.name == "__init__.py" else name.rpartition(".")[0]
                waiting.append((found[name], ".".join(filter(None, (root, inside)))))
    return found


@functools.cache
def _imported_names(source: str, package: str) -> tuple[str, ...]:
    """Return the full names of all that a module of ``package`` imports."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                origin = importlib.util.resolve_name("." * node.level + origin, package)
            found += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return tuple(found)


def _module_below(folder: pathlib.Path, root: str, name: str) -> tuple[str, pathlib.Path | None]:
    """Return the module that holds ``name``: its name relative to ``root``, and its file.

    Args:
        folder: where the modules of ``root`` are.
        root: name of a package, or nothing for a folder that is none.
        name: full name of a module, or of something in a module.

    Returns:
        None in the place of the file if there is no such module below ``root``.
    """
    prefix = f"{root}." if root else ""
    parts = name.removeprefix(prefix).split(".") if name.startswith(prefix) else []
    while parts:
        path = folder.joinpath(*parts)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return ".".join(parts), candidate
        parts.pop()
    return name, None


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


def remove_other_shards(dataset: datasets.Dataset, fingerprint: str, num_proc: int | None) -> None:
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


def prepare_dataset(
    dataset: datasets.Dataset,
    function: Callable[..., dict[str, list[Any]]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    num_proc: int | None = None,
    overwrite_cache: bool = False,
    description: str | None = None,
    **function_kwargs: Any,
) -> datasets.Dataset:
    """Maps a task's pure preparation function over a dataset; a second run reads the cache.

    Args:
        dataset: raw rows; all their columns are replaced.
        function: takes a batch of rows, ``tokenizer=`` and ``function_kwargs``; returns columns.
        tokenizer: the tokenizer.
        num_proc: processes to share the work.
        overwrite_cache: prepare again although the cache has it.
        description: shown beside the progress bar.
        function_kwargs: further settings of ``function``.

    Returns:
        The prepared dataset. Its cache is found by the raw data, the source of the function's
        module and of its neighbours that it imports, the settings, and the tokenizer's vocabulary
        and rules.
    """
    fingerprint = Hasher.hash(
        (
            dataset._fingerprint,
            function.__qualname__,
            source_code(function),
            sorted(function_kwargs.items()),
            tokenizer_state(tokenizer),
            (model_hub.__version__, transformers.__version__),
        )
    )
    prepare = functools.partial(function, tokenizer=tokenizer, **function_kwargs)
    if overwrite_cache:
        remove_other_shards(dataset, fingerprint, num_proc)
    return dataset.map(
        functools.partial(_prepare_batch, prepare),
        batched=True,
        remove_columns=dataset.column_names,
        num_proc=num_proc,
        load_from_cache_file=not overwrite_cache,
        new_fingerprint=fingerprint,
        desc=description,
    )


def _prepare_batch(
    prepare: Callable[..., Mapping[str, Any]], rows: Mapping[str, Any]
) -> pa.Table | Mapping[str, Any]:
    # Asked before, since a function may take columns out of the rows.
    names = list(rows)
    # Thousands of lists appear at once; looking whether some of them are garbage costs time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return arrow.as_table(prepare(rows), names)
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def local_main_first(context: pytorch.PyTorchTrialContext) -> Iterator[None]:
    """Lets one process of each machine through first, the others when it is done.

    For work that fills a cache: the first does it, the others read it. They wait without a
    time-out, however long it takes.
    """
    distributed = context.distributed
    first = distributed.local_rank == 0
    if not first:
        distributed.broadcast_local(None)
    try:
        yield
    finally:
        # Also after an error: the others then run into it themselves instead of waiting for ever.
        if first:
            distributed.broadcast_local(None)
