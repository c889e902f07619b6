"""Rows of text become rows of tokens; every function here looks at one row at a time."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import transformers
from datasets.fingerprint import Hasher

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import columns_of_text

logger = logging.getLogger("model_hub")


def text_column(dataset: datasets.Dataset, source: str, wanted: str | None = None) -> str:
    """The column that holds the text, checked in every row.

    Args:
        dataset: rows as loaded.
        source: where they come from, for messages.
        wanted: ``data.text_column``; None takes ``text``, or else the first column of text that is
            no number or name of the rows (``id`` and the like).

    Raises:
        UserError: when there is no such column, it holds no text, or a row of it is null.
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
    kind = dataset.features.arrow_schema.field(name).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise UserError(
            f"{source}: column {name!r} holds {kind}, but should hold text. The columns are "
            f"{', '.join(map(repr, names))}; write the one with the text as data.text_column."
        )
    column = dataset.with_format("arrow", columns=[name])[:].column(name)
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise UserError(
            f"{source}: {column.null_count} rows have no {name}, the first of them is row "
            f"{row + 1}. Write text (it may be empty) or remove the rows."
        )
    return name


def tokenize_texts(
    rows: Mapping[str, Sequence[str]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    column: str,
    end_with_eos: bool,
    with_special_tokens_mask: bool,
) -> dict[str, list[Any]]:
    """Tokens of each row, with the special tokens that the tokenizer adds, however many there are.

    Args:
        rows: columns of a batch.
        tokenizer: the tokenizer.
        column: name of the column with the text.
        end_with_eos: append the end-of-sequence token where the tokenizer adds no token of that
            kind (or a separator) itself. Blank rows stay without tokens.
        with_special_tokens_mask: tell which tokens are special.

    Returns:
        ``input_ids``, and perhaps ``special_tokens_mask`` (1 marks a special token).
    """
    texts = rows[column]
    if end_with_eos:
        # A blank row is no document, also not one of special tokens.
        texts = [text for text in texts if text.strip()]
    encoded = _encoded(tokenizer, texts, with_special_tokens_mask)
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
    """Tokens of each row that is not blank, cut at ``max_seq_length``; else as above."""
    lines = [text for text in rows[column] if text.strip()]
    return _encoded(
        tokenizer, lines, with_special_tokens_mask, truncation=True, max_length=max_seq_length
    )


def _encoded(
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
