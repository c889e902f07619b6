"""Peak memory of a validation at 1, 4 and 16 times the data: our reducers, and ``Trainer``.

Each measurement is a process of its own: its peak resident memory during the validation, less what
it had before. Both sides see the same rows, which are made as they are read; texts and offsets of
question answering lie in files, as in a training. ``Trainer`` gets a ``compute_metrics``, as one
needs for metrics, and so keeps the logits of all rows until the end; the metrics of both are
compared.

    python benchmarks/evaluate_memory.py
"""

import pathlib
import tempfile
from typing import Any

import _bench
import datasets
import numpy as np
import postprocess
import torch
import transformers

import model_hub.huggingface.tasks.language_modeling as lm
import model_hub.huggingface.tasks.question_answering as qa
import model_hub.huggingface.tasks.text_classification as classification
import model_hub.huggingface.tasks.token_classification as tagging

SCALES = (1, 4, 16)
SIDES = ("ours", "Trainer")
BATCH_SIZE = 8
# What processes that measure memory have imported.
IMPORTS = (
    "transformers.trainer",
    "model_hub.huggingface.tasks.language_modeling",
    "model_hub.huggingface.tasks.question_answering",
    "model_hub.huggingface.tasks.text_classification",
    "model_hub.huggingface.tasks.token_classification",
)
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
# Rows at scale 1, tokens of a row, vocabulary. A language model's logits are as wide as its
# vocabulary; those of 384 short rows would not fit this machine 16 times.
TASKS = {
    "text classification": (384, 64, 1000),
    "token classification": (384, 64, 1000),
    "question answering": (192, 384, 1000),
    "causal language model": (8, 32, 50_000),
}


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Random rows, made when they are read, so that they take no memory."""

    def __init__(self, task: str, count: int, files: pathlib.Path | None = None) -> None:
        self._task = task
        self.files = files
        self._count = count
        _, self._length, self._vocabulary = TASKS[task]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Any]:
        if number >= self._count:
            raise IndexError(number)
        rng = np.random.default_rng(number)
        ids = rng.integers(0, self._vocabulary, self._length)
        if self._task == "causal language model":
            # Input and output share their embeddings, so that it is often right about these.
            ids = np.repeat(ids[::2], 2)
        tokens = torch.from_numpy(ids)
        labels: Any = tokens
        if self._task == "text classification":
            labels = int(rng.integers(0, 3))
        elif self._task == "token classification":
            labels = torch.from_numpy(rng.integers(0, len(LABELS), self._length))
        elif self._task == "question answering":
            # Trainer hands labels on to compute_metrics; these tell it which window it is.
            return {"input_ids": tokens, "start_positions": number, "end_positions": number}
        return {"input_ids": tokens, "labels": labels}


def build_model(task: str) -> transformers.PreTrainedModel:
    _, length, vocabulary = TASKS[task]
    torch.manual_seed(0)
    if task == "causal language model":
        config = transformers.GPT2Config(
            vocab_size=vocabulary,
            n_embd=32,
            n_layer=1,
            n_head=2,
            n_positions=length,
            bos_token_id=0,
            eos_token_id=0,
        )
        return transformers.GPT2LMHeadModel(config)
    config = transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=length,
        num_labels={"text classification": 3, "question answering": 2}.get(task, len(LABELS)),
    )
    if task == "text classification":
        return transformers.BertForSequenceClassification(config)
    if task == "question answering":
        return transformers.BertForQuestionAnswering(config)
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
    elif task == "question answering":
        reducer = answers_reducer(rows)
    else:
        reducer = lm.TokenReducer()
    reducer.reset()
    model.eval()
    with torch.no_grad():
        for batch in loader:
            if task == "question answering":
                found = model(input_ids=batch["input_ids"])
                update(reducer, batch["start_positions"], found.start_logits, found.end_logits)
            elif task == "causal language model":
                reducer.update(*lm.logits_and_targets(model, batch, next_token=True))
            else:
                reducer.update(model(**batch).logits, batch["labels"])
    metrics = reducer.cross_slot_reduce([reducer.per_slot_reduce()])
    names = ("token_accuracy", "accuracy", "f1")
    return float(next(metrics[name] for name in names if name in metrics))


def answers_reducer(rows: Rows) -> qa.QuestionAnsweringReducer:
    examples, features = (
        datasets.load_from_disk(str(rows.files / name)) for name in ("examples", "features")
    )
    return qa.QuestionAnsweringReducer(examples, features, qa.QuestionAnsweringDataKwargs())


def update(
    reducer: qa.QuestionAnsweringReducer,
    windows: torch.Tensor,
    start_logits: torch.Tensor,
    end_logits: torch.Tensor,
) -> None:
    places = {
        "context_begin": postprocess.QUESTION,
        "context_end": postprocess.TOKENS - 1,
        "cls_index": 0,
    }
    columns = {name: torch.full_like(windows, place) for name, place in places.items()}
    reducer.update({"feature_id": windows, **columns}, start_logits, end_logits)


def theirs(task: str, model: transformers.PreTrainedModel, rows: Rows) -> float:
    """Validates with ``Trainer.evaluate``; the accuracy."""

    def compute_metrics(evaluated: transformers.EvalPrediction) -> dict[str, float]:
        if task == "question answering":
            # Its peers have no metric for windows; what matters here is that it kept the logits.
            reducer = answers_reducer(rows)
            columns = (evaluated.label_ids[0], *evaluated.predictions)
            for begin in range(0, len(rows), BATCH_SIZE):
                batch = slice(begin, begin + BATCH_SIZE)
                update(reducer, *(torch.from_numpy(column[batch]) for column in columns))
            metrics = reducer.cross_slot_reduce([reducer.per_slot_reduce()])
            return {"accuracy": metrics["f1"]}
        predictions, labels = evaluated.predictions.argmax(-1), evaluated.label_ids
        if task == "causal language model":
            predictions, labels = predictions[:, :-1], labels[:, 1:]
        return {"accuracy": float((predictions == labels).mean())}

    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            per_device_eval_batch_size=BATCH_SIZE,
            report_to=[],
            disable_tqdm=True,
            # Memory of the host is measured, and ours computes there, too.
            use_cpu=True,
            dataloader_pin_memory=False,
        )
        trainer = transformers.Trainer(
            model,
            arguments,
            eval_dataset=rows,
            compute_metrics=compute_metrics,
            data_collator=transformers.default_data_collator,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        return float(trainer.evaluate()["eval_accuracy"])


def measure(side: str, task: str, scale: int, files: pathlib.Path) -> tuple[float, float]:
    """In this process: MiB that the validation adds to the peak, and the accuracy."""
    # Two of these run at the same time.
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    rows = Rows(task, TASKS[task][0] * scale, files)
    model = build_model(task)
    # One batch before, so that what a first forward pass allocates once is not counted.
    validate = ours if side == "ours" else theirs
    validate(task, model, Rows(task, BATCH_SIZE, files))
    accuracies: list[float] = []
    mib = _bench.peak_mib(lambda: accuracies.append(validate(task, model, rows)))
    return mib, accuracies[0]


def rows_of(task: str, scales: list[int], repeats: int) -> list[list[str]]:
    """Both sides' rows of the table; ends the script if they found other metrics."""
    cells: dict[str, list[str]] = {side: [task, side] for side in SIDES}
    for scale in scales:
        with tempfile.TemporaryDirectory() as name:
            files = pathlib.Path(name)
            if task == "question answering":
                case = postprocess.Case(TASKS[task][0] * scale, no_answer=False, all_pairs=True)
                postprocess.make_inputs(case).save(files)
            sides = list(SIDES) * repeats
            calls = [(side, task, scale, files) for side in sides]
            found = _bench.in_new_processes(measure, calls, IMPORTS)
        values = {round(accuracy, 9) for _, accuracy in found}
        if len(values) != 1:
            _bench.fail(f"{task}, {scale}x: the two sides found different metrics: {values}")
        if 0.0 in values:
            _bench.fail(f"{task}, {scale}x: both sides found 0, which compares nothing")
        for side in SIDES:
            mib = [mib for its, (mib, _) in zip(sides, found, strict=True) if its == side]
            cells[side].append(_bench.spread(mib).shown(".1f"))
    return list(cells.values())


def main() -> None:
    parser = _bench.parser(__doc__)
    # Token classification behaves as text classification does; it is left out to save time.
    default = [name for name in TASKS if name != "token classification"]
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=default)
    parser.add_argument("--scales", type=int, nargs="+", default=list(SCALES))
    arguments = parser.parse_args()
    datasets.disable_progress_bars()
    scales = [1] if arguments.quick else arguments.scales
    repeats = 1 if arguments.quick else arguments.repeats
    rows = [row for task in arguments.tasks for row in rows_of(task, scales, repeats)]
    print("MiB that a validation adds to the memory of its process, at its peak")
    text = _bench.table(["task", "side", *(f"{scale}x" for scale in scales)], rows)
    if arguments.write:
        _bench.write("evaluate_memory", text, threads=1)


if __name__ == "__main__":
    main()
