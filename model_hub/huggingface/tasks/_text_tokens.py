"""Rows of text become rows of tokens; every function here looks at one row at a time."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import pyarrow as pa
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._columns import columns_of_text

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
