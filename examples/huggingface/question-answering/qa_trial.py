"""Fine-tune a transformer for extractive question answering on SQuAD-like data."""

from determined import pytorch

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.question_answering as qa


class QATrial(hf.BaseTransformerTrial):
    # The keys that this trial reads in section `data`; others are reported as misspelt.
    data_types = (hf.DatasetKwargs, qa.QuestionAnsweringDataKwargs)
    # What `model-hub check` holds the YAML and the first rows of local files against.
    model_modes = ("question-answering",)
    metric_names = ("exact_match", "exact", "f1", "total", "HasAns_*", "NoAns_*", "best_*")

    @classmethod
    def check_data(cls, raw_datasets: dict, hparams: dict, data_config: dict) -> None:
        for split, rows in raw_datasets.items():
            qa.check_columns(rows, hf.split_sources(data_config)[split])

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        # Builds self.config, self.tokenizer, self.model, self.optimizer and self.lr_scheduler.
        super().__init__(context)
        (self.data_kwargs,) = hf.parse_dict_to_dataclasses(
            (qa.QuestionAnsweringDataKwargs,), self.data_config
        )
        self.raw_datasets = hf.default_load_dataset(self.data_config)
        self.train_dataset, self.validation_dataset, examples = self.build_datasets()
        self.reducer = context.wrap_reducer(
            qa.QuestionAnsweringReducer(
                examples,
                self.validation_dataset,
                self.data_kwargs,
                write_files=context.distributed.rank == 0,
            ),
            for_training=False,
        )
        # The loaders leave out what the model does not take (and the reducer does not read).
        hf.remove_unused_columns(self.model, self.train_dataset)
        hf.remove_unused_columns(self.model, self.validation_dataset, keep=qa.FEATURE_COLUMNS)
        self.collator = qa.QuestionAnsweringCollator(self.tokenizer)

    def build_datasets(self) -> qa.QuestionAnsweringDatasets:
        # One process of a machine tokenizes; the others then read its cache.
        with hf.local_main_first(self.context):
            return qa.build_datasets(
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

    # train_batch is inherited: forward, backward, clipped step of the optimizer.

    def evaluate_batch(self, batch: pytorch.TorchData, batch_idx: int) -> dict:
        for_reducer = qa.pop_feature_columns(batch)
        outputs = self.model(**batch)
        # Only the n best spans of each window are kept; exact match and F1 come from them.
        self.reducer.update(for_reducer, outputs.start_logits, outputs.end_logits)
        return {}
