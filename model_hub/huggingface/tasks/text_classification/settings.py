"""Keys of text classification in section ``data`` of the YAML."""

import dataclasses

from model_hub.huggingface.tasks._common.tokenization import TokenizationDataKwargs


@dataclasses.dataclass
class TextClassificationDataKwargs(TokenizationDataKwargs):
    """Keys of the YAML's section ``data`` that belong to text classification.

    Attributes:
        text_columns: the one or two columns with the text; None takes those of the GLUE task, or
            finds them (see :func:`find_task`).
        label_column: the column with the labels, or with the numbers to predict; None is ``label``.
        text_column_names: ``text_columns`` as in transformers' example, separated by commas.
        label_column_name: ``label_column`` as in transformers' example.
        cache_dir: old key, null in old files; not read.
    """

    text_columns: str | list[str] | None = None
    label_column: str | None = None
    text_column_names: str | None = None
    label_column_name: str | None = None
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        """Take the names of transformers' example where ours are not set."""
        if self.text_columns is None and self.text_column_names is not None:
            self.text_columns = [name.strip() for name in self.text_column_names.split(",")]
        self.label_column = self.label_column or self.label_column_name


@dataclasses.dataclass
class XNLIDataKwargs(TextClassificationDataKwargs):
    """Keys of section ``data`` that belong to XNLI.

    Attributes:
        language: language to validate on (``de``); required for data on the Hub.
        train_language: language to train on; None takes ``language``.
    """

    language: str | None = None
    train_language: str | None = None
