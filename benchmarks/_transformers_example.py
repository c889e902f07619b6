"""Question answering as transformers' example script does it, on the files that ``run.py`` makes.

Windows padded to ``max_seq_length``, labels found by walking the tokens, ``Trainer``, and answers
found by enumerating the best starts and ends in plain Python. Prints how many real tokens it went
through; imports nothing of the library that it is compared with. ``--group-by-length`` is what the
example leaves out: windows of similar length share a batch, and are padded to its longest.
``--batches`` gives the batches of all epochs.
"""

import argparse
import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import _plain_answers
import datasets
import torch
import transformers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="with model/ and the rows")
    parser.add_argument("output", type=pathlib.Path, help="where the answers are written")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--group-by-length", action="store_true")
    parser.add_argument("--batches", type=pathlib.Path, help="windows of each batch, as JSON")
    arguments = parser.parse_args()
    folder, output, epochs = arguments.folder, arguments.output, arguments.epochs

    transformers.set_seed(arguments.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder / "model")
    files = {split: str(folder / f"{split}.json") for split in ("train", "validation")}
    raw = datasets.load_dataset("json", data_files=files)
    columns = raw["train"].column_names
    tokenize = functools.partial(
        tokenizer,
        truncation="only_second",
        max_length=384,
        stride=128,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=False if arguments.group_by_length else "max_length",
    )
    train = raw["train"].map(
        functools.partial(with_labels, tokenize, tokenizer.cls_token_id),
        batched=True,
        remove_columns=columns,
    )
    validation = raw["validation"].map(
        functools.partial(with_context, tokenize),
        batched=True,
        remove_columns=raw["validation"].column_names,
    )
    pad = transformers.default_data_collator
    if arguments.group_by_length:
        pad = transformers.DataCollatorWithPadding(tokenizer)
    tokens = 0

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        nonlocal tokens
        batch = pad(rows)
        tokens += int(batch["attention_mask"].sum())
        return batch

    trainer = transformers.Trainer(
        model,
        transformers.TrainingArguments(
            str(output / "model"),
            per_device_train_batch_size=arguments.batch_size,
            learning_rate=arguments.learning_rate,
            num_train_epochs=epochs,
            seed=arguments.seed,
            train_sampling_strategy="group_by_length" if arguments.group_by_length else "random",
            report_to=[],
        ),
        train_dataset=train,
        processing_class=tokenizer,
        data_collator=collate,
    )
    if arguments.batches:
        # As the windows are those of the other side, they have the same numbers.
        batches = json.loads(arguments.batches.read_text(encoding="utf-8"))
        trainer.args.num_train_epochs = 1
        trainer.get_train_dataloader = lambda: torch.utils.data.DataLoader(
            train, batch_sampler=batches, collate_fn=collate
        )
    trainer.train()
    trainer.save_model()
    # Else it would group the windows of the validation too, and return their logits in that order.
    trainer.args.train_sampling_strategy = "random"
    logits = trainer.predict(validation.remove_columns(["example_id", "offset_mapping"]))
    _plain_answers.write_answers(raw["validation"], validation, *logits.predictions[:2], output)
    print("real tokens", tokens)


def with_labels(tokenize: Any, cls_token: int, rows: dict[str, list[Any]]) -> dict[str, Any]:
    """Windows with the first and last token of the answer, found by walking; [CLS] if it is out."""
    windows = tokenize(stripped(rows["question"]), rows["context"])
    of_row, offsets = windows.pop("overflow_to_sample_mapping"), windows.pop("offset_mapping")
    windows["start_positions"], windows["end_positions"] = [], []
    for window, places in enumerate(offsets):
        cls_index = windows["input_ids"][window].index(cls_token)
        kinds = windows.sequence_ids(window)
        answers = rows["answers"][of_row[window]]
        first = last = cls_index
        if answers["answer_start"]:
            begin = answers["answer_start"][0]
            end = begin + len(answers["text"][0])
            low, high = 0, len(kinds) - 1
            while kinds[low] != 1:
                low += 1
            while kinds[high] != 1:
                high -= 1
            if places[low][0] <= begin and places[high][1] >= end:
                while low < len(places) and places[low][0] <= begin:
                    low += 1
                while places[high][1] >= end:
                    high -= 1
                first, last = low - 1, high + 1
        windows["start_positions"].append(first)
        windows["end_positions"].append(last)
    return dict(windows)


def with_context(tokenize: Any, rows: dict[str, list[Any]]) -> dict[str, Any]:
    """Windows with the id of their row; tokens outside of the context have no offsets."""
    windows = tokenize(stripped(rows["question"]), rows["context"])
    of_row = windows.pop("overflow_to_sample_mapping")
    windows["example_id"] = [rows["id"][row] for row in of_row]
    windows["offset_mapping"] = [
        [
            place if kind == 1 else None
            for place, kind in zip(places, windows.sequence_ids(window), strict=True)
        ]
        for window, places in enumerate(windows["offset_mapping"])
    ]
    return dict(windows)


def stripped(texts: Sequence[str]) -> list[str]:
    return [text.lstrip() for text in texts]


if __name__ == "__main__":
    main()
