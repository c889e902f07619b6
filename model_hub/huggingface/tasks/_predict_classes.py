"""Predictions of text classification and of multiple choice."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import datasets
import numpy as np
import pyarrow as pa
import torch

from model_hub.errors import UserError
from model_hub.huggingface.tasks import _choice_rows
from model_hub.huggingface.tasks._classification_features import prepare_features
from model_hub.huggingface.tasks._classification_rows import LABEL
from model_hub.huggingface.tasks._columns import columns_of_text
from model_hub.huggingface.tasks._glue_tasks import glue_task
from model_hub.huggingface.tasks._lengths import sequence_length
from model_hub.huggingface.tasks._padding import pad_rows
from model_hub.huggingface.tasks._predictor import (
    Asked,
    Predictor,
    Rows,
    check_texts,
    features_of,
    in_batches,
    taken_by,
)
from model_hub.huggingface.tasks.multiple_choice import MultipleChoiceCollator, mask_choices
from model_hub.huggingface.tasks.text_classification import TextClassificationDataKwargs

_PAIR = ("sentence1", "sentence2")


class TextClassificationPredictor(Predictor):
    """The most likely label of a text or a pair of texts, with its probability."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {"label": pa.string(), "score": pa.float64()}

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        kwargs = asked.data_kwargs(TextClassificationDataKwargs)
        if asked.model.config.problem_type == "multi_label_classification":
            raise UserError(
                "the model gives a text several labels (problem_type multi_label_classification), "
                "which text classification here does not know."
            )
        self._wanted = kwargs.text_columns
        self._text_columns: tuple[str, ...] = ()
        self._length = sequence_length(
            kwargs.max_seq_length, asked.tokenizer, asked.model.config, default=512
        )

    def check(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """The text is in the columns of the training, or in those found as there."""
        self._text_columns = self._find_columns(rows)
        check_texts(rows, source, self._text_columns, "text classification")
        return rows

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """``label`` and ``score``; of a regression ``value``."""
        texts = {name: list(rows[name]) for name in self._text_columns}
        columns = prepare_features(
            {**texts, LABEL: [0.0] * len(texts[self._text_columns[0]])},
            self.asked.tokenizer,
            self._text_columns,
            (),
            self._length,
        )
        features = taken_by(self.asked.model, features_of(columns))
        lengths = [len(feature["input_ids"]) for feature in features]
        return in_batches(features, lengths, self.asked.batch_size, self._answers)

    def _find_columns(self, rows: datasets.Dataset) -> tuple[str, ...]:
        if self._wanted is not None:
            return (self._wanted,) if isinstance(self._wanted, str) else tuple(self._wanted)
        glue = glue_task(self.asked.finetuning_task)
        if glue is not None:
            return glue.text_columns
        texts = columns_of_text(rows, leave_out=[LABEL])
        return _PAIR if set(_PAIR) <= set(texts) else tuple(texts[:2] or ["text"])

    @torch.no_grad()
    def _answers(self, features: list[dict[str, Any]]) -> list[dict[str, Any]]:
        batch = self.asked.to_device(
            pad_rows(features, self.asked.tokenizer, padding_side=self._side)
        )
        return self._shown(self.asked.model(**batch).logits.float())

    def _shown(self, logits: torch.Tensor) -> list[dict[str, Any]]:
        scores, numbers = logits.softmax(-1).max(-1)
        names = self.asked.model.config.id2label
        return [
            {"label": str(names[number]), "score": score}
            for number, score in zip(numbers.tolist(), scores.tolist(), strict=True)
        ]


class RegressionPredictor(TextClassificationPredictor):
    """The number that a model predicts of a text or a pair of texts."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {"value": pa.float64()}

    def _shown(self, logits: torch.Tensor) -> list[dict[str, Any]]:
        return [{"value": value} for value in logits.squeeze(-1).tolist()]


class MultipleChoicePredictor(Predictor):
    """The most likely of several endings, and the probabilities of all of them."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "choice": pa.int64(),
        "scores": pa.list_(pa.float64()),
    }

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._length = sequence_length(
            asked.data.get("max_seq_length"), asked.tokenizer, asked.model.config, default=512
        )
        self._endings: tuple[str, ...] = ()
        self._collator = MultipleChoiceCollator(asked.tokenizer)

    def check(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Checks beginnings and endings as the training does, with labels of no meaning."""
        self._endings = _choice_rows.ending_columns(rows.column_names)
        texts = [name for name in rows.column_names if name != "label"]
        rows = rows.select_columns(texts)
        first = (
            _choice_rows.filled_endings(rows).argmax(axis=1)
            if self._endings
            else np.zeros(len(rows), np.int64)
        )
        checked = rows.add_column("label", first)
        _choice_rows.check_rows(checked, source)
        return checked

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """``choice``, the number of the ending; ``scores``, null for one that is not there."""
        columns = _choice_rows.prepare_features(
            rows,
            tokenizer=self.asked.tokenizer,
            endings=self._endings,
            max_seq_length=self._length,
        )
        labels = columns.pop("labels")
        features = taken_by(self.asked.model, features_of(columns))
        features = [{**f, "labels": n} for f, n in zip(features, labels, strict=True)]
        lengths = [max(map(len, feature["input_ids"])) for feature in features]
        return in_batches(features, lengths, self.asked.batch_size, self._answers)

    @torch.no_grad()
    def _answers(self, features: list[dict[str, Any]]) -> list[dict[str, Any]]:
        batch = self._collator(features)
        mask = batch.pop("choice_mask")
        del batch["labels"]
        logits = self.asked.model(**self.asked.to_device(batch)).logits
        scores = mask_choices(logits, mask.to(logits.device)).softmax(-1)
        return [
            {"choice": choice, "scores": self._scores(row, present)}
            for choice, row, present in zip(
                scores.argmax(-1).tolist(), scores.tolist(), mask.tolist(), strict=True
            )
        ]

    def _scores(self, row: Sequence[float], present: Sequence[bool]) -> list[float | None]:
        known = [score if there else None for score, there in zip(row, present, strict=True)]
        # The batch has as many places as its row with most endings.
        return known + [None] * (len(self._endings) - len(known))
