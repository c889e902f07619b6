"""Train a small question-answering model from scratch, and put three questions to it.

It does what a user would type: write the corpus, `model-hub train demo.yaml`, ask the exported
model. Everything it writes stands in one folder, runs/demo-DATE-TIME of the working directory.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import make_corpus

from model_hub import cli

DEMO = Path(__file__).resolve().parent
# A model that knows what a question asks for, but not of whom, comes to about 40.
LOWEST_F1 = 80.0
QUICK_SIZES = ("--train-rows", "320", "--validation-rows", "40")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 if the model has not learned enough."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="seed of corpus and training")
    parser.add_argument(
        "--quick", action="store_true", help="train for seconds, which teaches next to nothing"
    )
    parser.add_argument(
        "--lowest-f1",
        type=float,
        help=f"fail if F1 is not above this (default: {LOWEST_F1:g}, with --quick none)",
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    folder = Path("runs") / f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    set_environment(folder)

    print("[1/3] Writing a corpus; nothing is downloaded")
    sizes = QUICK_SIZES if options.quick else ()
    make_corpus.main(["--output-dir", str(folder / "corpus"), "--seed", str(options.seed), *sizes])

    print("\n[2/3] Training a small model from scratch")
    command = training_command(folder, options.seed)
    print("model-hub " + " \\\n  ".join(shlex.join(words) for words in command), flush=True)
    code = cli.main([word for words in command for word in words])
    if code:
        return code

    print(f"\n[3/3] Asking the exported model, {folder / 'model'}\n")
    print_answers(folder)
    f1 = final_f1(folder / "metrics.jsonl")
    print(f"F1 on held-out questions, whose answers training has not shown: {f1:.2f}")
    print(f"picture of the training: {folder / 'plot.png'}")
    print(f"time: {time.monotonic() - began:.0f} s")
    lowest = LOWEST_F1 if options.lowest_f1 is None else options.lowest_f1
    if f1 <= lowest and (options.lowest_f1 is not None or not options.quick):
        print(f"demo failed: F1 is {f1:.2f}, but should be above {lowest:g}", file=sys.stderr)
        return 1
    return 0


def set_environment(folder: Path) -> None:
    """Settings that libraries read when they are imported; the user's own come first."""
    settings = {
        # Threads wait for each other actively. Where other programs want the same cores, training
        # was up to ten times slower with two, and on a quiet machine a third faster.
        "OMP_NUM_THREADS": "1",
        # Kept with the corpus: the next run writes one of its own, and would not find it again.
        "HF_DATASETS_CACHE": str((folder / "corpus" / "cache").resolve()),
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def training_command(folder: Path, seed: int) -> list[list[str]]:
    """Arguments of model-hub, a line each; the YAML's paths become those of this run."""
    corpus = shortest(folder / "corpus", DEMO.parent)
    changes = {
        "hyperparameters.pretrained_model_name_or_path": f"{corpus}/model",
        "data.train_file": f"{corpus}/train.json",
        "data.validation_file": f"{corpus}/validation.json",
        "reproducibility.experiment_seed": seed,
    }
    return [
        ["train", shortest(DEMO / "demo.yaml"), shortest(DEMO.parent)],
        # As JSON, which is YAML too: a path may hold what YAML reads as something else.
        *(["--config", f"{key}={json.dumps(value)}"] for key, value in changes.items()),
        ["--strict", "--output-dir", str(folder)],
    ]


def shortest(path: Path, start: Path | str = os.curdir) -> str:
    """Relative to `start`, or absolute where that takes less to type."""
    return min(os.path.relpath(path, start), os.path.abspath(path), key=len)


def print_answers(folder: Path) -> None:
    """Loads the exported model as anybody would, and prints what it answers."""
    # Put off: set_environment has to come before torch.
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    from model_hub.huggingface.tasks.question_answering import answer_questions

    model = AutoModelForQuestionAnswering.from_pretrained(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    rows = json.loads((folder / "corpus" / "ask.json").read_text(encoding="utf-8"))
    answers = answer_questions(
        model, tokenizer, [row["question"] for row in rows], [row["context"] for row in rows]
    )
    for row, answer in zip(rows, answers, strict=True):
        verdict = "right" if answer.text == row["answer"] else f"wrong, it is {row['answer']}"
        print(textwrap.fill(row["context"], 90, initial_indent="  ", subsequent_indent="  "))
        print(f"  > {row['question']}")
        print(f"  {answer.text}   ({verdict}; probability {answer.probability:.2f})\n")


def final_f1(metrics_file: Path) -> float:
    """F1 of the last validation, in per cent."""
    records = [json.loads(line) for line in metrics_file.read_text(encoding="utf-8").splitlines()]
    return float([record["f1"] for record in records if record["group"] == "validation"][-1])


if __name__ == "__main__":
    sys.exit(main())
