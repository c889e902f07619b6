"""Features of language modeling: tokens of texts, and blocks of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import transformers
from datasets.fingerprint import Hasher


def tokenize_texts(
    rows: Mapping[str, Sequence[str]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    column: str,
    end_with_eos: bool,
    with_special_tokens_mask: bool,
) -> dict[str, list[Any]]:
    """Tokenize each row with the special tokens that the tokenizer adds, without a limit.

    Args:
        rows: columns of a batch.
        tokenizer: the tokenizer.
        column: name of the column with the text.
        end_with_eos: append the end-of-sequence token if the tokenizer adds neither it nor a
            separator. Blank rows get no tokens.
        with_special_tokens_mask: also return which tokens are special.

    Returns:
        ``input_ids``, and optionally ``special_tokens_mask`` (1 marks a special token).
    """
    texts = rows[column]
    if end_with_eos:
        # A blank row is not a document of special tokens.
        texts = [text for text in texts if text.strip()]
    encoded = _encode(tokenizer, texts, with_special_tokens_mask)
    eos = tokenizer.eos_token_id
    if end_with_eos and eos is not None:
        ends = {eos, tokenizer.sep_token_id, tokenizer.cls_token_id}
        for number, ids in enumerate(encoded["input_ids"]):
            if not ids or ids[-1] not in ends:
                ids.append(eos)
                if with_special_tokens_mask:
                    encoded["special_tokens_mask"][number].append(1)
    return encoded


def tokenize_lines(
    rows: Mapping[str, Sequence[str]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    column: str,
    max_seq_length: int,
    with_special_tokens_mask: bool,
) -> dict[str, list[Any]]:
    """Tokenize each row that is not blank, cut at ``max_seq_length``.

    Other arguments and the result are those of :func:`tokenize_texts`.
    """
    lines = [text for text in rows[column] if text.strip()]
    return _encode(
        tokenizer, lines, with_special_tokens_mask, truncation=True, max_length=max_seq_length
    )


def _encode(
    tokenizer: transformers.PreTrainedTokenizerBase,
    texts: Sequence[str],
    with_special_tokens_mask: bool,
    **settings: Any,
) -> dict[str, list[Any]]:
    names = ["input_ids", *(["special_tokens_mask"] if with_special_tokens_mask else [])]
    if not texts:  # Some tokenizers fail on an empty list.
        return {name: [] for name in names}
    encoded = tokenizer(
        list(texts),
        return_special_tokens_mask=with_special_tokens_mask,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,  # It would warn of rows that are longer than a block.
        **settings,
    )
    return {name: encoded[name] for name in names}


def divide_into_blocks(
    tokens: datasets.Dataset, length: int, *, within_rows: bool = False
) -> datasets.Dataset:
    """Concatenate all rows in their order and divide them into blocks.

    No token is lost or repeated. All blocks have the same length except for the last one (with
    ``within_rows``, the last one of each row). The whole split is divided at once, so the result
    does not depend on the batches and processes in which rows were tokenized.

    The blocks are views of the same (memory-mapped) data; only those that span two of its chunks
    are copied.

    Args:
        tokens: columns of lists, which have the same lengths within a row.
        length: tokens of a block.
        within_rows: no block spans two rows.

    Returns:
        The blocks, with the same columns.
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
    """Return the first token of each block, counted over all rows; every row begins a block."""
    blocks = -(-lengths // length)
    rows = np.cumsum(lengths) - lengths
    number_in_row = np.arange(blocks.sum()) - np.repeat(np.cumsum(blocks) - blocks, blocks)
    starts: np.ndarray = np.repeat(rows, blocks) + number_in_row * length
    return starts


def _lists(column: pa.ChunkedArray, starts: np.ndarray, ends: np.ndarray) -> Iterator[pa.Array]:
    """Yield the blocks as arrays of lists."""
    offset = 0  # First token of the chunk, counted over all chunks.
    block = 0  # The first block that was not yielded.
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
