"""Trains a model that no Auto class builds; stands beside qa_trial.py."""

import functools

import torch
from determined import pytorch
from qa_trial import QATrial
from transformers.modeling_outputs import QuestionAnsweringModelOutput

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.question_answering as qa


class TwoLayerHead(torch.nn.Module):
    """An encoder of transformers below a head with a hidden layer."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        size = encoder.config.hidden_size
        self.encoder = encoder
        self.head = torch.nn.Sequential(
            torch.nn.Linear(size, size), torch.nn.GELU(), torch.nn.Linear(size, 2)
        )

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        start_positions: torch.Tensor | None = None,
        end_positions: torch.Tensor | None = None,
    ) -> QuestionAnsweringModelOutput:
        further = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden = self.encoder(input_ids, attention_mask=attention_mask, **further)[0]
        start_logits, end_logits = self.head(hidden).unbind(dim=-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (
                torch.nn.functional.cross_entropy(start_logits, start_positions)
                + torch.nn.functional.cross_entropy(end_logits, end_positions)
            ) / 2
        return QuestionAnsweringModelOutput(
            loss=loss, start_logits=start_logits, end_logits=end_logits
        )


class OwnModelTrial(QATrial):
    # QATrial's would refuse `model_mode: base`.
    model_modes = ("base",)

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        self.context = context
        self.check_hparams()  # Sets self.hparams, self.data_config and self.exp_config.
        config_kwargs, tokenizer_kwargs, model_kwargs = (
            hf.default_parse_config_tokenizer_model_kwargs(self.hparams)
        )
        optimizer_kwargs, scheduler_kwargs = hf.default_parse_optimizer_lr_scheduler_kwargs(
            self.hparams
        )
        # YAML: model_mode: base, an encoder without a head.
        self.config, self.tokenizer, encoder = hf.build_using_auto(
            config_kwargs,
            tokenizer_kwargs,
            self.hparams.model_mode,
            model_kwargs,
            use_pretrained_weights=self.hparams.use_pretrained_weights,
        )
        # Nothing uses the pooler; with several slots every trained weight needs a gradient.
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler.requires_grad_(False)
        # The model first: mixed precision and the other switches are applied in wrap_model.
        self.model = context.wrap_model(TwoLayerHead(encoder))
        self.optimizer = context.wrap_optimizer(
            hf.build_default_optimizer(self.model, optimizer_kwargs)
        )
        self.lr_scheduler = hf.build_default_lr_scheduler(self.optimizer, scheduler_kwargs)
        context.wrap_lr_scheduler(self.lr_scheduler, hf.step_mode(self.lr_scheduler))
        self.grad_clip_fn = functools.partial(
            torch.nn.utils.clip_grad_norm_, max_norm=optimizer_kwargs.max_grad_norm
        )
        self.prepare_data()

    def prepare_data(self) -> None:
        (self.data_kwargs,) = hf.parse_dict_to_dataclasses(
            (qa.QuestionAnsweringDataKwargs,), self.data_config
        )
        self.raw_datasets = hf.default_load_dataset(self.data_config)
        self.train_dataset, self.validation_dataset, examples = self.build_datasets()
        self.reducer = self.context.wrap_reducer(
            qa.QuestionAnsweringReducer(examples, self.validation_dataset, self.data_kwargs),
            for_training=False,
        )
        hf.remove_unused_columns(self.model, self.train_dataset)
        hf.remove_unused_columns(self.model, self.validation_dataset, keep=qa.FEATURE_COLUMNS)
        self.collator = qa.QuestionAnsweringCollator(self.tokenizer)
