"""Fine-tune a decoder on conversations: it learns to say what the assistant says in them."""

from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.instruction_tuning as sft
from model_hub.utils import AttrDict


class SFTTrial(hf.BaseTransformerTrial):
    # The keys of section `data`; the last class is the type of self.data_kwargs.
    data_types = (hf.DatasetKwargs, sft.InstructionTuningDataKwargs)
    # What `model-hub check` compares the YAML with.
    model_modes = ("causal-lm", "pretraining")
    metric_names = ("perplexity", "validation_loss", "token_accuracy")

    @classmethod
    def load_data(cls, hparams: AttrDict, data_config: AttrDict) -> dict:
        return sft.load_rows(data_config)

    @classmethod
    def check_data(cls, raw_datasets: dict, hparams: AttrDict, data_config: AttrDict, metric=None):
        column = data_config.get("messages_column") or "messages"
        for split, rows in raw_datasets.items():
            source = hf.split_sources(data_config)[split]
            sft.check_conversations(rows, source, column, data_config.get("chat_format"))

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        # Builds self.config, self.tokenizer, self.model, self.optimizer and self.lr_scheduler.
        super().__init__(context)
        # That no token sees a later one, nor, with packing, another conversation.
        sft.check_model(self.model, self.config, self.data_kwargs)
        # One process per machine reads and tokenizes; the others then read its cache.
        with hf.local_main_first(context):
            self.raw_datasets = self.load_data(self.hparams, self.data_config)
            train, self.validation_dataset, self.train_dataset, length = sft.build_datasets(
                self.raw_datasets,
                self.tokenizer,
                self.data_kwargs,
                self.config,
                hf.split_sources(self.data_config),
            )
        # Saved with the model: generation stops at the tokens that end the assistant's turns.
        sft.stop_at_end_of_turn(self.model, self.tokenizer, train, length)
        sft.log_unigram_baseline(train, self.validation_dataset, len(self.tokenizer))
        # The loaders are inherited: they read train_dataset, validation_dataset and collator.
        self.collator = sft.build_collator(self.tokenizer, self.data_kwargs, self.config, length)
        self.step = sft.TokenMeanStep(context, self.optimizer, self.grad_clip_fn)
        self.reducer = context.wrap_reducer(sft.TokenReducer(), for_training=False)

    def train_batch(self, batch: pytorch.TorchData, epoch_idx: int, batch_idx: int):
        logits, targets = sft.logits_and_targets(self.model, batch, next_token=True)
        # The mean over all target tokens of an update, over slots and accumulated batches.
        return self.step(logits, targets)

    def evaluate_batch(self, batch: pytorch.TorchData, batch_idx: int) -> dict:
        logits, targets = sft.logits_and_targets(self.model, batch, next_token=True)
        # Only sums and counts of tokens are kept; the metrics come from them.
        self.reducer.update(logits, targets)
        return {}
