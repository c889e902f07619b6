"""Predictions of text classification and regression."""

from collections.abc import Mapping
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import torch

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import require_columns, require_text
from model_hub.huggingface.tasks._common.predictor import (
    InferenceSetup,
    Predictor,
    Rows,
    features_of_rows,
    model_inputs,
)
from model_hub.huggingface.tasks._common.tokenization import sequence_length
from model_hub.huggingface.tasks.text_classification.features import prepare_features
from model_hub.huggingface.tasks.text_classification.glue import glue_task
from model_hub.huggingface.tasks.text_classification.rows import LABEL, guess_text_columns
from model_hub.huggingface.tasks.text_classification.settings import TextClassificationDataKwargs


class TextClassificationPredictor(Predictor):
    """Predicts the most likely label of a text or a pair of texts, with its probability."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {"label": pa.string(), "score": pa.float64()}

    def __init__(self, setup: InferenceSetup) -> None:
        super().__init__(setup)
        kwargs = setup.data_kwargs(TextClassificationDataKwargs)
        if setup.model.config.problem_type == "multi_label_classification":
            raise UserError(
                "the model predicts several labels for a text (problem_type "
                "multi_label_classification), which text classification here does not support."
            )
        self._trained_columns = kwargs.text_columns
        self._text_columns: tuple[str, ...] = ()
        self._length = sequence_length(
            kwargs.max_seq_length, setup.tokenizer, setup.model.config, default=512
        )

    def check_columns(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Find the text in the columns of the training, or as the training finds them."""
        self._text_columns = self._find_columns(rows)
        require_columns(rows, self._text_columns, source, "text classification")
        require_text(rows, self._text_columns, source)
        return rows

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """Return ``label`` and ``score``, or for a regression ``value``."""
        texts = {name: list(rows[name]) for name in self._text_columns}
        columns = prepare_features(
            {**texts, LABEL: [0.0] * len(texts[self._text_columns[0]])},
            self.setup.tokenizer,
            self._text_columns,
            (),
            self._length,
        )
        features = model_inputs(self.setup.model, features_of_rows(columns))
        return self._map_features(features, self._predict_features)

    def _find_columns(self, rows: datasets.Dataset) -> tuple[str, ...]:
        columns = self._trained_columns
        if columns is not None:
            return (columns,) if isinstance(columns, str) else tuple(columns)
        glue = glue_task(self.setup.finetuning_task)
        return glue.text_columns if glue else guess_text_columns(rows)[:2] or ("text",)

    @torch.no_grad()
    def _predict_features(self, features: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self._outputs(self.setup.model(**self._padded_batch(features)).logits.float())

    def _outputs(self, logits: torch.Tensor) -> list[dict[str, Any]]:
        scores, numbers = logits.softmax(-1).max(-1)
        names = self.setup.model.config.id2label
        return [
            {"label": str(names[number]), "score": score}
            for number, score in zip(numbers.tolist(), scores.tolist(), strict=True)
        ]


class RegressionPredictor(TextClassificationPredictor):
    """Predicts a number for a text or a pair of texts."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {"value": pa.float64()}

    @classmethod
    def supports(cls, setup: InferenceSetup, rows: datasets.Dataset) -> bool:
        """Return whether the model's head is one of regression."""
        config = setup.model.config
        return bool(config.problem_type == "regression" or config.num_labels == 1)

    def _outputs(self, logits: torch.Tensor) -> list[dict[str, Any]]:
        return [{"value": value} for value in logits.squeeze(-1).tolist()]
