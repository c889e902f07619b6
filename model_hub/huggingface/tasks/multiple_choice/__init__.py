"""Multiple choice on SWAG-like data: settings, features, batches, loss, accuracy."""

from model_hub.huggingface.tasks.multiple_choice.collator import MultipleChoiceCollator
from model_hub.huggingface.tasks.multiple_choice.data import (
    MultipleChoiceDatasets,
    build_datasets,
    check_splits,
    load_rows,
    log_baselines,
)
from model_hub.huggingface.tasks.multiple_choice.features import prepare_features
from model_hub.huggingface.tasks.multiple_choice.loss import choice_loss, mask_choices
from model_hub.huggingface.tasks.multiple_choice.reducer import MultipleChoiceReducer
from model_hub.huggingface.tasks.multiple_choice.rows import (
    check_rows,
    ending_columns,
    filled_endings,
    right_endings,
)
from model_hub.huggingface.tasks.multiple_choice.settings import MultipleChoiceDataKwargs

__all__ = [
    "MultipleChoiceCollator",
    "MultipleChoiceDataKwargs",
    "MultipleChoiceDatasets",
    "MultipleChoiceReducer",
    "build_datasets",
    "check_rows",
    "check_splits",
    "choice_loss",
    "ending_columns",
    "filled_endings",
    "load_rows",
    "log_baselines",
    "mask_choices",
    "prepare_features",
    "right_endings",
]
