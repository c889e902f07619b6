"""Fine-tune a transformer to choose the right one of several endings, on SWAG-like data."""

import torch
from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.multiple_choice as mc
from model_hub.utils import AttrDict


class SWAGTrial(hf.BaseTransformerTrial):
    # The keys of section `data`; the last class is the type of self.data_kwargs.
    data_types = (hf.DatasetKwargs, mc.MultipleChoiceDataKwargs)
    # What `model-hub check` compares the YAML with.
    model_modes = ("multiple-choice",)
    metric_names = ("accuracy", "validation_loss")

    @classmethod
    def load_data(cls, hparams: AttrDict, data_config: AttrDict) -> dict:
        return mc.load_rows(data_config)

    @classmethod
    def check_data(cls, raw_datasets: dict, hparams: AttrDict, data_config: AttrDict, metric=None):
        mc.check_splits(raw_datasets, hf.split_sources(data_config))

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        # Builds self.config, self.tokenizer, self.model, self.optimizer and self.lr_scheduler.
        super().__init__(context)
        # One process per machine reads and tokenizes; the others then read its cache.
        with hf.local_main_first(context):
            self.raw_datasets = self.load_data(self.hparams, self.data_config)
            self.train_dataset, self.validation_dataset = mc.build_datasets(
                self.raw_datasets,
                self.tokenizer,
                self.data_kwargs,
                self.config,
                hf.split_sources(self.data_config),
            )
        mc.log_baselines(self.raw_datasets)
        self.reducer = context.wrap_reducer(mc.MultipleChoiceReducer(), for_training=False)
        # Hide the columns that the model does not take.
        hf.remove_unused_columns(self.model, self.train_dataset)
        hf.remove_unused_columns(self.model, self.validation_dataset)
        # The loaders are inherited: they read train_dataset, validation_dataset and collator.
        self.collator = mc.MultipleChoiceCollator(self.tokenizer)

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
