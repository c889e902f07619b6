"""Predictions of models with encoder and decoder: summaries and translations."""

from collections.abc import Mapping
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import torch

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.padding import pad_rows
from model_hub.huggingface.tasks._common.predictor import (
    InferenceSetup,
    Predictor,
    Rows,
    features_of_rows,
    map_by_length,
    require_texts,
)
from model_hub.huggingface.tasks.seq2seq.features import prepare_features
from model_hub.huggingface.tasks.seq2seq.rows import (
    SUMMARIZATION_COLUMNS,
    _language_column,
    language_codes,
    start_with_language,
)
from model_hub.huggingface.tasks.seq2seq.settings import (
    Seq2SeqDataKwargs,
    SummarizationDataKwargs,
    TranslationDataKwargs,
    source_length,
)

# Where the text may stand if nothing is known of the training, the first that is there.
_COMMON_COLUMNS = ("document", "text", "source", "article", "dialogue")
_TARGET = "target"


class Seq2SeqPredictor(Predictor):
    """The text that a model makes of another one, as the validation generates it."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {"generated_text": pa.string()}

    def __init__(self, asked: InferenceSetup) -> None:
        super().__init__(asked)
        translates = "source_lang" in asked.data or "target_lang" in asked.data
        self._settings: Seq2SeqDataKwargs = (
            asked.data_kwargs(TranslationDataKwargs)
            if translates
            else asked.data_kwargs(SummarizationDataKwargs)
        )
        self._length = source_length(self._settings, asked.tokenizer, asked.model.config)
        self._languages = language_codes(asked.tokenizer, self._settings)
        start_with_language(asked.model, asked.tokenizer, self._settings)
        self._column = ""

    def check(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Text is in the column of the training; of translations, in that of the language."""
        rows = rows.flatten()
        self._column = self._find_column(rows, source)
        require_texts(rows, source, (self._column,), "this model")
        return rows

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """``generated_text``."""
        sources = list(rows[self._column])
        columns = prepare_features(
            {self._column: sources, _TARGET: [""] * len(sources)},
            tokenizer=self.asked.tokenizer,
            source_column=self._column,
            target_column=_TARGET,
            max_source_length=self._length,
            max_target_length=self._settings.generated_length,
            source_prefix=self._settings.source_prefix or "",
            languages=self._languages,
        )
        del columns["labels"]
        features = features_of_rows(columns)
        lengths = [len(feature["input_ids"]) for feature in features]
        texts = map_by_length(features, lengths, self.asked.batch_size, self._generated)
        return [{"generated_text": text} for text in texts]

    def _find_column(self, rows: datasets.Dataset, source: str) -> str:
        names = rows.column_names
        settings = self._settings
        if isinstance(settings, TranslationDataKwargs):
            return _language_column(names, "source_lang", settings.source_lang, source)
        assert isinstance(settings, SummarizationDataKwargs)
        if settings.text_column is not None:
            return settings.text_column
        known = str(self.asked.data.get("dataset_name")).rsplit("/", 1)[-1]
        if known in SUMMARIZATION_COLUMNS:
            return SUMMARIZATION_COLUMNS[known][0]
        found = next((name for name in _COMMON_COLUMNS if name in names), None)
        if found is None and len(names) > 1:
            raise UserError(
                f"{source}: the columns are {', '.join(map(repr, names))}, but the text should "
                f"stand in {' or '.join(map(repr, _COMMON_COLUMNS))}. Rename the one with the text."
            )
        return found or str(names[0])

    @torch.no_grad()
    def _generated(self, features: list[dict[str, Any]]) -> list[str]:
        batch = self.asked.to_device(
            pad_rows(features, self.asked.tokenizer, padding_side=self._side)
        )
        settings, asked = self._settings, self.asked
        beams = settings.num_beams if asked.num_beams is None else asked.num_beams
        longest = (
            {"max_length": settings.generated_length}
            if asked.max_new_tokens is None
            else {"max_new_tokens": asked.max_new_tokens, "max_length": None}
        )
        tokens = asked.model.generate(
            **batch,
            **longest,
            do_sample=False,
            **({} if beams is None else {"num_beams": beams}),
        )
        texts = asked.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [text.strip() for text in texts]
