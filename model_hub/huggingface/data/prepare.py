"""Preparation of a dataset by a task's function, with a cache of the result."""

import ast
import contextlib
import functools
import gc
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
from model_hub.huggingface.data.data_file import known_digests

_TASKS = "model_hub.huggingface.tasks"


def source_code(function: Callable[..., Any]) -> dict[str, str]:
    """Return the source code on which a function's result depends.

    Args:
        function: a function that is defined in a module.

    Returns:
        Source by module: that of the function's module under the key ``""``, and those of the
        modules that it imports, directly or indirectly, from its own folder and folders below it,
        under their names relative to that folder. For a function of one of this library's tasks,
        the folder is ``tasks``.
    """
    module = inspect.getmodule(function)
    found = {"": inspect.getsource(module or function)}
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return found
    package = root = module.__package__ or ""
    folder = pathlib.Path(file).parent
    if root.startswith(f"{_TASKS}."):
        folder = folder.parents[root.removeprefix(_TASKS).count(".") - 1]
        root = _TASKS
    waiting = [(found[""], package)]
    while waiting:
        for imported in _imported_names(*waiting.pop()):
            path = _module_below(folder, root, imported)
            if path is None:
                continue
            relative = path.relative_to(folder).with_suffix("")
            name = ".".join(relative.parts).removesuffix(".__init__")
            if name not in found:
                found[name] = path.read_text(encoding="utf-8")
                waiting.append((found[name], ".".join(filter(None, (root, *relative.parts[:-1])))))
    return found


@functools.cache
def _imported_names(source: str, package: str) -> tuple[str, ...]:
    """Return the full names of everything that a module imports.

    Args:
        source: the module's source.
        package: its package; empty if its folder is not a package. Relative imports are then
            resolved as if the folder were on ``sys.path``.
    """
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) + 1 - node.level] if node.level else []
            origin = ".".join(filter(None, (*base, node.module)))
            found += [origin, *(f"{origin}.{alias.name}".lstrip(".") for alias in node.names)]
    return tuple(found)


def _module_below(folder: pathlib.Path, root: str, name: str) -> pathlib.Path | None:
    """Return the file of a module, or of the module that defines a name.

    Args:
        folder: the folder of ``root``.
        root: name of a package; empty for a folder that is not a package.
        name: full name of a module, or of something in a module.

    Returns:
        The file, or None if there is no such module in the folder or below it.
    """
    if root and name != root and not name.startswith(f"{root}."):
        return None
    parts = [part for part in name.removeprefix(root).split(".") if part]
    # A package defines names in its own __init__.py.
    for count in range(len(parts), -1 if root else 0, -1):
        path = folder.joinpath(*parts[:count])
        for candidate in (path / "__init__.py", path.with_suffix(".py")):
            if candidate.is_file():
                return candidate
    return None


def tokenizer_state(tokenizer: transformers.PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return the properties of a tokenizer on which its output depends.

    They do not include the padding and truncation of the last call, which a fast tokenizer stores:
    with them the fingerprint would change from call to call.
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
        # Flags and numbers such as do_lower_case; texts are left out, since some are paths.
        state["settings"] = {
            k: v for k, v in tokenizer.init_kwargs.items() if isinstance(v, (bool, int, float))
        }
    else:
        pipeline = json.loads(backend.to_str())
        # As one text, since hashing every entry of the vocabulary as an object takes a second.
        state["pipeline"] = json.dumps(
            {k: v for k, v in pipeline.items() if k not in ("padding", "truncation")}
        )
    return state


def remove_other_shards(dataset: datasets.Dataset, fingerprint: str, num_proc: int | None) -> None:
    """Delete cached shards of a prepared dataset that were made by another number of processes.

    ``Dataset.map`` uses as many processes as there are shards in the cache, even with
    ``load_from_cache_file=False``. Shards of the same number are kept, since other processes may be
    about to read them; ``map`` overwrites them.

    Args:
        dataset: raw rows.
        fingerprint: the fingerprint of the prepared dataset.
        num_proc: number of processes that will prepare it.
    """
    if not dataset.cache_files:
        return
    wanted = max(1, min(num_proc or 1, len(dataset)))
    folder = pathlib.Path(dataset.cache_files[0]["filename"]).parent
    for path in folder.glob(f"cache-{fingerprint}*.arrow"):
        shards = path.stem.rpartition("_of_")[2] if "_of_" in path.stem else "1"
        if shards.isdigit() and int(shards) != wanted:
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
    """Map a task's preparation function over a dataset, or load the result from the cache.

    Args:
        dataset: raw rows; all their columns are replaced.
        function: a pure function of a batch of rows, ``tokenizer=`` and ``function_kwargs``, which
            returns columns.
        tokenizer: the tokenizer.
        num_proc: number of processes.
        overwrite_cache: prepare again even if the result is in the cache.
        description: text beside the progress bar.
        function_kwargs: further arguments of ``function``.

    Returns:
        The prepared dataset. Its fingerprint, which is the key of the cache, depends on the raw
        data, the source of the function (:func:`source_code`), the arguments, the tokenizer
        (:func:`tokenizer_state`), and the versions of this library and of transformers.
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
    # Before the call, since the function may remove columns from the rows.
    names = list(rows)
    # Thousands of lists are created at once, all of which garbage collection would traverse.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return arrow.as_table(prepare(rows), names)
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def local_main_first(context: pytorch.PyTorchTrialContext) -> Iterator[None]:
    """Run the body in one process of each machine first, and in the others after it has finished.

    For work that fills a cache, such as reading and tokenizing files: the first process fills it,
    the others read from it. They wait without a time limit.
    """
    distributed = context.distributed
    first = distributed.local_rank == 0
    # The hashes of data files too are computed by one process only.
    digests: dict[str, str] = {} if first else distributed.broadcast_local(None)
    try:
        with known_digests(digests):
            yield
    finally:
        # Also after an error: the others then meet it themselves instead of waiting forever.
        if first:
            distributed.broadcast_local(digests)
