"""Keys of text classification in section ``data`` of the YAML."""

import dataclasses

from model_hub.huggingface.tasks._common.tokenization import TokenizationDataKwargs


@dataclasses.dataclass
class TextClassificationDataKwargs(TokenizationDataKwargs):
    """Keys of the YAML's section ``data`` that belong to text classification.

    Attributes:
        text_columns: the one or two columns with the text; None takes those of the GLUE task, or
            finds them (see :func:`find_task`).
        cache_dir: old key, null in old files; not read.
    """

    text_columns: str | list[str] | None = None
    cache_dir: str | None = None


@dataclasses.dataclass
class XNLIDataKwargs(TextClassificationDataKwargs):
    """Keys of section ``data`` that belong to XNLI.

    Attributes:
        language: language to validate on (``de``); required for data on the Hub.
        train_language: language to train on; None takes ``language``.
    """

    language: str | None = None
    train_language: str | None = None
