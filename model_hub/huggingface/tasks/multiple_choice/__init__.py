"""Multiple choice on SWAG-like data: features, batches, loss, accuracy."""

from model_hub.huggingface.tasks.multiple_choice.collator import MultipleChoiceCollator
from model_hub.huggingface.tasks.multiple_choice.data import (
    MultipleChoiceDataKwargs,
    MultipleChoiceDatasets,
    build_datasets,
    log_baselines,
)
from model_hub.huggingface.tasks.multiple_choice.features import (
    check_rows,
    ending_columns,
    filled_endings,
    prepare_features,
    right_endings,
)
from model_hub.huggingface.tasks.multiple_choice.reducer import (
    MultipleChoiceReducer,
    choice_loss,
    mask_choices,
)

__all__ = [
    "MultipleChoiceCollator",
    "MultipleChoiceDataKwargs",
    "MultipleChoiceDatasets",
    "MultipleChoiceReducer",
    "build_datasets",
    "check_rows",
    "choice_loss",
    "ending_columns",
    "filled_endings",
    "log_baselines",
    "mask_choices",
    "prepare_features",
    "right_endings",
]
