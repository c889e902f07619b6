"""Rows of tokens, strung together and divided into blocks, without copying them."""

from collections.abc import Iterator

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.fingerprint import Hasher


def divide_into_blocks(
    tokens: datasets.Dataset, length: int, *, within_rows: bool = False
) -> datasets.Dataset:
    """Strings all rows together, in their order, and divides them into blocks.

    No token is lost and none is repeated: the blocks, strung together, are the rows, strung
    together. All blocks have the same length except for the last one (with ``within_rows``, the
    last one of each row). It is done on the whole split at once, so the result does not depend on
    how the rows were tokenized, in which batches and by how many processes.

    The blocks are views of the same (memory-mapped) data; only those that span two of its chunks
    are copied.

    Args:
        tokens: columns of lists, which have the same lengths within a row.
        length: tokens of a block.
        within_rows: no block spans two rows.

    Returns:
        Blocks, with the same columns.
    """
    table = tokens.with_format("arrow")[:]
    lengths = np.concatenate(
        [
            pc.fill_null(pc.list_value_length(chunk), 0).to_numpy(zero_copy_only=False)
            for chunk in table.column(0).chunks
        ]
        or [np.zeros(0)]
    ).astype(np.int64)
    starts = _block_starts(lengths if within_rows else lengths.sum(keepdims=True), length)
    ends = np.append(starts[1:], lengths.sum())[: len(starts)]
    columns = [
        pa.chunked_array(list(_lists(column, starts, ends)), type=column.type)
        for column in table.columns
    ]
    return datasets.Dataset(
        datasets.table.InMemoryTable(pa.Table.from_arrays(columns, names=table.column_names)),
        fingerprint=Hasher.hash((tokens._fingerprint, length, within_rows)),
    )


def _block_starts(lengths: np.ndarray, length: int) -> np.ndarray:
    """Where each block begins, counted in tokens over all rows; every row begins a block."""
    blocks = -(-lengths // length)
    rows = np.cumsum(lengths) - lengths
    number_in_row = np.arange(blocks.sum()) - np.repeat(np.cumsum(blocks) - blocks, blocks)
    starts: np.ndarray = np.repeat(rows, blocks) + number_in_row * length
    return starts


def _lists(column: pa.ChunkedArray, starts: np.ndarray, ends: np.ndarray) -> Iterator[pa.Array]:
    """The blocks as arrays of lists, as many as it takes."""
    offset = 0  # Of the chunk, counted in tokens over all chunks.
    block = 0  # The first one that is not given out.
    begun: list[pa.Array] = []  # Its tokens in earlier chunks.
    list_of = pa.LargeListArray if pa.types.is_large_list(column.type) else pa.ListArray
    offset_type = pa.int64() if pa.types.is_large_list(column.type) else pa.int32()
    for chunk in column.chunks:
        values = chunk.flatten()
        end = offset + len(values)
        if begun and ends[block] <= end:
            begun.append(values.slice(0, ends[block] - offset))
            joined = pa.concat_arrays(begun)
            yield list_of.from_arrays(pa.array([0, len(joined)], offset_type), joined)
            block, begun = block + 1, []
        if not begun:
            last = int(np.searchsorted(ends, end, side="right"))
            if last > block:
                limits = np.append(starts[block:last], ends[last - 1]) - offset
                yield list_of.from_arrays(pa.array(limits, offset_type), values)
                block = last
            if block < len(starts) and starts[block] < end:
                begun = [values.slice(starts[block] - offset)]
        else:
            begun.append(values)
        offset = end
