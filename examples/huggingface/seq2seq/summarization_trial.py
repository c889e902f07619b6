"""Fine-tune an encoder-decoder transformer to summarize texts."""

from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.seq2seq as s2s
from model_hub.utils import AttrDict


class SummarizationTrial(hf.BaseTransformerTrial):
    # The keys of section `data`; the last class is the type of self.data_kwargs.
    data_types = (hf.DatasetKwargs, s2s.SummarizationDataKwargs)
    # What `model-hub check` compares the YAML with.
    model_modes = ("seq2seq-lm", "pretraining")
    metric_names = ("rouge*", "chrf", "gen_len", "validation_loss")

    @classmethod
    def load_data(cls, hparams: AttrDict, data_config: AttrDict) -> dict:
        return s2s.load_rows(data_config)

    @classmethod
    def check_data(cls, raw_datasets: dict, hparams: AttrDict, data_config: AttrDict, metric=None):
        s2s.find_columns(
            raw_datasets,
            cls.parse_data(data_config),
            data_config.get("dataset_name"),
            hf.split_sources(data_config),
        )

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        # Builds self.config, self.tokenizer, self.model, self.optimizer and self.lr_scheduler.
        super().__init__(context)
        # One process per machine reads and tokenizes; the others then read its cache.
        with hf.local_main_first(context):
            self.raw_datasets = self.load_data(self.hparams, self.data_config)
            datasets = s2s.build_datasets(
                self.raw_datasets,
                self.tokenizer,
                self.data_kwargs,
                self.config,
                dataset_name=self.data_config.get("dataset_name"),
                sources=hf.split_sources(self.data_config),
            )
        self.train_dataset, self.validation_dataset = datasets.train, datasets.validation
        self.reducer = context.wrap_reducer(
            s2s.SummarizationReducer(
                datasets.references,
                datasets.target_column,
                self.data_kwargs,
                write_files=context.distributed.rank == 0,
            ),
            for_training=False,
        )
        # Hide the columns that neither the model nor the reducer takes.
        hf.remove_unused_columns(self.model, self.train_dataset)
        hf.remove_unused_columns(self.model, self.validation_dataset, keep=[s2s.ROW_COLUMN])
        # The loaders are inherited: they read train_dataset, validation_dataset and collator.
        self.collator = s2s.seq2seq_collator(self.tokenizer, self.model)
        self.step = s2s.TokenMeanStep(context, self.optimizer, self.grad_clip_fn)

    def train_batch(self, batch: pytorch.TorchData, epoch_idx: int, batch_idx: int):
        # Every token of the labels counts the same, on any number of slots and accumulated batches.
        return self.step.of_mean(self.training_loss(batch), batch["labels"])

    def evaluate_batch(self, batch: pytorch.TorchData, batch_idx: int) -> dict:
        rows = batch.pop(s2s.ROW_COLUMN)
        generated = s2s.generate(self.model, batch, self.tokenizer, self.data_kwargs)
        # Only sums are kept; ROUGE, the mean length and the loss come from them.
        self.reducer.update(rows, generated)
        return {}
