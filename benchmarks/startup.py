"""Seconds from the command to the first training step, and those that the import takes.

``model-hub train`` starts on question-answering data with a small model of random weights, with an
empty cache (cold) and with what the start before has left in it (warm). The trial is that of the
example, ended after its first step; it counts the texts that the tokenizer is given. A warm start
has to tokenize nothing, and its first step has to have the same loss.

``import model_hub.huggingface`` is compared with importing torch, Determined, datasets and the Auto
classes of transformers, each time in a new process.

    python benchmarks/startup.py
"""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

import _bench
import preprocess
import transformers

EXAMPLE = pathlib.Path(__file__).parents[1] / "examples/huggingface/question-answering"
YAML = """\
name: startup
entrypoint: startup_trial:StartupTrial
hyperparameters:
  model_mode: question-answering
  pretrained_model_name_or_path: {folder}/model
  use_pretrained_weights: false
  global_batch_size: 8
data:
  train_file: {folder}/train.json
  validation_file: {folder}/validation.json
searcher:
  name: single
  metric: f1
  smaller_is_better: false
  max_length:
    batches: 2
"""
IMPORTS = {
    "ours": "import model_hub.huggingface",
    "libraries": "import torch, determined.pytorch, datasets; "
    "from transformers import AutoConfig, AutoModel, AutoTokenizer",
}
TRIAL = """\
import json
import os
import time

import transformers
from qa_trial import QATrial

texts = 0
call = transformers.PreTrainedTokenizerBase.__call__


def counted(self, *args, **kwargs):
    global texts
    if args and isinstance(args[0], list):
        texts += len(args[0])
    return call(self, *args, **kwargs)


transformers.PreTrainedTokenizerBase.__call__ = counted


class StartupTrial(QATrial):
    def train_batch(self, *args, **kwargs):
        loss = super().train_batch(*args, **kwargs)
        loss = loss["loss"] if isinstance(loss, dict) else loss
        found = {"time": time.time(), "texts": texts, "loss": float(loss)}
        print("first step", json.dumps(found), flush=True)
        os._exit(0)
"""


def make_files(folder: pathlib.Path, rows: int) -> None:
    """Data, model and trial."""
    words = preprocess.make_words(max(rows, 20) * 250)
    tokenizer = preprocess.train_tokenizer(words[:100_000])
    made = preprocess.question_answering(words, tokenizer).rows[:rows]
    for split, part in (("train", made), ("validation", made[: max(rows // 10, 1)])):
        lines = "\n".join(map(json.dumps, part))
        (folder / f"{split}.json").write_text(lines + "\n", encoding="utf-8")
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
    )
    config.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    shutil.copy(EXAMPLE / "qa_trial.py", folder)
    (folder / "startup_trial.py").write_text(TRIAL, encoding="utf-8")
    (folder / "startup.yaml").write_text(YAML.format(folder=folder), encoding="utf-8")


def start(folder: pathlib.Path, cache: pathlib.Path) -> dict[str, Any]:
    """Starts the command and waits for its first step."""
    words = [sys.executable, "-m", "model_hub", "train", folder / "startup.yaml"]
    with tempfile.TemporaryDirectory() as run:
        begin = time.time()
        done = subprocess.run(
            [*words, "--output-dir", pathlib.Path(run) / "run"],
            env={**os.environ, "HF_DATASETS_CACHE": str(cache)},
            capture_output=True,
            text=True,
        )
    (found, *_) = re.findall(r"^first step (.*)$", done.stdout, re.MULTILINE) or [None]
    if found is None:
        _bench.fail(f"the training did not start:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    step: dict[str, Any] = json.loads(found)
    return {**step, "seconds": step["time"] - begin}


def timed(
    folder: pathlib.Path, cache: pathlib.Path, steps: list[dict[str, Any]], cold: bool
) -> float:
    if cold:
        shutil.rmtree(cache, ignore_errors=True)
    steps.append(start(folder, cache))
    return float(steps[-1]["seconds"])


def import_seconds(statements: str) -> float:
    """Run import statements in a new process; return the seconds that they take there."""
    clock = "time.perf_counter()"
    code = f"import time; begin = {clock}; {statements}; print({clock} - begin)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout)


def main() -> None:
    parser = _bench.parser(__doc__)
    parser.add_argument("--rows", type=int, default=2000, help="training rows")
    arguments = parser.parse_args()
    repeats = 1 if arguments.quick else arguments.repeats
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_files(folder, 20 if arguments.quick else arguments.rows)
        steps: dict[str, list[dict[str, Any]]] = {"cold": [], "warm": []}
        run = functools.partial(timed, folder, folder / "cache")
        # Always a cold one and then a warm one: the latter finds what the former has left.
        seconds: dict[str, list[float]] = {"cold": [], "warm": []}
        for _ in range(repeats):
            seconds["cold"].append(run(steps["cold"], True))
            seconds["warm"].append(run(steps["warm"], False))
    if any(step["texts"] for step in steps["warm"]):
        _bench.fail("a warm start tokenized again what is in the cache")
    if not all(step["texts"] for step in steps["cold"]):
        _bench.fail("a cold start tokenized nothing, so that the counting cannot be trusted")
    losses = {step["loss"] for kind in steps.values() for step in kind}
    if len(losses) != 1:
        _bench.fail(f"cold and warm starts had different losses in their first step: {losses}")
    imports = _bench.alternate(
        {name: functools.partial(import_seconds, code) for name, code in IMPORTS.items()}, repeats
    )
    ratio = _bench.spread(_bench.ratios(imports["ours"], imports["libraries"]))
    text = _bench.table(
        ["", "seconds", ""],
        [
            *(
                [
                    f"command to first step, {kind} cache",
                    _bench.spread(seconds[kind]).shown(),
                    f"{steps[kind][0]['texts']:,} texts tokenized",
                ]
                for kind in steps
            ),
            [
                "`import model_hub.huggingface`",
                _bench.spread(imports["ours"]).shown(),
                f"{ratio.shown('.3f')} times the libraries alone, goal 1.05",
            ],
        ],
    )
    if arguments.write:
        _bench.write("startup", text)


if __name__ == "__main__":
    main()
