"""Text classification (GLUE, XNLI, the user's data): settings, features, batches, metrics."""

from model_hub.huggingface.tasks._common.labels import set_num_labels
from model_hub.huggingface.tasks._common.padding import padding_collator
from model_hub.huggingface.tasks.text_classification.data import (
    SPLIT_COLUMN,
    TextClassificationDatasets,
    build_datasets,
    build_reducer,
    load_glue,
    load_xnli,
    log_majority_baseline,
)
from model_hub.huggingface.tasks.text_classification.features import prepare_features
from model_hub.huggingface.tasks.text_classification.glue import GLUE_TASKS, reported
from model_hub.huggingface.tasks.text_classification.labels import align_labels
from model_hub.huggingface.tasks.text_classification.metrics import (
    classification_metrics,
    regression_metrics,
)
from model_hub.huggingface.tasks.text_classification.reducer import (
    ClassificationReducer,
    RegressionReducer,
)
from model_hub.huggingface.tasks.text_classification.settings import (
    TextClassificationDataKwargs,
    XNLIDataKwargs,
)
from model_hub.huggingface.tasks.text_classification.task import (
    TextClassificationTask,
    check_columns,
    find_task,
)

#: The former name of :func:`align_labels`.
fit_to_head = align_labels

__all__ = [
    "GLUE_TASKS",
    "SPLIT_COLUMN",
    "ClassificationReducer",
    "RegressionReducer",
    "TextClassificationDataKwargs",
    "TextClassificationDatasets",
    "TextClassificationTask",
    "XNLIDataKwargs",
    "align_labels",
    "build_datasets",
    "build_reducer",
    "check_columns",
    "classification_metrics",
    "find_task",
    "fit_to_head",
    "load_glue",
    "load_xnli",
    "log_majority_baseline",
    "padding_collator",
    "prepare_features",
    "regression_metrics",
    "reported",
    "set_num_labels",
]
