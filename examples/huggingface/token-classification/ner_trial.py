"""Fine-tune a transformer to label words: named entities, parts of speech, chunks."""

from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.token_classification as tc
from model_hub.utils import AttrDict


class NERTrial(hf.BaseTransformerTrial):
    # The keys of section `data`; the last class is the type of self.data_kwargs.
    data_types = (hf.DatasetKwargs, tc.TokenClassificationDataKwargs)
    # What `model-hub check` compares the YAML with.
    model_modes = ("token-classification",)
    metric_names = ("f1*", "precision*", "recall*", "accuracy*", "validation_loss")

    @classmethod
    def load_data(cls, hparams: AttrDict, data_config: AttrDict) -> dict:
        return tc.load_rows(data_config)

    @classmethod
    def check_data(cls, raw_datasets: dict, hparams: AttrDict, data_config: AttrDict, metric=None):
        return tc.read_tagging(
            raw_datasets,
            cls.parse_data(data_config),
            hparams.get("finetuning_task"),
            hf.split_sources(data_config),
        )

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        self.hparams = AttrDict(context.get_hparams())
        self.data_config = AttrDict(context.get_data_config())
        # The data comes before the model, because it tells how many labels the model needs.
        # One process per machine reads the files; the others then read its cache.
        with hf.local_main_first(context):
            self.raw_datasets = self.load_data(self.hparams, self.data_config)
        tagging = self.check_data(self.raw_datasets, self.hparams, self.data_config, self.metric)
        tc.set_num_labels(self.hparams, len(tagging.labels))
        # Builds self.config, self.tokenizer, self.model, self.optimizer and self.lr_scheduler.
        super().__init__(context)
        # The labels' names are saved with the model.
        self.tagging = tc.fit_to_head(tagging, self.model, self.config)
        # One process per machine tokenizes; the others then read its cache.
        with hf.local_main_first(context):
            self.train_dataset, self.validation_dataset = tc.build_datasets(
                self.raw_datasets, self.tokenizer, self.data_kwargs, self.tagging, self.config
            )
        labels, scheme = self.tagging.labels, self.data_kwargs.tag_scheme
        tc.log_baseline(self.train_dataset, self.validation_dataset, labels, scheme)
        self.reducer = context.wrap_reducer(
            tc.TokenClassificationReducer(labels, scheme), for_training=False
        )
        # Hide the columns that the model does not take.
        hf.remove_unused_columns(self.model, self.train_dataset)
        hf.remove_unused_columns(self.model, self.validation_dataset)
        # The loaders are inherited: they read train_dataset, validation_dataset and collator.
        self.collator = tc.TokenClassificationCollator(self.tokenizer)
        self.step = tc.TokenMeanStep(context, self.optimizer, self.grad_clip_fn)

    def task_metadata(self) -> dict:
        # Checkpoints hold the column that was found: later data may have others as well.
        return {"tokens_column": self.tagging.tokens_column}

    def train_batch(self, batch: pytorch.TorchData, epoch_idx: int, batch_idx: int):
        # Every labelled token counts the same, on any number of slots and accumulated batches.
        return self.step.of_mean(self.training_loss(batch), batch["labels"])

    def evaluate_batch(self, batch: pytorch.TorchData, batch_idx: int) -> dict:
        outputs = self.model(**batch)
        # Entities are found and counted here; only the counts are kept.
        self.reducer.update(outputs.logits, batch["labels"])
        return {}
