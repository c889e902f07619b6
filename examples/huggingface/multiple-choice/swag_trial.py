"""Fine-tune a transformer to choose the right one of several endings, on SWAG-like data."""

import torch
from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.multiple_choice as mc


class SWAGTrial(hf.BaseTransformerTrial):
    # The keys that this trial reads in section `data`; others are reported as misspelt.
    data_types = (hf.DatasetKwargs, mc.MultipleChoiceDataKwargs)
    # What `model-hub check` holds the YAML and the first rows of local files against.
    model_modes = ("multiple-choice",)
    metric_names = ("accuracy",)

    @classmethod
    def check_data(cls, raw_datasets: dict, hparams: dict, data_config: dict) -> None:
        for split, rows in raw_datasets.items():
            mc.check_rows(rows, hf.split_sources(data_config)[split])

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        # Builds self.config, self.tokenizer, self.model, self.optimizer and self.lr_scheduler.
        super().__init__(context)
        (self.data_kwargs,) = hf.parse_dict_to_dataclasses(
            (mc.MultipleChoiceDataKwargs,), self.data_config
        )
        self.raw_datasets = hf.default_load_dataset(self.data_config)
        self.train_dataset, self.validation_dataset = self.build_datasets()
        mc.log_baselines(self.raw_datasets)
        self.reducer = context.wrap_reducer(mc.MultipleChoiceReducer(), for_training=False)
        # The loaders leave out what the model does not take.
        hf.remove_unused_columns(self.model, self.train_dataset)
        hf.remove_unused_columns(self.model, self.validation_dataset)
        self.collator = mc.MultipleChoiceCollator(self.tokenizer)

    def build_datasets(self) -> mc.MultipleChoiceDatasets:
        # One process of a machine tokenizes; the others then read its cache.
        with hf.local_main_first(self.context):
            return mc.build_datasets(
                self.raw_datasets,
                self.tokenizer,
                self.data_kwargs,
                self.config,
                hf.split_sources(self.data_config),
            )

    def build_training_data_loader(self) -> pytorch.DataLoader:
        return hf.training_data_loader(self.context, self.train_dataset, self.collator)

    def build_validation_data_loader(self) -> pytorch.DataLoader:
        return hf.validation_data_loader(self.context, self.validation_dataset, self.collator)

    def train_batch(self, batch: pytorch.TorchData, epoch_idx: int, batch_idx: int) -> torch.Tensor:
        # The inherited step, but endings that a row does not have are left out of the loss.
        choice_mask = batch.pop("choice_mask")
        outputs = self.model(**batch)
        smoothing = self.hparams.get("label_smoothing_factor") or 0.0
        loss = mc.choice_loss(outputs.logits, batch["labels"], choice_mask, smoothing)
        self.context.backward(loss)
        self.context.step_optimizer(self.optimizer, self.grad_clip_fn)
        return loss

    def evaluate_batch(self, batch: pytorch.TorchData, batch_idx: int) -> dict:
        choice_mask = batch.pop("choice_mask")
        outputs = self.model(**batch)
        self.reducer.update(outputs.logits, batch["labels"], choice_mask)
        return {}
