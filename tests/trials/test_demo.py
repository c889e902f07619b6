"""The demo from its first line to its last, as a newcomer runs it, only shorter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from once import make_once
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from model_hub.experiment.document import read_config
from model_hub.huggingface.tasks import question_answering as qa

DEMO = Path(__file__).resolve().parents[2] / "examples/huggingface/question-answering/demo"


def run(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO / script), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
    )


class Demo(NamedTuple):
    output: str
    errors: str
    folder: Path  # Of the run.


@pytest.fixture
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A run with too high a wish for its F1, which it looks at when all else is done."""

    def make(folder: Path) -> None:
        # A blank, a comma and an apostrophe: it runs wherever it was cloned to.
        work = folder / "Ada's demos, all"
        work.mkdir()
        process = run(work, "run_demo.py", "--quick", "--seed", "1", "--lowest-f1", "100")
        assert process.returncode == 1, process.stderr
        (folder / "output.txt").write_text(process.stdout, "utf-8")
        (folder / "errors.txt").write_text(process.stderr, "utf-8")

    folder = make_once(tmp_path_factory, "demo", make)
    # Everything it writes is in the one folder.
    (runs,) = (folder / "Ada's demos, all").iterdir()
    (run_folder,) = runs.iterdir()
    assert runs.name == "runs" and run_folder.name.startswith("demo-")
    output, errors = ((folder / f"{n}.txt").read_text("utf-8") for n in ("output", "errors"))
    return Demo(output, errors, run_folder)


def test_picture_is_where_it_says(demo: Demo) -> None:
    (path,) = re.findall(r"picture of the training: (.+)", demo.output)
    picture = demo.folder.parents[1] / path
    assert picture.parent == demo.folder
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_files_elsewhere_are_named_plainly(demo: Demo) -> None:
    """As in the image, whose examples are not where one works."""
    assert f"model-hub train {DEMO / 'demo.yaml'} {DEMO.parent} " in demo.output
    assert "../" not in demo.output


def test_answers_are_the_exported_models(demo: Demo) -> None:
    model = AutoModelForQuestionAnswering.from_pretrained(demo.folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(demo.folder / "model")
    rows = json.loads((demo.folder / "corpus/ask.json").read_text(encoding="utf-8"))
    assert len(rows) == 3
    answers = qa.answer_questions(
        model, tokenizer, [row["question"] for row in rows], [row["context"] for row in rows]
    )
    for row, answer in zip(rows, answers, strict=True):
        assert answer.text
        assert f"  > {row['question']}\n  {answer.text}   (" in demo.output
        # The context may be broken into lines.
        assert row["context"] in re.sub(r"\s+", " ", demo.output)


def test_f1_is_the_exported_models(demo: Demo) -> None:
    """Over the held-out rows, which the exported model is asked anew."""
    model = AutoModelForQuestionAnswering.from_pretrained(demo.folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(demo.folder / "model")
    lines = (demo.folder / "corpus/validation.json").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    answers = qa.answer_questions(
        model,
        tokenizer,
        [row["question"] for row in rows],
        [row["context"] for row in rows],
    )
    names = [row["id"] for row in rows]
    expected = qa.squad_v1_metrics(
        dict(zip(names, (answer.text for answer in answers), strict=True)),
        {row["id"]: row["answers"]["text"] for row in rows},
    )
    (f1,) = re.findall(r"^F1 .*: ([\d.]+)$", demo.output, re.MULTILINE)
    assert float(f1) == pytest.approx(expected["f1"], abs=0.01)


def test_fails_if_the_model_has_not_learned(demo: Demo) -> None:
    # No F1 is above 100.
    assert re.search(r"demo failed: F1 is [\d.]+, but should be above 100", demo.errors)
    assert demo.output.count("  > ") == 3


@pytest.mark.slow
def test_quick_demo_succeeds(tmp_path: Path) -> None:
    """The whole one, which CI runs as its own step, does too."""
    process = run(tmp_path, "run_demo.py", "--quick")
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("demo failed") == 0


def test_yaml_names_what_the_command_above_it_writes(tmp_path: Path) -> None:
    """By hand, without run_demo.py: the first of the two commands in demo.yaml."""
    text = (DEMO / "demo.yaml").read_text(encoding="utf-8")
    (arguments,) = re.findall(r"python demo/make_corpus\.py (.+)", text)
    sizes = ["--train-rows", "2", "--validation-rows", "1"]
    assert run(tmp_path, "make_corpus.py", *arguments.split(), *sizes).returncode == 0
    config = read_config(DEMO / "demo.yaml")
    for path in (
        config["hyperparameters"]["pretrained_model_name_or_path"],
        config["data"]["train_file"],
        config["data"]["validation_file"],
    ):
        assert (tmp_path / path).exists(), path
