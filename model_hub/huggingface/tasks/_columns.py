"""Which columns of a data set hold text, where nobody has said so."""

import re
from collections.abc import Collection

import datasets
import pyarrow as pa

# Names of columns that number or name the rows: id, idx, guid, doc_id, pairID, rowId.
_NAMES_ROWS = re.compile(r"(?:.*[\W_])?(?i:id|ids|idx|index|guid|uuid)|.*[a-z](?:ID|Id)", re.DOTALL)


def columns_of_text(dataset: datasets.Dataset, leave_out: Collection[str] = ()) -> list[str]:
    """Columns of text in their order, without those that name the rows unless there are no others.

    Args:
        dataset: rows as loaded.
        leave_out: columns that hold something else, such as labels.
    """
    texts = [
        field.name
        for field in dataset.features.arrow_schema
        if field.name not in leave_out
        and (pa.types.is_string(field.type) or pa.types.is_large_string(field.type))
    ]
    return [name for name in texts if not _NAMES_ROWS.fullmatch(name)] or texts


def columns_of_lists(dataset: datasets.Dataset) -> list[str]:
    """Columns of lists in their order."""
    return [
        field.name
        for field in dataset.features.arrow_schema
        if pa.types.is_list(field.type)
        or pa.types.is_large_list(field.type)
        or pa.types.is_fixed_size_list(field.type)
    ]
