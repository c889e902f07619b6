"""Fine-tune a transformer on XNLI: trained in one language, validated in another."""

from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.text_classification as tc
from model_hub.utils import AttrDict


class XNLITrial(hf.BaseTransformerTrial):
    # The keys of section `data`; the last class is the type of self.data_kwargs.
    data_types = (hf.DatasetKwargs, tc.XNLIDataKwargs)
    # What `model-hub check` compares the YAML with.
    model_modes = ("sequence-classification",)
    metric_names = ("accuracy", "validation_loss")

    @classmethod
    def load_data(cls, hparams: AttrDict, data_config: AttrDict) -> dict:
        return tc.load_xnli(data_config)

    @classmethod
    def check_data(cls, raw_datasets: dict, hparams: AttrDict, data_config: AttrDict, metric=None):
        return tc.find_task(
            raw_datasets,
            "xnli",
            cls.parse_data(data_config).text_columns,
            hf.split_sources(data_config),
        )

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        self.hparams = AttrDict(context.get_hparams())
        self.data_config = AttrDict(context.get_data_config())
        # The data comes first: the head of the model has an output for each of its labels.
        # One process per machine reads the files; the others then read its cache.
        with hf.local_main_first(context):
            self.raw_datasets = self.load_data(self.hparams, self.data_config)
        task = self.check_data(self.raw_datasets, self.hparams, self.data_config, self.metric)
        tc.set_num_labels(self.hparams, task.num_labels)
        # Builds self.config, self.tokenizer, self.model, self.optimizer and self.lr_scheduler.
        super().__init__(context)
        # A model that was fine-tuned before may know the labels under other numbers.
        self.task = tc.fit_to_head(task, self.model, self.config, self.tokenizer)
        # One process per machine tokenizes; the others then read its cache.
        with hf.local_main_first(context):
            datasets = tc.build_datasets(
                self.raw_datasets, self.tokenizer, self.data_kwargs, self.task, self.config
            )
        tc.log_majority_baseline(self.task, datasets)
        self.train_dataset, self.validation_dataset = datasets
        self.reducer = context.wrap_reducer(tc.build_reducer(self.task), for_training=False)
        # Hide the columns that the model does not take.
        hf.remove_unused_columns(self.model, self.train_dataset)
        hf.remove_unused_columns(self.model, self.validation_dataset)
        # The loaders are inherited: they read train_dataset, validation_dataset and collator.
        self.collator = tc.padding_collator(self.tokenizer)

    def task_metadata(self) -> dict:
        # Checkpoints hold the columns that were found: later data may have others as well.
        return {"text_columns": list(self.task.text_columns)}

    # train_batch is inherited: forward, backward, clipped step of the optimizer.

    def evaluate_batch(self, batch: pytorch.TorchData, batch_idx: int) -> dict:
        outputs = self.model(**batch)
        # Only counts are kept; the accuracy comes from them.
        self.reducer.update(outputs.logits, batch["labels"])
        return {}
