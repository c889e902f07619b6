"""Keys of token classification in section ``data`` of the YAML."""

import collections
import dataclasses

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.tokenization import TokenizationDataKwargs
from model_hub.huggingface.tasks.token_classification.schemes import scheme_name


@dataclasses.dataclass
class TokenClassificationDataKwargs(TokenizationDataKwargs):
    """Keys of the YAML's section ``data`` that belong to token classification.

    Attributes:
        label_all_tokens: label all tokens of a word; else only the first.
        label_names: names of the labels, in the order of their numbers; needed if the rows hold
            numbers without names.
        tokens_column: the column with lists of words; None takes ``tokens``, or else the first one
            that holds lists.
        tags_column: the column with lists of labels; None takes that of the task (``ner_tags``), or
            else the next one that holds lists.
        text_column_name: ``tokens_column`` as in transformers' example.
        label_column_name: ``tags_column`` as in transformers' example.
        tag_scheme: scheme of the labels: ``IOB1``, ``IOB2``, ``IOE1``, ``IOE2``, ``IOBES``,
            ``BILOU`` or ``BMES``; entities are then those of seqeval's strict mode. None: BILOU and
            BMES are found by their labels, and all others are read by the rule of ``conlleval``.
        cache_dir: old key, not read: the environment variable ``HF_HOME`` sets the cache folder.
    """

    label_all_tokens: bool = False
    label_names: list[str] | None = None
    tag_scheme: str | None = None
    tokens_column: str | None = None
    tags_column: str | None = None
    text_column_name: str | None = None
    label_column_name: str | None = None
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        self.tokens_column = self.tokens_column or self.text_column_name
        self.tags_column = self.tags_column or self.label_column_name
        if self.tag_scheme is not None:
            scheme_name(self.tag_scheme)
        names = self.label_names
        if names is None:
            return
        wrong = [name for name in names if not isinstance(name, str)]
        wrong += [name for name, count in collections.Counter(names).items() if count > 1]
        if wrong or not names:
            raise UserError(
                f"data.label_names is {names}, but should be a list of different texts; for "
                "instance [O, B-person, I-person]."
            )
