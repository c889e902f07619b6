"""Fine-tune Hugging Face transformers on Determined: what trial files import from here."""

from model_hub.huggingface import compat
from model_hub.huggingface.config.fields import (
    ConfigKwargs,
    DatasetKwargs,
    LRSchedulerKwargs,
    ModelKwargs,
    OptimizerKwargs,
    TokenizerKwargs,
)
from model_hub.huggingface.config.names import MODEL_MODES, auto_model_class
from model_hub.huggingface.config.parsing import (
    default_parse_config_tokenizer_model_kwargs,
    default_parse_optimizer_lr_scheduler_kwargs,
    parse_dict_to_dataclasses,
)
from model_hub.huggingface.data.columns import remove_unused_columns
from model_hub.huggingface.data.files import split_sources
from model_hub.huggingface.data.load import default_load_dataset
from model_hub.huggingface.data.loaders import (
    training_data_loader,
    trial_seed,
    validation_data_loader,
)
from model_hub.huggingface.data.prepare import local_main_first, prepare_dataset
from model_hub.huggingface.model.build import build_using_auto
from model_hub.huggingface.training.optim import (
    build_default_lr_scheduler,
    build_default_optimizer,
    step_mode,
)
from model_hub.huggingface.trial import BaseTransformerTrial

__all__ = [
    "MODEL_MODES",
    "BaseTransformerTrial",
    "ConfigKwargs",
    "DatasetKwargs",
    "LRSchedulerKwargs",
    "ModelKwargs",
    "OptimizerKwargs",
    "TokenizerKwargs",
    "auto_model_class",
    "build_default_lr_scheduler",
    "build_default_optimizer",
    "build_using_auto",
    "default_load_dataset",
    "default_parse_config_tokenizer_model_kwargs",
    "default_parse_optimizer_lr_scheduler_kwargs",
    "local_main_first",
    "parse_dict_to_dataclasses",
    "prepare_dataset",
    "remove_unused_columns",
    "split_sources",
    "step_mode",
    "training_data_loader",
    "trial_seed",
    "validation_data_loader",
]

# At import, because Determined's own code loads the checkpoints of a trial and talks to the master,
# and with the entrypoint `module:Class` nothing of ours runs before it.
compat.apply()
