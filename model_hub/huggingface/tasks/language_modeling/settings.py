"""Keys of language modeling in section ``data`` of the YAML, a dataclass for each objective."""

import dataclasses

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
            end-of-sequence token.
    """

    text_column: str | None = None
    line_by_line: bool = False
    document_boundaries: bool = False

    def __post_init__(self) -> None:
        if self.line_by_line and self.document_boundaries:
            raise UserError(
                "data.line_by_line and data.document_boundaries are both true. The first cuts rows "
                "longer than data.max_seq_length, the second divides them into several blocks; "
                "write one of them."
            )


@dataclasses.dataclass
class MaskedLanguageModelingDataKwargs(LanguageModelingDataKwargs):
    """Keys of masked language modeling.

    Attributes:
        mlm_probability: share of the tokens that are to be predicted. Of these 80 % are masked,
            10 % replaced by others, 10 % left as they are, as for BERT.
    """

    mlm_probability: float = dataclasses.field(default=0.15, metadata={"above": 0, "max": 1})


@dataclasses.dataclass
class PermutationLanguageModelingDataKwargs(LanguageModelingDataKwargs):
    """Keys of permutation language modeling (XLNet).

    Attributes:
        plm_probability: length of a masked span divided by that of its surroundings.
        max_span_length: longest span of masked tokens.
    """

    plm_probability: float = dataclasses.field(default=1 / 6, metadata={"above": 0, "max": 1})
    max_span_length: int = dataclasses.field(default=5, metadata={"min": 1})
