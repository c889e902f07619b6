"""Keys of language modeling in section ``data`` of the YAML, a dataclass for each objective."""

import dataclasses
from typing import ClassVar

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.tokenization import TokenizationDataKwargs


@dataclasses.dataclass
class LanguageModelingDataKwargs(TokenizationDataKwargs):
    """Keys of the YAML's section ``data`` that all language-modeling trials read.

    Attributes:
        max_seq_length: tokens of a block; None takes what tokenizer and model take, at most 1024.
        text_column: the column with the text; None takes ``text``, or else the first column.
        line_by_line: every row that is not blank is one sample, cut at ``max_seq_length``; else
            all rows are concatenated and divided into blocks.
        document_boundaries: no block spans two rows, and every row ends with the tokenizer's
            end-of-sequence token. In a text file, rows are its documents.
        document_separator: what divides a text file into documents: ``file`` (the whole file is
            one), ``blank_line`` or ``line``. A document has its line breaks and, once, the special
            tokens that the tokenizer adds. None takes ``file`` for causal language modeling, unless
            one of the two keys above is true, else ``line``.
    """

    separators: ClassVar[tuple[str, ...]] = ("file", "blank_line", "line")
    #: Whether lines of a text file are documents if the YAML does not say what is.
    lines_are_documents: ClassVar[bool] = False

    text_column: str | None = None
    line_by_line: bool = False
    document_boundaries: bool = False
    document_separator: str | None = None

    def __post_init__(self) -> None:
        separator = self.document_separator
        if separator is not None and separator not in self.separators:
            raise UserError(
                f"data.document_separator is {separator!r}. Write one of "
                f"{', '.join(self.separators)}."
            )
        if self.line_by_line and separator not in (None, "line"):
            raise UserError(
                f"data.document_separator is {separator!r}, but data.line_by_line is true, so that "
                "every line is a sample. Remove one of them."
            )
        if self.line_by_line and self.document_boundaries:
            raise UserError(
                "data.line_by_line and data.document_boundaries are both true. The first cuts rows "
                "longer than data.max_seq_length, the second divides them into several blocks; "
                "write one of them."
            )

    @property
    def separator(self) -> str:
        """What divides a text file into documents."""
        lines = self.lines_are_documents or self.line_by_line or self.document_boundaries
        return self.document_separator or ("line" if lines else "file")


@dataclasses.dataclass
class MaskedLanguageModelingDataKwargs(LanguageModelingDataKwargs):
    """Keys of masked language modeling.

    Attributes:
        mlm_probability: share of the tokens that are to be predicted. Of these 80 % are masked,
            10 % replaced by others, 10 % left as they are, as for BERT.
    """

    lines_are_documents: ClassVar[bool] = True

    mlm_probability: float = dataclasses.field(default=0.15, metadata={"above": 0, "max": 1})


@dataclasses.dataclass
class PermutationLanguageModelingDataKwargs(LanguageModelingDataKwargs):
    """Keys of permutation language modeling (XLNet).

    Attributes:
        plm_probability: length of a masked span divided by that of its surroundings.
        max_span_length: longest span of masked tokens.
    """

    lines_are_documents: ClassVar[bool] = True

    plm_probability: float = dataclasses.field(default=1 / 6, metadata={"above": 0, "max": 1})
    max_span_length: int = dataclasses.field(default=5, metadata={"min": 1})
