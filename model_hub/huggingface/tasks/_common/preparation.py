"""Preparation of the datasets of a trial."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import datasets
import transformers

from model_hub.huggingface.data.load import default_load_dataset
from model_hub.huggingface.data.prepare import prepare_dataset


class PreparedDatasets(NamedTuple):
    """The datasets of a trial.

    Attributes:
        train: features to train on.
        validation: features to validate on.
    """

    train: datasets.Dataset
    validation: datasets.Dataset


def load_text_rows(data_config: Mapping[str, Any]) -> datasets.DatasetDict:
    """Load the data of a task whose columns all hold text: cells of csv files stay as they are.

    Args:
        data_config: section ``data``.

    Raises:
        UserError: as :func:`model_hub.huggingface.default_load_dataset`.
    """
    return default_load_dataset(data_config, typed_columns=())


class PreparationKwargs(Protocol):
    """The keys of section ``data`` about preparation."""

    preprocessing_num_workers: int | None
    overwrite_cache: bool


def prepare_split(
    rows: datasets.Dataset,
    function: Callable[..., dict[str, list[Any]]],
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: PreparationKwargs,
    description: str,
    **settings: Any,
) -> datasets.Dataset:
    """Apply a task's preparation function to rows, or read the result from the cache.

    Args:
        rows: rows as loaded.
        function: the preparation function.
        tokenizer: the tokenizer.
        data_kwargs: section ``data``.
        description: text beside the progress bar.
        settings: further arguments of the function.
    """
    return prepare_dataset(
        rows,
        function,
        tokenizer=tokenizer,
        num_proc=data_kwargs.preprocessing_num_workers,
        overwrite_cache=data_kwargs.overwrite_cache,
        description=description,
        **settings,
    )


def sources_of_splits(sources: Mapping[str, str] | None) -> dict[str, str]:
    """Return where the splits ``train`` and ``validation`` come from, for messages."""
    return {name: (sources or {}).get(name, f"split {name!r}") for name in ("train", "validation")}
