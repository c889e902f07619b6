"""Rows of text: the column that holds it."""

import logging
from collections.abc import Mapping
from typing import Any

import datasets

from model_hub.errors import UserError
from model_hub.huggingface.data import load
from model_hub.huggingface.data.columns import columns_of_text, require_text
from model_hub.huggingface.data.problems import Problems
from model_hub.huggingface.tasks._common.preparation import sources_of_splits
from model_hub.huggingface.tasks.language_modeling.settings import LanguageModelingDataKwargs

logger = logging.getLogger("model_hub")


def load_rows(data_config: Mapping[str, Any]) -> datasets.DatasetDict:
    """Load the data; what is split off for validation is its beginning, since text runs on.

    Args:
        data_config: section ``data``.

    Raises:
        UserError: as :func:`model_hub.huggingface.default_load_dataset`.
    """
    return load.default_load_dataset(data_config, typed_columns=(), contiguous_split=True)


def check_rows(
    raw_datasets: Mapping[str, datasets.Dataset],
    data_kwargs: LanguageModelingDataKwargs,
    sources: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Check all rows before anything is tokenized.

    Args:
        raw_datasets: rows as loaded, splits ``train`` and ``validation``.
        data_kwargs: section ``data``.
        sources: where each split comes from, for messages.

    Returns:
        The column with the text, by split.

    Raises:
        UserError: naming everything that is wrong.
    """
    load.check_splits(raw_datasets)
    columns = {}
    with Problems() as problems:
        for split, source in sources_of_splits(sources).items():
            with problems.part():
                columns[split] = text_column(raw_datasets[split], source, data_kwargs.text_column)
    return columns


def text_column(dataset: datasets.Dataset, source: str, wanted: str | None = None) -> str:
    """Return the column with the text, after checking all rows.

    Args:
        dataset: rows as loaded.
        source: where they come from, for messages.
        wanted: ``data.text_column``; None takes ``text``, or else the only column of text whose
            name is not that of an identifier (``id`` and the like).

    Raises:
        UserError: when there is no such column, it is not clear which column holds the text, or a
            row has none.
    """
    names = dataset.column_names
    if wanted is not None and wanted not in names:
        raise UserError(
            f"{source}: data.text_column is {wanted!r}, but the columns are "
            f"{', '.join(map(repr, names))}. Write one of these."
        )
    texts = columns_of_text(dataset) or names
    if wanted is None and "text" not in names and len(texts) > 1:
        raise UserError(
            f"{source}: {', '.join(map(repr, texts))} hold text. Write in data.text_column which "
            "of them to learn from."
        )
    name = wanted or ("text" if "text" in names else texts[0])
    if wanted is None and names != ["text"]:
        logger.info("text: %s", name)
    advice = (
        f"The columns are {', '.join(map(repr, names))}; data.text_column names the one with the "
        "text, which may be empty."
    )
    require_text(dataset, (name,), source, advice=advice)
    return name
