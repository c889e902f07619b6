"""Peak memory of a validation at 1, 4 and 16 times the data: our reducers, and ``Trainer``.

Each measurement is a process of its own, which prints its peak resident memory after the
validation, less the peak before it. Both sides see the same rows, which are made as they are
read. ``Trainer`` gets a ``compute_metrics``, as one needs for metrics, and so keeps the logits of
all rows until the end; the metrics of both are compared.

    python benchmarks/evaluate_memory.py
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import transformers

import model_hub.huggingface.tasks.language_modeling as lm
import model_hub.huggingface.tasks.text_classification as classification
import model_hub.huggingface.tasks.token_classification as tagging

SCALES = (1, 4, 16)
BATCH_SIZE = 8
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
# Rows at scale 1, tokens of a row, vocabulary. A language model's logits are as wide as its
# vocabulary; those of 512 short rows would not fit this machine 16 times.
TASKS = {
    "text classification": (512, 64, 1000),
    "token classification": (512, 64, 1000),
    "causal language model": (32, 32, 50_000),
}


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Random rows, made when they are read, so that they take no memory."""

    def __init__(self, task: str, count: int) -> None:
        self._task = task
        self._count = count
        _, self._length, self._vocabulary = TASKS[task]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Any]:
        if number >= self._count:
            raise IndexError(number)
        rng = np.random.default_rng(number)
        tokens = torch.from_numpy(rng.integers(0, self._vocabulary, self._length))
        labels: Any = tokens
        if self._task == "text classification":
            labels = int(rng.integers(0, 3))
        elif self._task == "token classification":
            labels = torch.from_numpy(rng.integers(0, len(LABELS), self._length))
        return {"input_ids": tokens, "labels": labels}


def build_model(task: str) -> transformers.PreTrainedModel:
    _, length, vocabulary = TASKS[task]
    torch.manual_seed(0)
    if task == "causal language model":
        config = transformers.GPT2Config(
            vocab_size=vocabulary, n_embd=32, n_layer=1, n_head=2, n_positions=length
        )
        return transformers.GPT2LMHeadModel(config)
    config = transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=length,
        num_labels=3 if task == "text classification" else len(LABELS),
    )
    if task == "text classification":
        return transformers.BertForSequenceClassification(config)
    return transformers.BertForTokenClassification(config)


def ours(task: str, model: transformers.PreTrainedModel, rows: Rows) -> float:
    """Validates as the example trials do; the accuracy."""
    loader = torch.utils.data.DataLoader(
        rows, batch_size=BATCH_SIZE, collate_fn=transformers.default_data_collator
    )
    reducer: Any
    if task == "text classification":
        reducer = classification.ClassificationReducer(3, ("accuracy",))
    elif task == "token classification":
        reducer = tagging.TokenClassificationReducer(LABELS)
    else:
        reducer = lm.TokenReducer()
    reducer.reset()
    model.eval()
    with torch.no_grad():
        for batch in loader:
            if task == "causal language model":
                reducer.update(*lm.logits_and_targets(model, batch, next_token=True))
            else:
                reducer.update(model(**batch).logits, batch["labels"])
    metrics = reducer.cross_slot_reduce([reducer.per_slot_reduce()])
    return float(metrics.get("token_accuracy", metrics.get("accuracy")))


def theirs(task: str, model: transformers.PreTrainedModel, rows: Rows) -> float:
    """Validates with ``Trainer.evaluate``; the accuracy."""

    def compute_metrics(evaluated: transformers.EvalPrediction) -> dict[str, float]:
        predictions, labels = evaluated.predictions.argmax(-1), evaluated.label_ids
        if task == "causal language model":
            predictions, labels = predictions[:, :-1], labels[:, 1:]
        return {"accuracy": float((predictions == labels).mean())}

    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, per_device_eval_batch_size=BATCH_SIZE, report_to=[], disable_tqdm=True
        )
        trainer = transformers.Trainer(
            model,
            arguments,
            eval_dataset=rows,
            compute_metrics=compute_metrics,
            data_collator=transformers.default_data_collator,
        )
        return float(trainer.evaluate()["eval_accuracy"])


def measure(side: str, task: str, scale: int) -> dict[str, float]:
    """In this process: MiB that the validation adds to the peak, and the accuracy."""
    rows = Rows(task, TASKS[task][0] * scale)
    model = build_model(task)
    # One batch before, so that what a first forward pass allocates once is not counted.
    validate = ours if side == "ours" else theirs
    validate(task, model, Rows(task, BATCH_SIZE))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    accuracy = validate(task, model, rows)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"mib": (after - before) / 1024, "accuracy": accuracy}


def in_a_process_of_its_own(side: str, task: str, scale: int) -> Mapping[str, float]:
    words = [sys.executable, __file__, "--side", side, "--task", task, "--scale", str(scale)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
    result: Mapping[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", choices=["ours", "Trainer"])
    parser.add_argument("--task", choices=list(TASKS))
    parser.add_argument("--scale", type=int)
    parser.add_argument("--scales", type=int, nargs="+", default=list(SCALES))
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(measure(arguments.side, arguments.task, arguments.scale)))
        return
    print("MiB that a validation adds to the peak of its process")
    scales = arguments.scales
    print(f"| task | side | {' | '.join(f'{scale}x' for scale in scales)} |")
    print(f"|---|---|{'---|' * len(scales)}")
    for task in TASKS:
        accuracies: dict[int, set[float]] = {scale: set() for scale in scales}
        for side in ("ours", "Trainer"):
            cells = []
            for scale in scales:
                found = in_a_process_of_its_own(side, task, scale)
                accuracies[scale].add(round(found["accuracy"], 9))
                cells.append(f"{found['mib']:.1f}")
            print(f"| {task} | {side} | {' | '.join(cells)} |", flush=True)
        for scale, values in accuracies.items():
            if len(values) != 1:
                sys.exit(f"{task}, {scale}x: the two sides found different accuracies: {values}")


if __name__ == "__main__":
    main()
