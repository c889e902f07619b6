"""A trial in which everything is random that can be: dropout, order, masks drawn when a batch is
made. In the old library's style: its own loader with `shuffle=True`, per-batch metrics."""

import json
import os
import pathlib
import signal

import torch
import transformers
from determined import pytorch

import model_hub.huggingface as hf


class KillWhileSaving(pytorch.PyTorchCallback):
    """Dies at the second checkpoint: before its weights are written, or when they are."""

    saved = 0

    def on_checkpoint_save_start(self, checkpoint):
        self.saved += 1
        self.die_if("before")

    def on_checkpoint_write_end(self, checkpoint_dir):
        self.die_if("after")

    def die_if(self, when):
        if os.environ.get("KILL_WHILE_SAVING") == when and self.saved == 2:
            os.kill(os.getpid(), signal.SIGKILL)


class MaskingTrial(hf.BaseTransformerTrial):
    def __init__(self, context):
        super().__init__(context)
        lines = pathlib.Path(self.data_config.train_file).read_text().splitlines()
        texts = [json.loads(line)["context"] for line in lines]
        self.rows = [self.tokenizer(text, truncation=True, max_length=48) for text in texts]
        self.collator = transformers.DataCollatorForLanguageModeling(self.tokenizer)
        self.accuracy = context.wrap_reducer(
            lambda pairs: sum(a for a, _ in pairs) / sum(b for _, b in pairs),
            name="accuracy",
            for_training=False,
        )

    def build_callbacks(self):
        return {"kill": KillWhileSaving()}

    def build_training_data_loader(self):
        return pytorch.DataLoader(
            self.rows,
            batch_size=self.context.get_per_slot_batch_size(),
            shuffle=True,
            collate_fn=self.collate,
            num_workers=self.hparams.get("num_workers", 0),
        )

    def build_validation_data_loader(self):
        # So few that with two slots of two batches each, one may have less.
        return pytorch.DataLoader(self.rows[:6], batch_size=4, collate_fn=self.collate)

    def collate(self, rows):
        return dict(self.collator(rows))

    def train_batch(self, batch, epoch_idx, batch_idx):
        where = os.environ.get("KILL_AT_BATCH")
        if where and batch_idx == int(where) and self.context.distributed.rank == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"loss": super().train_batch(batch, epoch_idx, batch_idx)}

    def evaluate_batch(self, batch):
        outputs = self.model(**batch)
        masked = batch["labels"] != -100
        right = (outputs.logits.argmax(-1) == batch["labels"]) & masked
        self.accuracy.update((int(right.sum()), int(masked.sum())))
        return {"validation_loss": torch.nan_to_num(outputs.loss)}
