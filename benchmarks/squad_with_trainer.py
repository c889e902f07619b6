"""Scores that transformers' own ``Trainer`` reaches on SQuAD-like files, to compare ours with.

Windows, batch size, optimizer, schedule, clipping and evaluation are those of ``squad.yaml``; the
order of the rows, the new weights and dropout are drawn by ``Trainer`` from the seed.

    python benchmarks/squad_with_trainer.py MODEL train.json validation.json --seeds 42 7
"""

import argparse
import tempfile

import datasets
import torch
import transformers

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.question_answering as qa


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder or hub name of the pretrained model")
    parser.add_argument("train_file")
    parser.add_argument("validation_file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    arguments = parser.parse_args()

    datasets.disable_progress_bars()
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    data_kwargs = qa.QuestionAnsweringDataKwargs()
    raw_datasets = hf.default_load_dataset(
        {"train_file": arguments.train_file, "validation_file": arguments.validation_file}
    )
    prepared = qa.build_datasets(raw_datasets, tokenizer, data_kwargs)
    for seed in arguments.seeds:
        model = train(arguments, tokenizer, prepared.train, seed)
        print(f"seed {seed}: {evaluate(model, tokenizer, prepared, data_kwargs)}", flush=True)


def train(
    arguments: argparse.Namespace,
    tokenizer: transformers.PreTrainedTokenizerBase,
    train_dataset: datasets.Dataset,
    seed: int,
) -> transformers.PreTrainedModel:
    """Trains with ``Trainer``, all else at its defaults."""
    transformers.set_seed(seed)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        settings = transformers.TrainingArguments(
            folder,
            per_device_train_batch_size=arguments.batch_size,
            learning_rate=arguments.learning_rate,
            num_train_epochs=arguments.epochs,
            seed=seed,
            report_to=[],
            save_strategy="no",
            logging_steps=20,
            disable_tqdm=True,
        )
        transformers.Trainer(
            model,
            settings,
            train_dataset=train_dataset,
            processing_class=tokenizer,
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
        ).train()
    return model


def evaluate(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    prepared: qa.QuestionAnsweringDatasets,
    data_kwargs: qa.QuestionAnsweringDataKwargs,
) -> dict[str, float]:
    """Exact match and F1 as this library's reducer computes them."""
    reducer = qa.QuestionAnsweringReducer(
        prepared.examples, prepared.validation, data_kwargs, write_files=False
    )
    reducer.reset()
    features = prepared.validation
    hf.remove_unused_columns(model, features, keep=qa.FEATURE_COLUMNS)
    loader = torch.utils.data.DataLoader(
        features, batch_size=32, collate_fn=qa.QuestionAnsweringCollator(tokenizer)
    )
    model.eval()
    with torch.no_grad():
        for batch in loader:
            for_reducer = qa.pop_feature_columns(batch)
            outputs = model(**{key: value.to(model.device) for key, value in batch.items()})
            reducer.update(for_reducer, outputs.start_logits, outputs.end_logits)
    return reducer.cross_slot_reduce([reducer.per_slot_reduce()])


if __name__ == "__main__":
    main()
