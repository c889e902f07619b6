"""The question-answering example, and what its processes do told on standard output."""

import datetime
import os
import sys
import time

import torch
from qa_trial import QATrial

import model_hub.huggingface as hf
from model_hub.huggingface.tasks import question_answering as qa

RANK = int(os.environ.get("RANK", "0"))
WRITTEN = []

if "GROUP_TIMEOUT" in os.environ:
    # Instead of half an hour. Processes that wait longer for each other give up.
    torch.distributed.distributed_c10d.default_pg_timeout = datetime.timedelta(
        seconds=float(os.environ["GROUP_TIMEOUT"])
    )


def note_writing(event, arguments):
    if event != "open" or not isinstance(arguments[0], (str, bytes)):
        return
    path, mode, flags = os.fsdecode(arguments[0]), arguments[1], arguments[2]
    writes = any(letter in (mode or "") for letter in "wax+") or flags & (os.O_WRONLY | os.O_RDWR)
    if writes and not path.startswith(("/dev/", "/proc/")):
        WRITTEN.append(path)


# An audit hook stays, so not in a process that only loads a checkpoint.
if "NOTE_WRITING" in os.environ:
    sys.addaudithook(note_writing)


def slow_train_features(examples, **settings):
    print(f"prepares {len(examples['id'])} rows on rank {RANK}", flush=True)
    time.sleep(float(os.environ.get("SECONDS_TO_PREPARE", "0")))
    return qa.prepare_train_features(examples, **settings)


class ProbingTrial(QATrial):
    def __init__(self, context):
        super().__init__(context)
        lengths = {"max_seq_length": 96, "doc_stride": 32}
        with hf.local_main_first(self.context):
            hf.prepare_dataset(
                self.raw_datasets["train"],
                slow_train_features,
                tokenizer=self.tokenizer,
                **lengths,
            )

    def train_batch(self, batch, epoch_idx, batch_idx):
        if os.environ.get("FAIL_ON_RANK") == str(RANK) and batch_idx == 2:
            raise RuntimeError(f"rank {RANK} has had enough")
        if batch_idx == 0:
            WRITTEN.clear()  # The caches of preparation are the business of the node's first.
        return super().train_batch(batch, epoch_idx, batch_idx)

    def evaluate_batch(self, batch, batch_idx):
        print(f"validates {len(batch['input_ids'])} windows on rank {RANK}", flush=True)
        result = super().evaluate_batch(batch, batch_idx)
        print(f"written on rank {RANK}: {WRITTEN}", flush=True)
        return result
