"""Text classification (GLUE, XNLI, data of one's own): settings, features, batches, metrics."""

from model_hub.huggingface.tasks._common.labels import set_num_labels
from model_hub.huggingface.tasks._common.tokenization import padding_collator
from model_hub.huggingface.tasks.text_classification.data import (
    SPLIT_COLUMN,
    TextClassificationDataKwargs,
    TextClassificationDatasets,
    XNLIDataKwargs,
    build_datasets,
    build_reducer,
    load_glue,
    load_xnli,
    log_majority_baseline,
)
from model_hub.huggingface.tasks.text_classification.features import fit_to_head, prepare_features
from model_hub.huggingface.tasks.text_classification.glue import GLUE_TASKS
from model_hub.huggingface.tasks.text_classification.glue import prefix_metrics as reported
from model_hub.huggingface.tasks.text_classification.metrics import (
    classification_metrics,
    regression_metrics,
)
from model_hub.huggingface.tasks.text_classification.reducer import (
    ClassificationReducer,
    RegressionReducer,
)
from model_hub.huggingface.tasks.text_classification.task import (
    TextClassificationTask,
    check_columns,
    find_task,
)

__all__ = [
    "GLUE_TASKS",
    "SPLIT_COLUMN",
    "ClassificationReducer",
    "RegressionReducer",
    "TextClassificationDataKwargs",
    "TextClassificationDatasets",
    "TextClassificationTask",
    "XNLIDataKwargs",
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
