"""Fine-tune a transformer on XNLI: trained in one language, validated in another."""

from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.text_classification as tc
from model_hub.utils import AttrDict


class XNLITrial(hf.BaseTransformerTrial):
    # The keys that this trial reads in section `data`; others are reported as misspelt.
    data_types = (hf.DatasetKwargs, tc.XNLIDataKwargs)
    # What `model-hub check` holds the YAML and the first rows of local files against.
    model_modes = ("sequence-classification",)
    metric_names = ("accuracy",)

    @classmethod
    def check_data(cls, raw_datasets: dict, hparams: dict, data_config: dict) -> None:
        sources = hf.split_sources(data_config)
        columns = data_config.get("text_columns")
        for split, rows in raw_datasets.items():
            tc.check_columns(rows, sources[split], "xnli", columns)

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        self.hparams = AttrDict(context.get_hparams())
        self.data_config = AttrDict(context.get_data_config())
        (self.data_kwargs,) = hf.parse_dict_to_dataclasses((tc.XNLIDataKwargs,), self.data_config)
        # The data comes first: the head of the model has an output for each of its labels.
        self.raw_datasets = tc.load_xnli(self.data_config)
        task = tc.find_task(
            self.raw_datasets,
            "xnli",
            self.data_kwargs.text_columns,
            hf.split_sources(self.data_config),
        )
        tc.set_num_labels(self.hparams, task.num_labels)
        # Builds self.config, self.tokenizer, self.model, self.optimizer and self.lr_scheduler.
        super().__init__(context)
        # A model that was fine-tuned before may know the labels under other numbers.
        self.task = tc.fit_to_head(task, self.model, self.config, self.tokenizer)
        # One process of a machine tokenizes; the others then read its cache.
        with hf.local_main_first(context):
            datasets = tc.build_datasets(
                self.raw_datasets, self.tokenizer, self.data_kwargs, self.task, self.config
            )
        tc.log_majority_baseline(self.task, datasets)
        self.train_dataset, self.validation_dataset = datasets
        self.reducer = context.wrap_reducer(tc.build_reducer(self.task), for_training=False)
        # The loaders leave out what the model does not take.
        hf.remove_unused_columns(self.model, self.train_dataset)
        hf.remove_unused_columns(self.model, self.validation_dataset)
        self.collator = tc.padding_collator(self.tokenizer)

    def build_training_data_loader(self) -> pytorch.DataLoader:
        return hf.training_data_loader(self.context, self.train_dataset, self.collator)

    def build_validation_data_loader(self) -> pytorch.DataLoader:
        return hf.validation_data_loader(self.context, self.validation_dataset, self.collator)

    # train_batch is inherited: forward, backward, clipped step of the optimizer.

    def evaluate_batch(self, batch: pytorch.TorchData, batch_idx: int) -> dict:
        outputs = self.model(**batch)
        # Only counts are kept; the accuracy comes from them.
        self.reducer.update(outputs.logits, batch["labels"])
        return {}
