"""Fine-tune XLNet with its own beam search over start and end of the answer.

A trial that builds another model than the YAML's ``model_mode`` says.
"""

import torch
import transformers
from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.question_answering as qa
from model_hub.utils import AttrDict


class QABeamSearchTrial(hf.BaseTransformerTrial):
    # The keys of section `data`; the last class is the type of self.data_kwargs.
    data_types = (hf.DatasetKwargs, qa.QuestionAnsweringDataKwargs)
    # What `model-hub check` compares the YAML with.
    metric_names = ("exact_match", "exact", "f1", "total", "HasAns_*", "NoAns_*", "best_*")

    @classmethod
    def load_data(cls, hparams: AttrDict, data_config: AttrDict) -> dict:
        return qa.load_rows(data_config)

    @classmethod
    def check_data(cls, raw_datasets: dict, hparams: AttrDict, data_config: AttrDict, metric=None):
        qa.check_rows(raw_datasets, cls.parse_data(data_config), hf.split_sources(data_config))

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        # Builds self.config, self.tokenizer, self.model, self.optimizer and self.lr_scheduler.
        super().__init__(context)
        # One process per machine reads and tokenizes; the others then read its cache.
        with hf.local_main_first(context):
            self.raw_datasets = self.load_data(self.hparams, self.data_config)
            self.train_dataset, self.validation_dataset, examples = qa.build_datasets(
                self.raw_datasets,
                self.tokenizer,
                self.data_kwargs,
                self.config,
                hf.split_sources(self.data_config),
                beam_search=True,
            )
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
        # The loaders are inherited: they read train_dataset, validation_dataset and collator.
        self.collator = qa.BeamSearchCollator.of(self.tokenizer, self.config)

    def build_model(self) -> torch.nn.Module:
        # The Auto class would take XLNetForQuestionAnsweringSimple, which does not search.
        model = super().build_model(transformers.XLNetForQuestionAnswering)
        # Only pretraining uses it; with several slots every trained weight needs a gradient.
        model.transformer.mask_emb.requires_grad_(False)
        return model

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
