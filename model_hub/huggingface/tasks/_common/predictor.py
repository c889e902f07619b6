"""What the predictors of all tasks share: rows in, a row of output for each of them."""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import datasets
import pyarrow as pa
import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import _forward_parameters
from model_hub.huggingface.tasks._common.padding import side_to_pad

Rows = Mapping[str, Sequence[Any]]
_Kwargs = TypeVar("_Kwargs")


@dataclasses.dataclass(frozen=True)
class InferenceSetup:
    """A model that is to be asked, and how.

    Attributes:
        model: in evaluation mode, on its device.
        tokenizer: its tokenizer.
        data: section ``data`` of its training, as far as it is known.
        finetuning_task: the hyperparameter of that name.
        batch_size: rows (or windows of them) that go through the model together.
        max_new_tokens: most tokens to generate; None is the task's default.
        num_beams: beams of the search; None is what the model's settings say.
    """

    model: Any
    tokenizer: transformers.PreTrainedTokenizerBase
    data: Mapping[str, Any]
    finetuning_task: str | None = None
    batch_size: int = 16
    max_new_tokens: int | None = None
    num_beams: int | None = None

    def data_kwargs(self, cls: Callable[..., _Kwargs]) -> _Kwargs:
        """The settings of a task: what is known of the training, and defaults for the rest."""
        names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: value for name, value in self.data.items() if name in names})

    def to_device(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The batch on the model's device."""
        return {name: tensor.to(self.model.device) for name, tensor in batch.items()}


class Predictor(abc.ABC):
    """Answers rows; it keeps nothing of them.

    Args:
        asked: the model.

    Attributes:
        columns: names and types of what is put out for a row, beside its ``id``.
    """

    columns: ClassVar[Mapping[str, pa.DataType]]

    def __init__(self, asked: InferenceSetup) -> None:
        self.asked = asked
        self._side = side_to_pad(asked.tokenizer)

    def check(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Checks all rows before the first of them is answered, and remembers their columns.

        Args:
            rows: as loaded.
            source: where they come from, for messages.

        Returns:
            The rows as :meth:`predict` takes them, in the same order.

        Raises:
            UserError: naming the column or row that is not as it should be.
        """
        return rows

    @abc.abstractmethod
    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """Answers some rows.

        Args:
            rows: columns of them.

        Returns:
            For each row the values of :attr:`columns`.
        """

    def finish(self) -> str | None:
        """What is to be said once all rows are answered; None if there is nothing."""
        return None


def map_by_length(
    items: Sequence[Any],
    lengths: Sequence[int],
    batch_size: int,
    compute: Callable[[list[Any]], Sequence[Any]],
) -> list[Any]:
    """Computes a result for each item, items of similar length together, so that little is padded.

    Args:
        items: what is computed on.
        lengths: of each; the longest go first, so that memory runs out at once or never.
        batch_size: how many go together.
        compute: makes as many results of a list of items.

    Returns:
        The results in the order of the items.
    """
    order = sorted(range(len(items)), key=lambda number: -lengths[number])
    results: list[Any] = [None] * len(items)
    for first in range(0, len(order), batch_size):
        numbers = order[first : first + batch_size]
        found = compute([items[number] for number in numbers])
        for number, result in zip(numbers, found, strict=True):
            results[number] = result
    return results


def features_of_rows(columns: Rows) -> list[dict[str, Any]]:
    """Columns as a list of rows."""
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def model_inputs(model: Any, features: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The features with those columns alone that the model takes, and no labels."""
    parameters = _forward_parameters(model)
    return [
        {k: v for k, v in each.items() if k in parameters and k != "labels"} for each in features
    ]


def require_texts(rows: datasets.Dataset, source: str, columns: Sequence[str], need: str) -> None:
    """Checks that columns are there and hold text in every row.

    Args:
        rows: as loaded.
        source: where they come from, for messages.
        columns: their names.
        need: what needs them, for messages.

    Raises:
        UserError: naming the column, and the first row without text.
    """
    missing = [name for name in columns if name not in rows.column_names]
    if missing:
        raise UserError(
            f"{source}: the columns are {', '.join(map(repr, rows.column_names))}, but {need} "
            f"needs {', '.join(map(repr, columns))}; missing: {', '.join(map(repr, missing))}. "
            "Rename or add them."
        )
    table = rows.with_format("arrow", columns=list(columns))[:]
    for name in columns:
        column = table.column(name)
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise UserError(f"{source}: column {name!r} holds {column.type}, but should hold text.")
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise UserError(
                f"{source}: row {row + 1} has no text in column {name!r}. Write some, or remove "
                "the row."
            )
