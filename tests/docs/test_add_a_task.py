"""The code of docs/how-to/add-a-task.md adds a task to a copy of the repository, and trains it."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
from pages import DOCS, ROOT

PAGE = (DOCS / "how-to" / "add-a-task.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\{code-block\} (\w+)\n:caption: (\S+)\n\n(.*?)```", PAGE, re.DOTALL)
# Two files of a user's own project; the others belong to the library.
OWN = ("pairs_trial.py", "pairs.yaml")
LIBRARY = [path for _, path, _ in BLOCKS if path not in OWN]

# All commands in one process, as most of their time is the import of torch.
COMMANDS = """
from model_hub import cli

print(cli.__file__)

def run(*words):
    code = cli.main(list(words))
    assert code == 0, (words, code)

run("new", "next-sentence", "project")
run("check", "project/next_sentence.yaml", "--strict")
run("train", "project/next_sentence.yaml", "--output-dir", "run")
run("predict", "run", "--input", "project/validation.jsonl", "--output", "predictions.jsonl")
small = ["hyperparameters.pretrained_model_name_or_path=../project/model",
         "hyperparameters.use_pretrained_weights=false", "hyperparameters.num_train_epochs=1",
         "data.train_file=../project/train.jsonl",
         "data.validation_file=../project/validation.jsonl"]
words = [word for value in small for word in ("--config", value)]
run("train", "own/pairs.yaml", "--output-dir", "own-run", *words)
"""


def apply(diff: str, path: pathlib.Path) -> None:
    """Change a file as the page shows; the context lines of a part are neighbours in the file."""
    text = path.read_text(encoding="utf-8")
    for part in diff.split("@@\n"):
        lines = part.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if not line.startswith("+"))
        after = "".join(line[1:] for line in lines if not line.startswith("-"))
        assert text.count(before) == 1, f"{path} has {text.count(before)} times {before!r}"
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A copy of the repository in which the page was followed."""
    root = tmp_path_factory.mktemp("tree")
    for name in ("model_hub", "examples", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for language, path, text in BLOCKS:
        file = root / "own" / path if path in OWN else root / path
        if language == "diff":
            apply(text, file)
        else:
            assert not file.exists()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return root


def run(tree: pathlib.Path, *words: str) -> str:
    """Run Python in the copy, on the package that is there."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "HOME": str(tree / "home")}
    done = subprocess.run(
        [sys.executable, *words], cwd=tree, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read_lines(path: pathlib.Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_number_of_files() -> None:
    assert len(LIBRARY) == len(set(LIBRARY)) <= 9
    assert sum((ROOT / path).exists() for path in LIBRARY) <= 3


def test_style(tree: pathlib.Path) -> None:
    pytest.importorskip("ruff", reason="ruff is not installed")
    shutil.copy(ROOT / "pyproject.toml", tree)
    files = [path for path in LIBRARY if path.endswith(".py")]
    own = "own/pairs_trial.py"
    run(tree, "-m", "ruff", "check", *files)
    # A trial of a user's, as those of the examples, needs no docstrings.
    run(tree, "-m", "ruff", "check", "--ignore", "D", own)
    run(tree, "-m", "ruff", "format", "--check", *files, own)


def test_task_trains_and_predicts(tree: pathlib.Path) -> None:
    output = run(tree, "-c", COMMANDS)
    assert str(tree) in output
    metrics = read_lines(tree / "run" / "metrics.jsonl")
    assert [m["accuracy"] for m in metrics if m["group"] == "validation"][-1] > 0.75
    rows = read_lines(tree / "project" / "validation.jsonl")
    predictions = read_lines(tree / "predictions.jsonl")
    right = sum(p["is_next"] == row["is_next"] for p, row in zip(predictions, rows, strict=True))
    assert right / len(rows) > 0.75


def test_its_own_test(tree: pathlib.Path) -> None:
    (path,) = [path for path in LIBRARY if path.startswith("tests/")]
    run(
        tree,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        ".",
        path,
    )
