"""Fine-tune an encoder-decoder transformer to summarize texts."""

from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.seq2seq as s2s


class SummarizationTrial(hf.BaseTransformerTrial):
    # The keys of section `data`; the last class is the type of self.data_kwargs.
    data_types = (hf.DatasetKwargs, s2s.SummarizationDataKwargs)
    # What `model-hub check` compares the YAML and the first rows of local files with.
    model_modes = ("seq2seq-lm", "pretraining")
    metric_names = ("rouge*", "chrf", "gen_len", "validation_loss")

    @classmethod
    def check_data(cls, raw_datasets: dict, hparams: dict, data_config: dict) -> None:
        (kwargs,) = hf.parse_dict_to_dataclasses((s2s.SummarizationDataKwargs,), data_config)
        for split, rows in raw_datasets.items():
            s2s.find_columns(
                {split: rows},
                kwargs,
                data_config.get("dataset_name"),
                hf.split_sources(data_config),
            )

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        # Builds self.config, self.tokenizer, self.model, self.optimizer and self.lr_scheduler.
        super().__init__(context)
        self.raw_datasets = hf.default_load_dataset(self.data_config)
        # One process per machine tokenizes; the others then read its cache.
        with hf.local_main_first(context):
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
