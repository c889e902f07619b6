"""Token classification: named entities, parts of speech, chunks. Features, entities, metrics."""

from model_hub.huggingface.tasks._common.labels import set_num_labels
from model_hub.huggingface.tasks._common.token_loss import TokenMeanStep
from model_hub.huggingface.tasks.token_classification.data import (
    TokenClassificationCollator,
    TokenClassificationDatasets,
    build_datasets,
)
from model_hub.huggingface.tasks.token_classification.entities import (
    LabelTables,
    count_entities,
    parse_label,
)
from model_hub.huggingface.tasks.token_classification.features import prepare_features
from model_hub.huggingface.tasks.token_classification.reducer import (
    TokenClassificationReducer,
    log_baseline,
)
from model_hub.huggingface.tasks.token_classification.rows import (
    Tagging,
    TokenClassificationDataKwargs,
    fit_to_head,
    read_tagging,
)

__all__ = [
    "LabelTables",
    "Tagging",
    "TokenClassificationCollator",
    "TokenClassificationDataKwargs",
    "TokenClassificationDatasets",
    "TokenClassificationReducer",
    "TokenMeanStep",
    "build_datasets",
    "count_entities",
    "fit_to_head",
    "log_baseline",
    "parse_label",
    "prepare_features",
    "read_tagging",
    "set_num_labels",
]
