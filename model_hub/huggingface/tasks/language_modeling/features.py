"""Features of language modeling: tokens of texts, and blocks of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import transformers
from datasets.fingerprint import Hasher

from model_hub.huggingface.tasks.language_modeling.documents import BEGINS, ENDS


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
    if end_with_eos:
        _end_with_eos(encoded, tokenizer, [True] * len(texts))
    return encoded


def tokenize_pieces(
    rows: Mapping[str, Sequence[Any]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    column: str,
    end_with_eos: bool,
    with_special_tokens_mask: bool,
) -> dict[str, list[Any]]:
    """Tokenize pieces of documents; only a whole document has special tokens around it.

    Args:
        rows: columns of a batch, of :func:`documents.split_into_documents`.
        tokenizer: the tokenizer.
        column: name of the column with the text.
        end_with_eos: append the end-of-sequence token to a document if the tokenizer adds neither
            it nor a separator.
        with_special_tokens_mask: also return which tokens are special.

    Returns:
        As :func:`tokenize_texts`, one entry a piece.
    """
    encoded = _encode(tokenizer, rows[column], with_special_tokens_mask, add_special_tokens=False)
    prefix, suffix = _added_tokens(tokenizer)
    for number, ids in enumerate(encoded["input_ids"]):
        before = prefix if rows[BEGINS][number] else []
        after = suffix if rows[ENDS][number] else []
        encoded["input_ids"][number] = [*before, *ids, *after]
        if with_special_tokens_mask:
            mask = encoded["special_tokens_mask"][number]
            around = [1] * len(before), [1] * len(after)
            encoded["special_tokens_mask"][number] = [*around[0], *mask, *around[1]]
    if end_with_eos:
        _end_with_eos(encoded, tokenizer, rows[ENDS])
    return encoded


def _added_tokens(
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> tuple[list[int], list[int]]:
    """Return the special tokens that the tokenizer adds before and after a text."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    ids, special = list(encoded["input_ids"]), list(encoded["special_tokens_mask"])
    if 0 not in special:  # Nothing but special tokens; there is no telling which follow the text.
        return ids, []
    begin, end = special.index(0), len(ids) - special[::-1].index(0)
    return ids[:begin], ids[end:]


def _end_with_eos(
    encoded: Mapping[str, list[Any]],
    tokenizer: transformers.PreTrainedTokenizerBase,
    ends: Sequence[bool],
) -> None:
    """Append the end-of-sequence token to the rows that end a document and do not have it."""
    eos = tokenizer.eos_token_id
    if eos is None:
        return
    known = {eos, tokenizer.sep_token_id, tokenizer.cls_token_id}
    for number, (ids, is_end) in enumerate(zip(encoded["input_ids"], ends, strict=True)):
        if is_end and (not ids or ids[-1] not in known):
            ids.append(eos)
            if "special_tokens_mask" in encoded:
                encoded["special_tokens_mask"][number].append(1)


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
    tokens: datasets.Dataset,
    length: int,
    *,
    within_rows: bool = False,
    first_rows: np.ndarray | None = None,
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
        first_rows: with ``within_rows``, numbers of the rows that begin a document, of which the
            following rows are a part: blocks may span these. None: every row does.

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
    if first_rows is not None:
        lengths = np.add.reduceat(lengths, np.union1d([0], first_rows))
    starts = _block_starts(lengths if within_rows else lengths.sum(keepdims=True), length)
    ends = np.append(starts[1:], lengths.sum())[: len(starts)]
    columns = [
        pa.chunked_array(list(_lists(column, starts, ends)), type=column.type)
        for column in table.columns
    ]
    return datasets.Dataset(
        datasets.table.InMemoryTable(pa.Table.from_arrays(columns, names=table.column_names)),
        fingerprint=Hasher.hash((tokens._fingerprint, length, within_rows, first_rows)),
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
