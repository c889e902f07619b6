"""Token classification (named entities, parts of speech, chunks): settings, features, metrics."""

from model_hub.huggingface.tasks._common.labels import set_num_labels
from model_hub.huggingface.tasks._common.preparation import load_text_rows as load_rows
from model_hub.huggingface.tasks._common.token_loss import TokenMeanStep
from model_hub.huggingface.tasks.token_classification.collator import TokenClassificationCollator
from model_hub.huggingface.tasks.token_classification.data import (
    TokenClassificationDatasets,
    build_datasets,
)
from model_hub.huggingface.tasks.token_classification.entities import (
    LabelTables,
    count_entities,
    parse_label,
)
from model_hub.huggingface.tasks.token_classification.features import prepare_features
from model_hub.huggingface.tasks.token_classification.labels import align_labels
from model_hub.huggingface.tasks.token_classification.reducer import (
    TokenClassificationReducer,
    log_baseline,
)
from model_hub.huggingface.tasks.token_classification.rows import TaggingSchema, read_tagging
from model_hub.huggingface.tasks.token_classification.settings import TokenClassificationDataKwargs

#: The former name of :class:`TaggingSchema`.
Tagging = TaggingSchema
#: The former name of :func:`align_labels`.
fit_to_head = align_labels

__all__ = [
    "LabelTables",
    "Tagging",
    "TaggingSchema",
    "TokenClassificationCollator",
    "TokenClassificationDataKwargs",
    "TokenClassificationDatasets",
    "TokenClassificationReducer",
    "TokenMeanStep",
    "align_labels",
    "build_datasets",
    "count_entities",
    "fit_to_head",
    "load_rows",
    "log_baseline",
    "parse_label",
    "prepare_features",
    "read_tagging",
    "set_num_labels",
]
