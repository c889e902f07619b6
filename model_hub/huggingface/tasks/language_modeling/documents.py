"""Documents of text files: lines are joined, with the line breaks that the reader has removed."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import transformers
from datasets.fingerprint import Hasher

from model_hub.huggingface.data.origin import divide_by_file
from model_hub.huggingface.data.prepare import source_code

#: Column of pieces: whether a document begins with the piece.
BEGINS = "begins"
#: Column of pieces: whether a document ends with the piece.
ENDS = "ends"

# Lines of a piece. A text file may be larger than what can be tokenized as one text.
_LINES = 1000
# Columns of pieces: whether blank lines follow, and whether there is nothing else.
_CLOSED = "closed"
_BLANK = "blank"


def is_text_file(rows: datasets.Dataset) -> bool:
    """Return whether the rows are lines of a text file, without their line breaks."""
    return bool(rows.info.builder_name == "text")


def keeps_line_breaks(tokenizer: transformers.PreTrainedTokenizerBase) -> bool:
    """Return whether the tokenizer has tokens for line breaks, which BERT's for instance has not.

    Args:
        tokenizer: the tokenizer.
    """
    ids = tokenizer("a\na", add_special_tokens=False)["input_ids"]
    return "\n" in str(tokenizer.decode(ids))


def join_lines(
    rows: Mapping[str, Sequence[str]], *, column: str, separator: str, blank_lines: bool
) -> dict[str, list[Any]]:
    """Join consecutive lines to pieces of documents.

    Args:
        rows: columns of a batch.
        column: name of the column with the lines.
        separator: a piece is what ``line`` or ``blank_line`` divides, or with ``file`` all lines.
        blank_lines: whether the blank lines that divide documents belong to the text.

    Returns:
        The pieces, in ``column``, every line with a line break at its end; ``closed``, whether a
        document ends with the piece for certain; and ``blank``, whether none can begin with it: it
        is the first one of a batch that begins with blank lines.
    """
    lines = rows[column]
    if separator == "line":
        pieces = [f"{line}\n" for line in lines]
        return {column: pieces, _CLOSED: [True] * len(pieces), _BLANK: [False] * len(pieces)}
    pieces = []
    closed: list[bool] = []
    for line in lines:
        blank = separator == "blank_line" and not line.strip()
        if not pieces or (closed[-1] and not blank):
            pieces.append("")
            closed.append(blank)
        closed[-1] = blank
        if not blank or blank_lines:
            pieces[-1] += f"{line}\n"
    return {column: pieces, _CLOSED: closed, _BLANK: [not piece.strip() for piece in pieces]}


def split_into_documents(
    rows: datasets.Dataset, column: str, *, separator: str, blank_lines: bool
) -> datasets.Dataset:
    """Make documents of the lines of text files, each divided into pieces of at most 1,000 lines.

    Args:
        rows: lines, in their order; no document spans two files.
        column: name of the column with the lines.
        separator: what divides documents: ``line``, ``blank_line`` (one or more), or ``file``, with
            which all lines of a file are one document.
        blank_lines: whether the blank lines that divide documents belong to the text.

    Returns:
        One row a piece: the text in ``column``, ``begins`` and ``ends`` (whether it is the first or
        the last piece of its document).
    """
    settings = {"column": column, "separator": separator, "blank_lines": blank_lines}
    parts = [_split_file(part, **settings) for part in divide_by_file(rows)]
    return parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)


def _split_file(rows: datasets.Dataset, **settings: Any) -> datasets.Dataset:
    column = settings["column"]
    key = (rows._fingerprint, source_code(join_lines), sorted(settings.items()))
    pieces = rows.map(
        join_lines,
        batched=True,
        batch_size=_LINES,
        remove_columns=rows.column_names,
        fn_kwargs=settings,
        new_fingerprint=Hasher.hash(key),
        desc="documents",
    )
    after_end = np.append(True, np.array(pieces[_CLOSED], bool)[:-1])
    begins = after_end & ~np.array(pieces[_BLANK], bool)
    # Blank lines before the first document are in none.
    ends = np.append(begins[1:], True) & np.maximum.accumulate(begins)
    result = pieces.select_columns([column])
    for name, values in ((BEGINS, begins), (ENDS, ends)):
        result = result.add_column(name, values, new_fingerprint=Hasher.hash((*key, name)))
    return result
