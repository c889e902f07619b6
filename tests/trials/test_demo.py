"""The demo from its first line to its last, as a newcomer runs it, only shorter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from model_hub.experiment import yaml_io
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
    folder: Path  # Of the run.


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    # A blank, a comma and an apostrophe: it runs wherever it was cloned to.
    folder = tmp_path_factory.mktemp("Ada's demos, all")
    process = run(folder, "run_demo.py", "--quick", "--seed", "1")
    assert process.returncode == 0, process.stderr
    # Everything it writes is in the one folder.
    (runs,) = folder.iterdir()
    (run_folder,) = runs.iterdir()
    assert runs.name == "runs" and run_folder.name.startswith("demo-")
    return Demo(process.stdout, run_folder)


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


def test_fails_if_the_model_has_not_learned(tmp_path: Path) -> None:
    # No F1 is above 100.
    process = run(tmp_path, "run_demo.py", "--quick", "--lowest-f1", "100")
    assert process.returncode == 1
    assert re.search(r"demo failed: F1 is [\d.]+, but should be above 100", process.stderr)
    assert process.stdout.count("  > ") == 3


def test_yaml_names_what_the_command_above_it_writes(tmp_path: Path) -> None:
    """By hand, without run_demo.py: the first of the two commands in demo.yaml."""
    text = (DEMO / "demo.yaml").read_text(encoding="utf-8")
    (arguments,) = re.findall(r"python demo/make_corpus\.py (.+)", text)
    sizes = ["--train-rows", "2", "--validation-rows", "1"]
    assert run(tmp_path, "make_corpus.py", *arguments.split(), *sizes).returncode == 0
    config = yaml_io.read_config(DEMO / "demo.yaml")
    for path in (
        config["hyperparameters"]["pretrained_model_name_or_path"],
        config["data"]["train_file"],
        config["data"]["validation_file"],
    ):
        assert (tmp_path / path).exists(), path
