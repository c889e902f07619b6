"""Prediction of the right ending."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import datasets
import numpy as np
import pyarrow as pa
import torch

from model_hub.huggingface.data.columns import rename_columns_of, require_columns
from model_hub.huggingface.tasks._common.predictor import (
    InferenceSetup,
    Predictor,
    Rows,
    features_of_rows,
    map_by_length,
    model_inputs,
)
from model_hub.huggingface.tasks._common.tokenization import sequence_length
from model_hub.huggingface.tasks.multiple_choice.collator import MultipleChoiceCollator
from model_hub.huggingface.tasks.multiple_choice.features import prepare_features
from model_hub.huggingface.tasks.multiple_choice.loss import mask_choices
from model_hub.huggingface.tasks.multiple_choice.rows import (
    check_rows,
    ending_columns,
    filled_endings,
)
from model_hub.huggingface.tasks.multiple_choice.settings import MultipleChoiceDataKwargs


class MultipleChoicePredictor(Predictor):
    """Predicts the most likely of several endings, and the probabilities of all of them."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "choice": pa.int64(),
        "scores": pa.list_(pa.float64()),
    }

    def __init__(self, setup: InferenceSetup) -> None:
        super().__init__(setup)
        self._settings = setup.data_kwargs(MultipleChoiceDataKwargs)
        self._length = sequence_length(
            self._settings.max_seq_length, setup.tokenizer, setup.model.config, default=512
        )
        self._endings: tuple[str, ...] = ()
        self._collator = MultipleChoiceCollator(setup.tokenizer)

    def check_columns(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Check beginnings and endings as the training does, with the first ending as label."""
        names = self._settings.column_names()
        label = self._settings.label_column or "label"
        del names["label_column"]
        trained = [given for given, _ in names.values() if given is not None]
        require_columns(rows, trained, source, "multiple choice")
        rows = rename_columns_of(rows, names, source)
        rows = rows.select_columns([n for n in rows.column_names if n not in (label, "label")])
        self._endings = ending_columns(rows.column_names)
        first = (
            filled_endings(rows).argmax(axis=1) if self._endings else np.zeros(len(rows), np.int64)
        )
        checked = rows.add_column("label", first)
        check_rows(checked, source)
        return checked

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """Return ``choice``, the number of the ending, and ``scores``, null for missing endings."""
        columns = prepare_features(
            rows,
            tokenizer=self.setup.tokenizer,
            endings=self._endings,
            max_seq_length=self._length,
        )
        labels = columns.pop("labels")
        features = model_inputs(self.setup.model, features_of_rows(columns))
        features = [{**f, "labels": n} for f, n in zip(features, labels, strict=True)]
        lengths = [max(map(len, feature["input_ids"])) for feature in features]
        return map_by_length(features, lengths, self.setup.batch_size, self._predict_features)

    @torch.no_grad()
    def _predict_features(self, features: list[dict[str, Any]]) -> list[dict[str, Any]]:
        batch = self._collator(features)
        mask = batch.pop("choice_mask")
        del batch["labels"]
        logits = self.setup.model(**self.setup.to_device(batch)).logits
        scores = mask_choices(logits, mask.to(logits.device)).softmax(-1)
        return [
            {"choice": choice, "scores": self._scores(row, present)}
            for choice, row, present in zip(
                scores.argmax(-1).tolist(), scores.tolist(), mask.tolist(), strict=True
            )
        ]

    def _scores(self, row: Sequence[float], present: Sequence[bool]) -> list[float | None]:
        known = [score if p else None for score, p in zip(row, present, strict=True)]
        # A batch has as many choices as its row with most endings.
        return known + [None] * (len(self._endings) - len(known))
