"""Counts how often rows are prepared and texts are tokenized, in whatever process imports it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import datasets
import transformers


@contextlib.contextmanager
def counted() -> Iterator[dict[str, int]]:
    """What is done while it is open: splits that are prepared, texts that a tokenizer gets."""
    done = {"splits": 0, "texts": 0}
    map_single = datasets.Dataset._map_single
    tokenizer = transformers.PreTrainedTokenizerBase.__call__

    def counted_map(*args: Any, **kwargs: Any) -> Any:
        done["splits"] += 1
        return map_single(*args, **kwargs)

    def counted_tokenizer(self: Any, text: Any = None, *args: Any, **kwargs: Any) -> Any:
        done["texts"] += len(text) if isinstance(text, (list, tuple)) else 1
        return tokenizer(self, text, *args, **kwargs)

    datasets.Dataset._map_single = staticmethod(counted_map)
    transformers.PreTrainedTokenizerBase.__call__ = counted_tokenizer  # type: ignore[method-assign]
    try:
        yield done
    finally:
        datasets.Dataset._map_single = staticmethod(map_single)
        transformers.PreTrainedTokenizerBase.__call__ = tokenizer  # type: ignore[method-assign]
