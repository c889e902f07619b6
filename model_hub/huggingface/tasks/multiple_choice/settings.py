"""Keys of multiple choice in section ``data`` of the YAML."""

import dataclasses

from model_hub.huggingface.tasks._common.tokenization import TokenizationDataKwargs


@dataclasses.dataclass
class MultipleChoiceDataKwargs(TokenizationDataKwargs):
    """Keys of the YAML's section ``data`` that belong to multiple choice.

    Attributes:
        context_column: the column with the beginning; None is ``sent1``.
        question_column: the column with what all endings begin with; None is ``sent2``, if any.
        ending_columns: the columns with the endings, in their order; None is ``ending0``,
            ``ending1``, ...
        label_column: the column with the number of the right ending; None is ``label``.
    """

    context_column: str | None = None
    question_column: str | None = None
    ending_columns: list[str] | None = None
    label_column: str | None = None

    def column_names(self) -> dict[str, tuple[str | None, str]]:
        """Return by key the column that it names and the task's name of it, as for renaming."""
        names: dict[str, tuple[str | None, str]] = {
            "context_column": (self.context_column, "sent1"),
            "question_column": (self.question_column, "sent2"),
            "label_column": (self.label_column, "label"),
        }
        for number, name in enumerate(self.ending_columns or ()):
            names[f"ending_columns[{number}]"] = (name, f"ending{number}")
        return names
