"""Prediction of the correct ending."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import datasets
import numpy as np
import pyarrow as pa
import torch

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
from model_hub.huggingface.tasks.multiple_choice.features import (
    check_rows,
    ending_columns,
    filled_endings,
    prepare_features,
)
from model_hub.huggingface.tasks.multiple_choice.reducer import mask_choices


class MultipleChoicePredictor(Predictor):
    """The most likely of several endings, and the probabilities of all of them."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "choice": pa.int64(),
        "scores": pa.list_(pa.float64()),
    }

    def __init__(self, asked: InferenceSetup) -> None:
        super().__init__(asked)
        self._length = sequence_length(
            asked.data.get("max_seq_length"), asked.tokenizer, asked.model.config, default=512
        )
        self._endings: tuple[str, ...] = ()
        self._collator = MultipleChoiceCollator(asked.tokenizer)

    def check(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Checks beginnings and endings as the training does, with labels of no meaning."""
        self._endings = ending_columns(rows.column_names)
        texts = [name for name in rows.column_names if name != "label"]
        rows = rows.select_columns(texts)
        first = (
            filled_endings(rows).argmax(axis=1) if self._endings else np.zeros(len(rows), np.int64)
        )
        checked = rows.add_column("label", first)
        check_rows(checked, source)
        return checked

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """``choice``, the number of the ending; ``scores``, null for one that is not there."""
        columns = prepare_features(
            rows,
            tokenizer=self.asked.tokenizer,
            endings=self._endings,
            max_seq_length=self._length,
        )
        labels = columns.pop("labels")
        features = model_inputs(self.asked.model, features_of_rows(columns))
        features = [{**f, "labels": n} for f, n in zip(features, labels, strict=True)]
        lengths = [max(map(len, feature["input_ids"])) for feature in features]
        return map_by_length(features, lengths, self.asked.batch_size, self._answers)

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
