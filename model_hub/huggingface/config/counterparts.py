"""Names of keys in other libraries, and what to write here instead.

The one table of such names: `model-hub check`, training and the documentation read it.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from model_hub.experiment.messages import truncate


class Counterpart(NamedTuple):
    """Names of other libraries that mean the same.

    Attributes:
        names: the names, as a user writes them in ``hyperparameters``, ``data`` or at the top
            level; a name that begins with ``peft.`` is one below ``hyperparameters.peft``.
        instead: what to do, for messages: ``write`` and the key, or ``remove it`` and the reason.
            ``VALUE`` stands for the value that the user has given. Of two texts, the second is for
            trials that have no key of the first.
    """

    names: str
    instead: tuple[str, ...]


_LENGTH = (
    "write data.max_seq_length: VALUE",
    "write data.max_source_length: VALUE and data.max_target_length",
)
_LORA = "write hyperparameters.peft: {peft_type: LORA, %s: VALUE}"

#: Trainer, TRL, axolotl, LLaMA-Factory and transformers' example scripts.
COUNTERPARTS: tuple[Counterpart, ...] = tuple(
    Counterpart(names, (instead,) if isinstance(instead, str) else instead)
    for names, instead in (
        # Batches and lengths.
        ("lr", "write hyperparameters.learning_rate: VALUE"),
        ("batch_size", "write hyperparameters.global_batch_size, the size over all slots"),
        (
            "per_device_train_batch_size per_gpu_train_batch_size train_batch_size "
            "micro_batch_size",
            "write hyperparameters.global_batch_size: VALUE times the number of slots",
        ),
        (
            "per_device_eval_batch_size per_gpu_eval_batch_size eval_batch_size",
            "remove it: the validation has hyperparameters.global_batch_size, too",
        ),
        ("auto_find_batch_size", "write hyperparameters.global_batch_size"),
        (
            "epochs num_epochs n_epochs max_epochs",
            "write hyperparameters.num_train_epochs: VALUE",
        ),
        (
            "num_train_steps train_steps total_steps max_train_steps",
            "write hyperparameters.max_steps: VALUE",
        ),
        (
            "accumulate_grad_batches grad_accumulation_steps accumulation_steps",
            "write hyperparameters.gradient_accumulation_steps: VALUE",
        ),
        # Optimizer and schedule.
        ("optimizer", "write hyperparameters.optim: VALUE"),
        ("optim_type", "write hyperparameters.optim: VALUE"),
        ("betas", "write hyperparameters.adam_beta1 and hyperparameters.adam_beta2"),
        ("beta1", "write hyperparameters.adam_beta1: VALUE"),
        ("beta2", "write hyperparameters.adam_beta2: VALUE"),
        ("eps", "write hyperparameters.adam_epsilon: VALUE"),
        (
            "scheduler lr_scheduler scheduler_type",
            "write hyperparameters.lr_scheduler_type: VALUE",
        ),
        ("cosine_min_lr_ratio", "write hyperparameters.lr_scheduler_kwargs: {min_lr_rate: VALUE}"),
        ("warmup_steps", "write hyperparameters.num_warmup_steps: VALUE"),
        (
            "gradient_clip_val gradient_clipping max_gradient_norm clip_grad_norm grad_clip",
            "write hyperparameters.max_grad_norm: VALUE",
        ),
        (
            "label_smoothing label_smoothing_epsilon",
            "write hyperparameters.label_smoothing_factor: VALUE",
        ),
        (
            "class_weights class_weight loss_weights",
            "remove it: classes have equal weights; another loss is a method train_batch of the "
            "trial",
        ),
        (
            "neftune_noise_alpha",
            "remove it: noise on the embeddings is not supported; it would be a method of the "
            "trial",
        ),
        # Validation, checkpoints, logging.
        (
            "eval_steps evaluation_steps val_check_interval",
            "write min_validation_period: {batches: VALUE} at the top level",
        ),
        (
            "eval_strategy evaluation_strategy",
            "write min_validation_period: {epochs: 1} or {batches: 500} at the top level; there "
            "is always a validation at the end",
        ),
        (
            "evals_per_epoch eval_epochs",
            "write min_validation_period: {epochs: 1} or {batches: 500} at the top level",
        ),
        ("eval_on_start", "write perform_initial_validation: true at the top level"),
        (
            "eval_accumulation_steps batch_eval_metrics",
            "remove it: metrics do not keep the logits",
        ),
        (
            "do_train do_eval do_predict",
            "remove it: there is always training and validation; model-hub predict predicts",
        ),
        ("save_steps", "write min_checkpoint_period: {batches: VALUE} at the top level"),
        (
            "save_strategy saves_per_epoch",
            "write min_checkpoint_period: {epochs: 1} or checkpoint_policy: all at the top level",
        ),
        ("save_total_limit", "write checkpoint_storage.save_trial_latest: VALUE"),
        (
            "load_best_model_at_end",
            "remove it: model-hub export exports the best checkpoint",
        ),
        ("metric_for_best_model", "write searcher.metric: VALUE"),
        (
            "greater_is_better",
            "write searcher.smaller_is_better, which is the opposite",
        ),
        ("logging_steps", "write scheduling_unit: VALUE at the top level"),
        (
            "logging_strategy logging_first_step logging_dir log_level",
            "remove it; scheduling_unit at the top level is the number of batches between two "
            "reports",
        ),
        (
            "report_to use_wandb use_tensorboard wandb_project wandb_name wandb_run_id "
            "wandb_entity wandb_watch wandb_log_model mlflow_experiment_name comet_project_name "
            "plot_loss",
            "remove it: there is always TensorBoard, metrics.jsonl on this machine, and the web "
            "interface on a cluster",
        ),
        ("run_name experiment_name", "write name: VALUE at the top level"),
        (
            "output_dir",
            "remove it; on this machine use model-hub train --output-dir, on a cluster write "
            "checkpoint_storage",
        ),
        (
            "overwrite_output_dir",
            "remove it: a run never writes over another one",
        ),
        (
            "resume_from_checkpoint auto_resume_from_checkpoints",
            "remove it; on this machine use model-hub train --resume, on a cluster it is automatic",
        ),
        ("disable_tqdm", "remove it: progress bars are shown on terminals only"),
        (
            "push_to_hub push_to_hub_model_id hub_model_id hub_strategy hub_private_repo "
            "hub_always_push",
            "remove it; after the training use model-hub export --push-to-hub",
        ),
        ("hub_token hf_token", "write hyperparameters.token, or set HF_TOKEN in the environment"),
        (
            "early_stopping",
            "write hyperparameters.early_stopping_patience, a number of validations",
        ),
        # The run and the device.
        (
            "seed data_seed random_seed",
            "write reproducibility.experiment_seed: VALUE",
        ),
        (
            "bfloat16 use_bf16 bf16_full_eval",
            "write hyperparameters.bf16: VALUE",
        ),
        ("float16 half use_fp16 fp16_full_eval", "write hyperparameters.fp16: VALUE"),
        ("mixed_precision", "write hyperparameters.bf16: true or hyperparameters.fp16: true"),
        (
            "torch_dtype",
            "write hyperparameters.dtype: VALUE",
        ),
        (
            "activation_checkpointing use_gradient_checkpointing",
            "write hyperparameters.gradient_checkpointing: VALUE",
        ),
        (
            "activation_checkpointing_kwargs",
            "write hyperparameters.gradient_checkpointing_kwargs",
        ),
        (
            "flash_attention flash_attn use_flash_attention_2 flash_attention_2",
            "write hyperparameters.attn_implementation: flash_attention_2",
        ),
        ("sdp_attention sdpa_attention", "write hyperparameters.attn_implementation: sdpa"),
        ("num_workers dataloader_workers", "write hyperparameters.dataloader_num_workers: VALUE"),
        ("dataloader_drop_last", "remove it; training_data_loader has drop_last, in the trial"),
        (
            "remove_unused_columns",
            "remove it; model_hub.huggingface.remove_unused_columns does so in a trial",
        ),
        ("train_sampling_strategy", "write hyperparameters.group_by_length: true"),
        (
            "n_gpu num_gpus gpus num_processes nproc_per_node world_size",
            "write resources.slots_per_trial: VALUE",
        ),
        (
            "deepspeed fsdp fsdp_config tensor_parallel_size",
            "remove it: each GPU holds the whole model",
        ),
        ("use_cpu no_cuda", "remove it: a GPU is used where there is one"),
        ("local_rank", "remove it: the launcher in entrypoint sets it"),
        # The model.
        (
            "base_model model_name_or_path model model_id",
            "write hyperparameters.pretrained_model_name_or_path: VALUE",
        ),
        ("tokenizer tokenizer_name_or_path", "write hyperparameters.tokenizer_name: VALUE"),
        ("model_revision", "write hyperparameters.revision: VALUE"),
        (
            "trust_remote_code",
            "remove it: code from the Hub is not run",
        ),
        ("quantization_bit", "write hyperparameters.load_in_4bit: true or load_in_8bit: true"),
        ("task_name task_type", "write hyperparameters.finetuning_task or model_mode"),
        # Adapters.
        ("lora_r lora_rank r rank", _LORA % "r"),
        ("lora_alpha", _LORA % "lora_alpha"),
        ("lora_dropout", _LORA % "lora_dropout"),
        (
            "lora_target lora_target_modules target_modules",
            _LORA % "target_modules",
        ),
        (
            "lora_target_linear",
            "write hyperparameters.peft: {peft_type: LORA, target_modules: all-linear}",
        ),
        ("lora_modules_to_save additional_target", _LORA % "modules_to_save"),
        ("use_rslora use_dora", "write it below hyperparameters.peft, beside peft_type: LORA"),
        ("use_peft use_lora lora", "write hyperparameters.peft: {peft_type: LORA, r: 8}"),
        (
            "adapter finetuning_type peft_type",
            "write hyperparameters.peft: {peft_type: LORA, r: 8} for an adapter, or remove it to "
            "train all weights",
        ),
        ("peft_config lora_config", "write hyperparameters.peft: {peft_type: LORA, r: 8}"),
        ("peft.rank peft.lora_r peft.lora_rank", "write hyperparameters.peft.r: VALUE"),
        ("peft.alpha", "write hyperparameters.peft.lora_alpha: VALUE"),
        ("peft.dropout", "write hyperparameters.peft.lora_dropout: VALUE"),
        (
            "peft.lora_target peft.target peft.modules peft.lora_target_modules",
            "write hyperparameters.peft.target_modules: VALUE",
        ),
        (
            "peft.method peft.kind peft.name peft.adapter",
            "write hyperparameters.peft.peft_type: VALUE",
        ),
        (
            "freeze_layers frozen_layers unfrozen_parameters",
            "write hyperparameters.freeze, a list of patterns such as bert.embeddings.*",
        ),
        # Data.
        ("cutoff_len sequence_len max_length max_len model_max_length block_size", _LENGTH),
        ("stride", "write data.doc_stride: VALUE"),
        (
            "max_prompt_length max_input_length",
            "write data.max_source_length: VALUE",
        ),
        (
            "val_set_size val_size validation_split test_size eval_split",
            "write data.validation_split_percentage, a number of per cent",
        ),
        ("dataset dataset_path datasets", "write data.dataset_name, or data.train_file"),
        ("dataset_config", "write data.dataset_config_name: VALUE"),
        ("test_file eval_file val_file dev_file", "write data.validation_file: VALUE"),
        ("max_samples", "write data.max_train_samples: VALUE"),
        ("max_val_samples max_validation_samples", "write data.max_eval_samples: VALUE"),
        ("sample_packing pack", "write data.packing: VALUE"),
        (
            "preprocessing_workers dataset_num_proc dataset_processes",
            "write data.preprocessing_num_workers: VALUE",
        ),
        ("template chat_template_path", "write data.chat_template_file, a Jinja file"),
        ("dataset_text_field", "write data.text_column: VALUE"),
    )
)
_BY_NAME: Mapping[str, tuple[str, ...]] = {
    name: entry.instead for entry in COUNTERPARTS for name in entry.names.split()
}
_KEY = re.compile(r"\b(hyperparameters|data)\.(\w+)")


def counterpart(name: str, value: Any, is_known: Callable[[str, str], bool]) -> str:
    """Return what to write instead of a key of another library.

    Other names give an empty text, and so does one whose counterpart the trial does not have.

    Args:
        name: the key, without its section; below ``hyperparameters.peft`` with ``peft.`` before it.
        value: its value.
        is_known: tells whether the trial has a key, by section and name.
    """
    texts = _BY_NAME.get(name.lower().replace("-", "_"), ())
    known = [text for text in texts if all(is_known(*key) for key in _KEY.findall(text)[:1])]
    shown = truncate(value) if isinstance(value, (int, float, str, list)) else "..."
    return known[0].replace("VALUE", shown.strip("'")) if known else ""
