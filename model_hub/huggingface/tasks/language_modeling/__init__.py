"""Language modeling: settings, features, batches, losses, metrics."""

from model_hub.huggingface.tasks._common.model_checks import check_next_token_model
from model_hub.huggingface.tasks._common.token_loss import (
    TokenMeanStep,
    TokenReducer,
    logits_and_targets,
)
from model_hub.huggingface.tasks._common.unigram import log_unigram_baseline, unigram_metrics
from model_hub.huggingface.tasks.language_modeling.collator import (
    CausalCollator,
    MaskedCollator,
    PermutationCollator,
)
from model_hub.huggingface.tasks.language_modeling.data import (
    LanguageModelingDatasets,
    build_datasets,
)
from model_hub.huggingface.tasks.language_modeling.features import (
    divide_into_blocks,
    tokenize_lines,
    tokenize_texts,
)
from model_hub.huggingface.tasks.language_modeling.rows import check_rows, load_rows, text_column
from model_hub.huggingface.tasks.language_modeling.settings import (
    LanguageModelingDataKwargs,
    MaskedLanguageModelingDataKwargs,
    PermutationLanguageModelingDataKwargs,
)

__all__ = [
    "CausalCollator",
    "LanguageModelingDataKwargs",
    "LanguageModelingDatasets",
    "MaskedCollator",
    "MaskedLanguageModelingDataKwargs",
    "PermutationCollator",
    "PermutationLanguageModelingDataKwargs",
    "TokenMeanStep",
    "TokenReducer",
    "build_datasets",
    "check_next_token_model",
    "check_rows",
    "divide_into_blocks",
    "load_rows",
    "log_unigram_baseline",
    "logits_and_targets",
    "text_column",
    "tokenize_lines",
    "tokenize_texts",
    "unigram_metrics",
]
