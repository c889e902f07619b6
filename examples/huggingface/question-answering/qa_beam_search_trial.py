"""Fine-tune XLNet with its own beam search over start and end of the answer.

A trial that builds its own model: it leaves out ``super().__init__`` and calls its parts.
"""

import functools

import torch
import transformers
from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.question_answering as qa
from model_hub.utils import AttrDict


class QABeamSearchTrial(hf.BaseTransformerTrial):
    # The keys that this trial reads in section `data`; others are reported as misspelt.
    data_types = (hf.DatasetKwargs, qa.QuestionAnsweringDataKwargs)
    # What `model-hub check` holds the YAML and the first rows of local files against.
    metric_names = ("exact_match", "exact", "f1", "total", "HasAns_*", "NoAns_*", "best_*")

    @classmethod
    def check_data(cls, raw_datasets: dict, hparams: dict, data_config: dict) -> None:
        for split, rows in raw_datasets.items():
            qa.check_columns(rows, hf.split_sources(data_config)[split])

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        self.context = context
        self.hparams = AttrDict(context.get_hparams())
        self.data_config = AttrDict(context.get_data_config())
        self.exp_config = AttrDict(context.get_experiment_config())
        self.check_hparams()
        self.config_kwargs, self.tokenizer_kwargs, self.model_kwargs = (
            hf.default_parse_config_tokenizer_model_kwargs(self.hparams)
        )
        optimizer_kwargs, scheduler_kwargs = hf.default_parse_optimizer_lr_scheduler_kwargs(
            self.hparams
        )
        # The Auto class would take XLNetForQuestionAnsweringSimple, which does not search.
        self.config, self.tokenizer, model = hf.build_using_auto(
            self.config_kwargs,
            self.tokenizer_kwargs,
            self.hparams.model_mode,
            self.model_kwargs,
            use_pretrained_weights=self.hparams.use_pretrained_weights,
            model_class=transformers.XLNetForQuestionAnswering,
        )
        # Only pretraining uses it; with several slots every trained weight needs a gradient.
        model.transformer.mask_emb.requires_grad_(False)
        self.model = context.wrap_model(model)
        self.optimizer = context.wrap_optimizer(
            hf.build_default_optimizer(self.model, optimizer_kwargs)
        )
        self.lr_scheduler = hf.build_default_lr_scheduler(self.optimizer, scheduler_kwargs)
        context.wrap_lr_scheduler(self.lr_scheduler, hf.step_mode(self.lr_scheduler))
        self.grad_clip_fn = (
            functools.partial(
                torch.nn.utils.clip_grad_norm_, max_norm=optimizer_kwargs.max_grad_norm
            )
            if optimizer_kwargs.max_grad_norm > 0
            else None
        )

        (self.data_kwargs,) = hf.parse_dict_to_dataclasses(
            (qa.QuestionAnsweringDataKwargs,), self.data_config
        )
        self.raw_datasets = hf.default_load_dataset(self.data_config)
        self.train_dataset, self.validation_dataset, examples = self.build_datasets()
        self.reducer = context.wrap_reducer(
            qa.BeamSearchReducer(
                examples,
                self.validation_dataset,
                self.data_kwargs,
                write_files=context.distributed.rank == 0,
            ),
            for_training=False,
        )
        # The collator needs the columns that tell where the context is, for training as well.
        for dataset in (self.train_dataset, self.validation_dataset):
            hf.remove_unused_columns(self.model, dataset, keep=qa.FEATURE_COLUMNS)
        self.collator = qa.BeamSearchCollator.of(self.tokenizer, self.config)

    def build_datasets(self) -> qa.QuestionAnsweringDatasets:
        # One process of a machine tokenizes; the others then read its cache.
        with hf.local_main_first(self.context):
            return qa.build_datasets(
                self.raw_datasets,
                self.tokenizer,
                self.data_kwargs,
                self.config,
                hf.split_sources(self.data_config),
                beam_search=True,
            )

    def build_training_data_loader(self) -> pytorch.DataLoader:
        return hf.training_data_loader(self.context, self.train_dataset, self.collator)

    def build_validation_data_loader(self) -> pytorch.DataLoader:
        return hf.validation_data_loader(self.context, self.validation_dataset, self.collator)

    def train_batch(
        self, batch: pytorch.TorchData, epoch_idx: int, batch_idx: int
    ) -> torch.Tensor | dict[str, torch.Tensor]:
        places = qa.pop_feature_columns(batch)
        return super().train_batch(
            {**batch, "cls_index": places["cls_index"]}, epoch_idx, batch_idx
        )

    def evaluate_batch(self, batch: pytorch.TorchData, batch_idx: int) -> dict:
        places = qa.pop_feature_columns(batch)
        outputs = self.model(**batch, cls_index=places["cls_index"])
        # Only the n best of the spans found are kept; exact match and F1 come from them.
        self.reducer.update(places, outputs)
        return {}
