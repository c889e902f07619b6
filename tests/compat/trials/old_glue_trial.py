"""In the old library's style: one metric dict a batch, reduced by Determined, and a reducer around
`load_metric`; the token embeddings are resized after `super().__init__`; `train_batch` is
overridden and calls the parent's."""

import datasets
import determined.pytorch as det_torch
import numpy as np
import transformers

import model_hub.huggingface as hf
from model_hub import utils


class GLUETrial(hf.BaseTransformerTrial):
    def __init__(self, context):
        self.hparams = utils.AttrDict(context.get_hparams())
        self.hparams.num_labels = 2
        self.hparams.nested = {"a": {"b": 0}}
        self.hparams.nested.a.b = 1
        super().__init__(context)
        assert self.hparams.nested.a.b == 1
        self.tokenizer.add_tokens(["<new>"])
        self.model.resize_token_embeddings(len(self.tokenizer))
        self.datasets = hf.default_load_dataset(self.data_config)
        self.datasets = self.datasets.map(
            lambda rows: {
                **self.tokenizer(rows["question"], truncation=True),
                "labels": [int(question.endswith("?")) for question in rows["question"]],
            },
            batched=True,
        )
        for split in ("train", "validation"):
            hf.remove_unused_columns(self.model, self.datasets[split])
        collator = transformers.DataCollatorWithPadding(self.tokenizer)
        self.collate = lambda rows: collator(rows).data
        metric = datasets.load_metric("glue", self.hparams.finetuning_task)

        def compute_metrics(pairs):
            logits, labels = (utils.expand_like(arrays) for arrays in zip(*pairs))  # noqa: B905
            return metric.compute(predictions=np.argmax(logits, axis=1), references=labels)

        self.reducer = context.wrap_reducer(compute_metrics, for_training=False)

    def build_training_data_loader(self):
        return det_torch.DataLoader(
            self.datasets["train"],
            batch_size=self.context.get_per_slot_batch_size(),
            collate_fn=self.collate,
        )

    def build_validation_data_loader(self):
        return det_torch.DataLoader(
            self.datasets["validation"],
            batch_size=self.context.get_per_slot_batch_size(),
            collate_fn=self.collate,
        )

    def train_batch(self, batch, epoch_idx, batch_idx):
        loss = super().train_batch(batch, epoch_idx, batch_idx)
        return {"loss": loss, "lr": float(self.lr_scheduler.get_last_lr()[0])}

    def evaluate_batch(self, batch, batch_idx):
        outputs = self.model(**batch)
        self.reducer.update((utils.numpify(outputs.logits), utils.numpify(batch["labels"])))
        right = outputs.logits.argmax(-1) == batch["labels"]
        return {"mean_accuracy": right.float().mean(), "rows": float(len(right))}

    def evaluation_reducer(self):
        return {"mean_accuracy": det_torch.Reducer.AVG, "rows": det_torch.Reducer.SUM}
