"""Rows of text: the column that holds it."""

import logging

import datasets

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import columns_of_text, require_text

logger = logging.getLogger("model_hub")


def text_column(dataset: datasets.Dataset, source: str, wanted: str | None = None) -> str:
    """Return the column with the text, after checking all rows.

    Args:
        dataset: rows as loaded.
        source: where they come from, for messages.
        wanted: ``data.text_column``; None takes ``text``, or else the first column of text whose
            name is not that of an identifier (``id`` and the like).

    Raises:
        UserError: when there is no such column, it does not hold text, or a row of it is null.
    """
    names = dataset.column_names
    if wanted is not None and wanted not in names:
        raise UserError(
            f"{source}: data.text_column is {wanted!r}, but the columns are "
            f"{', '.join(map(repr, names))}. Write one of these."
        )
    texts = columns_of_text(dataset) or names
    name = wanted or ("text" if "text" in names else texts[0])
    if not wanted and name != "text" and len(texts) > 1:
        logger.info(
            "%s: the text is taken from %r (data.text_column can name another)", source, name
        )
    advice = (
        f"The columns are {', '.join(map(repr, names))}; data.text_column names the one with the "
        "text, which may be empty."
    )
    require_text(dataset, (name,), source, advice=advice)
    return name
