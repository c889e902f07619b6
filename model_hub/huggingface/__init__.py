"""Fine-tune Hugging Face transformers on Determined: what trial files import from here."""

from model_hub.huggingface._build import accept_use_auth_token as _accept_use_auth_token
from model_hub.huggingface._build import build_default_optimizer, build_using_auto
from model_hub.huggingface._checkpoint import allow_random_state as _allow_random_state
from model_hub.huggingface._cluster import be_patient as _be_patient
from model_hub.huggingface._config import (
    ConfigKwargs,
    DatasetKwargs,
    LRSchedulerKwargs,
    ModelKwargs,
    OptimizerKwargs,
    TokenizerKwargs,
    default_parse_config_tokenizer_model_kwargs,
    default_parse_optimizer_lr_scheduler_kwargs,
    parse_dict_to_dataclasses,
)
from model_hub.huggingface._data import (
    default_load_dataset,
    local_main_first,
    prepare_dataset,
    remove_unused_columns,
    training_data_loader,
    trial_seed,
    validation_data_loader,
)
from model_hub.huggingface._files import split_sources
from model_hub.huggingface._names import MODEL_MODES, auto_model_class
from model_hub.huggingface._new_weights import notice as _notice_new_weights
from model_hub.huggingface._schedule import build_default_lr_scheduler, step_mode
from model_hub.huggingface._trial import BaseTransformerTrial

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

# At import, because it is Determined's code that loads the checkpoints of a trial and talks to the
# master, and in the old style of entrypoint nothing of ours runs before it.
_allow_random_state()
_be_patient()
_accept_use_auth_token()
_notice_new_weights()
