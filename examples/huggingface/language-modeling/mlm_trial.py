"""Fine-tune a model such as BERT to fill in masked tokens (masked language modeling)."""

from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.language_modeling as lm
from model_hub.utils import AttrDict


class MLMTrial(hf.BaseTransformerTrial):
    # The keys of section `data`; the last class is the type of self.data_kwargs.
    data_types = (hf.DatasetKwargs, lm.MaskedLanguageModelingDataKwargs)
    # What `model-hub check` compares the YAML with.
    model_modes = ("masked-lm", "pretraining")
    metric_names = ("perplexity", "validation_loss", "token_accuracy")

    @classmethod
    def load_data(cls, hparams: AttrDict, data_config: AttrDict) -> dict:
        return lm.load_rows(data_config)

    @classmethod
    def check_data(cls, raw_datasets: dict, hparams: AttrDict, data_config: AttrDict, metric=None):
        lm.check_rows(raw_datasets, cls.parse_data(data_config), hf.split_sources(data_config))

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        # Builds self.config, self.tokenizer, self.model, self.optimizer and self.lr_scheduler.
        super().__init__(context)
        # One process per machine reads and tokenizes; the others then read its cache.
        with hf.local_main_first(context):
            self.raw_datasets = self.load_data(self.hparams, self.data_config)
            self.train_dataset, self.validation_dataset, length = lm.build_datasets(
                self.raw_datasets,
                self.tokenizer,
                self.data_kwargs,
                self.config,
                hf.split_sources(self.data_config),
            )
        lm.log_unigram_baseline(self.train_dataset, self.validation_dataset, len(self.tokenizer))
        # Training masks are drawn anew at every step, validation masks follow from the row.
        # The loaders are inherited: they read train_dataset, validation_dataset and collator.
        self.collator = lm.MaskedCollator(
            self.tokenizer, self.data_kwargs.mlm_probability, length=length
        )
        self.step = lm.TokenMeanStep(context, self.optimizer, self.grad_clip_fn)
        self.reducer = context.wrap_reducer(lm.TokenReducer(), for_training=False)

    def train_batch(self, batch: pytorch.TorchData, epoch_idx: int, batch_idx: int):
        logits, targets = lm.logits_and_targets(self.model, batch, next_token=False)
        # Every masked token counts the same, on any number of slots.
        return self.step(logits, targets)

    def evaluate_batch(self, batch: pytorch.TorchData, batch_idx: int) -> dict:
        logits, targets = lm.logits_and_targets(self.model, batch, next_token=False)
        # Only sums and counts of tokens are kept; perplexity comes from them.
        self.reducer.update(logits, targets)
        return {}
