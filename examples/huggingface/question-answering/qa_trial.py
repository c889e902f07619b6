"""Fine-tune a transformer for extractive question answering on SQuAD-like data."""

from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.question_answering as qa
from model_hub.utils import AttrDict


class QATrial(hf.BaseTransformerTrial):
    # The keys of section `data`; the last class is the type of self.data_kwargs.
    data_types = (hf.DatasetKwargs, qa.QuestionAnsweringDataKwargs)
    # What `model-hub check` compares the YAML with.
    model_modes = ("question-answering",)
    metric_names = (
        *("exact_match", "exact", "f1", "total", "HasAns_*", "NoAns_*", "best_*"),
        "validation_loss",
    )

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
            )
        self.reducer = context.wrap_reducer(
            qa.QuestionAnsweringReducer(
                examples,
                self.validation_dataset,
                self.data_kwargs,
                write_files=context.distributed.rank == 0,
            ),
            for_training=False,
        )
        # Hide the columns that neither the model nor the reducer takes.
        hf.remove_unused_columns(self.model, self.train_dataset)
        hf.remove_unused_columns(self.model, self.validation_dataset, keep=qa.FEATURE_COLUMNS)
        # The loaders are inherited: they read train_dataset, validation_dataset and collator.
        self.collator = qa.QuestionAnsweringCollator(self.tokenizer)

    # train_batch is inherited: forward, backward, clipped step of the optimizer.

    def evaluate_batch(self, batch: pytorch.TorchData, batch_idx: int) -> dict:
        for_reducer = qa.pop_feature_columns(batch)
        outputs = self.model(**batch)
        # Only the n best spans of each window are kept; exact match and F1 come from them.
        self.reducer.update(for_reducer, outputs.start_logits, outputs.end_logits)
        return {}
