"""Predictions of text classification and of multiple choice."""

from collections.abc import Mapping
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import torch

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import columns_of_text
from model_hub.huggingface.tasks._common.padding import pad_rows
from model_hub.huggingface.tasks._common.predictor import (
    InferenceSetup,
    Predictor,
    Rows,
    features_of_rows,
    map_by_length,
    model_inputs,
    require_texts,
)
from model_hub.huggingface.tasks._common.tokenization import sequence_length
from model_hub.huggingface.tasks.text_classification.data import TextClassificationDataKwargs
from model_hub.huggingface.tasks.text_classification.features import prepare_features
from model_hub.huggingface.tasks.text_classification.glue import glue_task
from model_hub.huggingface.tasks.text_classification.rows import LABEL

_PAIR = ("sentence1", "sentence2")


class TextClassificationPredictor(Predictor):
    """The most likely label of a text or a pair of texts, with its probability."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {"label": pa.string(), "score": pa.float64()}

    def __init__(self, asked: InferenceSetup) -> None:
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
        require_texts(rows, source, self._text_columns, "text classification")
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
        features = model_inputs(self.asked.model, features_of_rows(columns))
        lengths = [len(feature["input_ids"]) for feature in features]
        return map_by_length(features, lengths, self.asked.batch_size, self._answers)

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
