"""Summarization and translation: settings, features, batches, generation, metrics."""

from model_hub.huggingface.tasks._common.preparation import load_text_rows as load_rows
from model_hub.huggingface.tasks._common.token_loss import TokenMeanStep
from model_hub.huggingface.tasks.seq2seq.collator import seq2seq_collator
from model_hub.huggingface.tasks.seq2seq.data import ROW_COLUMN, Seq2SeqDatasets, build_datasets
from model_hub.huggingface.tasks.seq2seq.features import prepare_features
from model_hub.huggingface.tasks.seq2seq.metrics import split_sentences
from model_hub.huggingface.tasks.seq2seq.reducer import (
    Generated,
    Seq2SeqReducer,
    SummarizationReducer,
    TranslationReducer,
    generate,
)
from model_hub.huggingface.tasks.seq2seq.rows import (
    find_columns,
    language_codes,
    start_with_language,
)
from model_hub.huggingface.tasks.seq2seq.settings import (
    Seq2SeqDataKwargs,
    SummarizationDataKwargs,
    TranslationDataKwargs,
    source_length,
)

__all__ = [
    "ROW_COLUMN",
    "Generated",
    "Seq2SeqDataKwargs",
    "Seq2SeqDatasets",
    "Seq2SeqReducer",
    "SummarizationDataKwargs",
    "SummarizationReducer",
    "TokenMeanStep",
    "TranslationDataKwargs",
    "TranslationReducer",
    "build_datasets",
    "find_columns",
    "generate",
    "language_codes",
    "load_rows",
    "prepare_features",
    "seq2seq_collator",
    "source_length",
    "split_sentences",
    "start_with_language",
]
