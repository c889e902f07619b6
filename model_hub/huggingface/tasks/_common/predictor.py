"""The base class of the predictors: rows in, a row of output for each of them."""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import datasets
import pyarrow as pa
import torch
import transformers

from model_hub.huggingface.data.columns import _forward_parameters
from model_hub.huggingface.tasks._common.padding import pad_rows, side_to_pad

Rows = Mapping[str, Sequence[Any]]
_Kwargs = TypeVar("_Kwargs")


@dataclasses.dataclass(frozen=True)
class InferenceSetup:
    """A trained model and the settings of inference.

    Attributes:
        model: in evaluation mode, on its device.
        tokenizer: its tokenizer.
        data: section ``data`` of its training, as far as it is known.
        finetuning_task: hyperparameter of its training.
        batch_size: rows (or windows of them) that go through the model together.
        max_new_tokens: the most tokens to generate; None is the task's default.
        num_beams: beams of beam search; None is what the training or the model says.
    """

    model: Any
    tokenizer: transformers.PreTrainedTokenizerBase
    data: Mapping[str, Any]
    finetuning_task: str | None = None
    batch_size: int = 16
    max_new_tokens: int | None = None
    num_beams: int | None = None

    def data_kwargs(self, cls: Callable[..., _Kwargs]) -> _Kwargs:
        """Return the task's settings: those of the training, defaults where they are not known."""
        names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: value for name, value in self.data.items() if name in names})

    def to_device(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the batch on the model's device."""
        return {name: tensor.to(self.model.device) for name, tensor in batch.items()}


class Predictor(abc.ABC):
    """Predicts rows; it keeps none of them.

    Args:
        setup: the model and the settings.

    Attributes:
        columns: class attribute; names and types of the output columns, without ``id``.
        id_column: the column of the rows that becomes ``id``, if they have it.
    """

    columns: ClassVar[Mapping[str, pa.DataType]]
    id_column = "id"

    def __init__(self, setup: InferenceSetup) -> None:
        self.setup = setup
        self._side = side_to_pad(setup.tokenizer)

    @classmethod
    def supports(cls, setup: InferenceSetup, rows: datasets.Dataset) -> bool:
        """Return whether this class predicts rows such as these with this model.

        A task has several predictors where models of the same Auto class differ in their outputs.
        """
        return True

    @abc.abstractmethod
    def check_columns(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Find the input columns and check all rows before the first one is predicted.

        Args:
            rows: as loaded.
            source: where they come from, for messages.

        Returns:
            The rows as :meth:`predict` takes them, in the same order.

        Raises:
            UserError: naming the column or row that is wrong.
        """

    @abc.abstractmethod
    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """Predict some rows.

        Args:
            rows: columns of them.

        Returns:
            For each row the values of :attr:`columns`.
        """

    def finish(self) -> str | None:
        """Return a warning to print after the last row, or None."""
        return None

    def _map_features(
        self,
        features: Sequence[Mapping[str, Any]],
        compute: Callable[[list[Any]], Sequence[Any]],
    ) -> list[Any]:
        """Apply :func:`map_by_length` to features with ``input_ids``."""
        lengths = [len(feature["input_ids"]) for feature in features]
        return map_by_length(features, lengths, self.setup.batch_size, compute)

    def _padded_batch(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return the features as a batch on the model's device."""
        return self.setup.to_device(
            pad_rows(features, self.setup.tokenizer, padding_side=self._side)
        )


def map_by_length(
    items: Sequence[Any],
    lengths: Sequence[int],
    batch_size: int,
    compute: Callable[[list[Any]], Sequence[Any]],
) -> list[Any]:
    """Compute a result for each item, in batches of similar length, which need little padding.

    Args:
        items: what ``compute`` takes lists of.
        lengths: of the items; the longest go first, so that memory runs out at once or never.
        batch_size: the most items of a batch.
        compute: returns as many results as it gets items.

    Returns:
        The results in the order of the items.
    """
    order = sorted(range(len(items)), key=lambda number: -lengths[number])
    results: list[Any] = [None] * len(items)
    for first in range(0, len(order), batch_size):
        numbers = order[first : first + batch_size]
        computed = compute([items[number] for number in numbers])
        for number, result in zip(numbers, computed, strict=True):
            results[number] = result
    return results


def features_of_rows(columns: Rows) -> list[dict[str, Any]]:
    """Return columns as a list of rows."""
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def model_inputs(model: Any, features: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the features with only those columns that the model takes, without labels."""
    names = {*_forward_parameters(model)} - {"labels"}
    return [{k: v for k, v in feature.items() if k in names} for feature in features]
