"""Predictions of sequence-to-sequence models: summaries and translations."""

from collections.abc import Mapping
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import torch

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import require_columns, require_text
from model_hub.huggingface.tasks._common.generation import generate
from model_hub.huggingface.tasks._common.predictor import (
    InferenceSetup,
    Predictor,
    Rows,
    features_of_rows,
)
from model_hub.huggingface.tasks.seq2seq.features import prepare_features
from model_hub.huggingface.tasks.seq2seq.rows import (
    SUMMARIZATION_COLUMNS,
    language_codes,
    language_column,
    start_with_language,
)
from model_hub.huggingface.tasks.seq2seq.settings import (
    Seq2SeqDataKwargs,
    SummarizationDataKwargs,
    TranslationDataKwargs,
    source_length,
)

# Names of the text's column if the training is not known, by preference.
_COMMON_COLUMNS = ("document", "text", "source", "article", "dialogue")
_TARGET = "target"


class Seq2SeqPredictor(Predictor):
    """Predicts the text that the validation would generate."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {"generated_text": pa.string()}

    def __init__(self, setup: InferenceSetup) -> None:
        super().__init__(setup)
        self._settings: Seq2SeqDataKwargs = (
            setup.data_kwargs(TranslationDataKwargs)
            if "source_lang" in setup.data or "target_lang" in setup.data
            else setup.data_kwargs(SummarizationDataKwargs)
        )
        self._length = source_length(self._settings, setup.tokenizer, setup.model.config)
        self._languages = language_codes(setup.tokenizer, self._settings)
        start_with_language(setup.model, setup.tokenizer, self._settings)
        self._column = ""

    def check_columns(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Find the text in the column of the training, or of the source language."""
        rows = rows.flatten()
        self._column = self._find_column(rows, source)
        require_columns(rows, (self._column,), source, "this model")
        require_text(rows, (self._column,), source)
        return rows

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """Return ``generated_text``."""
        sources = list(rows[self._column])
        columns = prepare_features(
            {self._column: sources, _TARGET: [""] * len(sources)},
            tokenizer=self.setup.tokenizer,
            source_column=self._column,
            target_column=_TARGET,
            max_source_length=self._length,
            max_target_length=self._settings.generated_length,
            source_prefix=self._settings.source_prefix or "",
            languages=self._languages,
        )
        del columns["labels"]
        texts = self._map_features(features_of_rows(columns), self._generate)
        return [{"generated_text": text} for text in texts]

    def _find_column(self, rows: datasets.Dataset, source: str) -> str:
        names = rows.column_names
        settings = self._settings
        if isinstance(settings, TranslationDataKwargs):
            return language_column(names, "source_lang", settings.source_lang, source)
        assert isinstance(settings, SummarizationDataKwargs)
        if settings.text_column is not None:
            return settings.text_column
        known = str(self.setup.data.get("dataset_name")).rsplit("/", 1)[-1]
        if known in SUMMARIZATION_COLUMNS:
            return SUMMARIZATION_COLUMNS[known][0]
        found = next((name for name in _COMMON_COLUMNS if name in names), None)
        if found is None and len(names) > 1:
            raise UserError(
                f"{source}: the columns are {', '.join(map(repr, names))}, but the text should be "
                f"in {' or '.join(map(repr, _COMMON_COLUMNS))}. Rename the column with the text."
            )
        return found or str(names[0])

    @torch.no_grad()
    def _generate(self, features: list[dict[str, Any]]) -> list[str]:
        settings, setup = self._settings, self.setup
        tokens = generate(
            setup.model,
            setup.tokenizer,
            self._padded_batch(features),
            max_length=settings.generated_length if setup.max_new_tokens is None else None,
            max_new_tokens=setup.max_new_tokens,
            num_beams=settings.num_beams if setup.num_beams is None else setup.num_beams,
        )
        texts = setup.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [text.strip() for text in texts]
