"""`model-hub new`: what it writes, what it refuses, and that it works from a wheel."""

import dataclasses
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from typing import Any

import pytest
import tokenizers
from ruamel.yaml import YAML
from workspaces import ROOT

from model_hub import cli
from model_hub.check import engine
from model_hub.new.project import write_project
from model_hub.new.sample_data import different_rows
from model_hub.new.tasks import TASKS, Task
from model_hub.new.tiny_models import row_texts

EXAMPLES = ROOT / "examples" / "huggingface"
NAMES = list(TASKS)


def new(capsys: pytest.CaptureFixture[str], *words: str | pathlib.Path, code: int = 0) -> str:
    capsys.readouterr()
    assert cli.main(["new", *map(str, words)]) == code
    output, errors = capsys.readouterr()
    return errors if code else output


def files_of(folder: pathlib.Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def parsed(text: str) -> dict[str, Any]:
    config: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return config


def trial_file(task: Task) -> pathlib.Path:
    return (EXAMPLES / task.example).with_name(f"{task.module}.py")


@pytest.mark.parametrize("words", [(), ("--list",)])
def test_all_tasks_are_listed(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    lines = new(capsys, *words).splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert all(len(line.split()) > 3 for line in lines)


def test_every_trial_of_the_examples_can_be_started_from() -> None:
    """A new trial in the examples needs a `Task` in `model_hub/new/tasks.py`."""
    assert {trial_file(task) for task in TASKS.values()} == set(EXAMPLES.glob("*/*_trial.py"))


@pytest.mark.parametrize(("packages", "named"), [("pytest", False), ("no-such-package", True)])
def test_a_package_is_named_only_if_it_is_missing(
    packages: str,
    named: bool,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = dataclasses.replace(TASKS["translation"], packages=packages)
    monkeypatch.setitem(TASKS, "translation", task)
    assert (f"pip install {packages}\n" in new(capsys, "translation", tmp_path / "x")) is named


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("token-clasification", "token-classification"),
        ("Question-Answering", "question-answering"),
        ("summarisation", "summarization"),
        ("swagg", "swag"),
    ],
)
def test_the_nearest_name_is_suggested(
    written: str, meant: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = new(capsys, written, tmp_path / "x", code=2)
    assert f"no task {written!r}; did you mean {meant}?" in error
    assert not (tmp_path / "x").exists()


def test_name_that_resembles_no_task(capsys: pytest.CaptureFixture[str]) -> None:
    error = new(capsys, "zzz", "x", code=2)
    assert "did you mean" not in error and "`model-hub new` lists" in error


def test_a_folder_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "model-hub new summarization my-summarization" in new(capsys, "summarization", code=2)


def test_only_new_or_empty_folders_are_written(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "deep" / "er"
    assert f"cd {folder} && model-hub train ner.yaml" in new(capsys, "ner", folder)
    before = files_of(folder)
    error = new(capsys, "question-answering", folder, code=2)
    assert repr(str(folder)) in error and "not empty" in error
    assert files_of(folder) == before

    (tmp_path / "empty").mkdir()
    new(capsys, "ner_trial", tmp_path / "empty")
    assert files_of(tmp_path / "empty").keys() == before.keys()

    (tmp_path / "file").write_text("mine")
    assert "is a file" in new(capsys, "ner", tmp_path / "file", code=2)
    assert "cannot write" in new(capsys, "ner", tmp_path / "file" / "below", code=2)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written(name: str, tmp_path: pathlib.Path) -> None:
    task = TASKS[name]
    folder = tmp_path / "mine"
    write_project(task, folder)
    files = files_of(folder)
    assert files.keys() == {
        ".detignore",
        ".gitignore",
        "README.md",
        f"{task.short_name}.yaml",
        f"{task.module}.py",
        f"train.{task.extension}",
        f"validation.{task.extension}",
        "model/config.json",
        "model/tokenizer.json",
        "model/tokenizer_config.json",
    }
    assert files[f"{task.module}.py"] == trial_file(task).read_bytes()

    train, validation = (
        files[f"{split}.{task.extension}"].decode().splitlines()
        for split in ("train", "validation")
    )
    assert (len(train), len(validation)) == (task.rows, 50)
    assert not set(train) & set(validation)

    # No text is unknown to the tokenizer, sample or not, and none is long for the model.
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    texts = [
        "Größe: 10 €\n日本",
        *(row_texts(json.loads(train[0])) if train[0][0] == "{" else train),
    ]
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids).strip() == text
        assert len(ids) < 64

    readme = files["README.md"].decode()
    assert readme.startswith("# mine\n") and train[0] in readme
    assert all(f"`{path}`" in readme for path in files if "/" not in path and path != "README.md")


@pytest.mark.parametrize("name", NAMES)
def test_the_comments_of_the_yaml_make_it_the_example_again(
    name: str, tmp_path: pathlib.Path
) -> None:
    """Settings in comments take the place of those below them."""
    task = TASKS[name]
    folder = tmp_path / "mine"
    write_project(task, folder)
    text = (folder / f"{task.short_name}.yaml").read_text("utf-8")
    assert engine.check_config(text, folder).summary() == "nothing found"

    settings, restored = re.compile(r"  # \w+: \S.*"), []
    blocks = itertools.groupby(text.splitlines(), lambda line: bool(settings.fullmatch(line)))
    for commented, (*block,) in blocks:
        if commented:
            restored += [line.replace("# ", "", 1) for line in block]
        else:
            # Data files are two settings; all others are single.
            replaced = 2 if "train_file" in block[0] else bool(restored)
            restored += block[replaced:]
    config = parsed("\n".join(restored))
    example = parsed((EXAMPLES / task.example).read_text("utf-8"))
    assert config.pop("name") == task.short_name and example.pop("name")
    if name == "question-answering":
        assert config.pop("perform_initial_validation") is True
    assert config == example

    report = engine.check_config("\n".join(restored), folder)
    assert report.findings == []
    # These need the network.
    model, dataset = config["hyperparameters"], config["data"]["dataset_name"]
    assert set(report.hub_names) == {model["pretrained_model_name_or_path"], dataset}


WRITE = """
import sys
from model_hub import cli
for name in sys.argv[2:]:
    assert cli.main(["new", name, f"{sys.argv[1]}/{name}"]) == 0
slow = {"torch", "transformers", "datasets", "determined", "numpy"} & set(sys.modules)
assert not slow, slow
"""


def test_the_same_is_written_everywhere_and_quickly(tmp_path: pathlib.Path) -> None:
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", WRITE, str(tmp_path / seed), *NAMES],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_rows_run_out() -> None:
    def coin(rng: random.Random) -> dict[str, int]:
        return {"side": rng.randrange(2)}

    assert len(different_rows(coin, random.Random(0), 2)) == 2
    with pytest.raises(ValueError, match="coin made only 2"):
        different_rows(coin, random.Random(0), 3)


def copy_of_repository(folder: pathlib.Path, *, examples: bool) -> pathlib.Path:
    """What a build needs; a build leaves files beside its sources."""
    ignored = shutil.ignore_patterns("__pycache__", "runs")
    shutil.copytree(ROOT / "model_hub", folder / "model_hub", ignore=ignored)
    if examples:
        shutil.copytree(EXAMPLES, folder / "examples" / "huggingface", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def unpacked_wheel(source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*command, "--no-build-isolation", "--wheel-dir", str(folder), str(source)], check=True
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def new_from(
    package: pathlib.Path, folder: pathlib.Path, name: str
) -> subprocess.CompletedProcess[str]:
    """`model-hub new` of a package that is not the tests' own."""
    code = (
        "import sys, model_hub, model_hub.cli as c; print(model_hub.__file__); sys.exit(c.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "new", name, str(folder)],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(str(package))
    return done


@pytest.mark.parametrize("by_sdist", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_from_a_wheel(by_sdist: bool, tmp_path: pathlib.Path) -> None:
    source = copy_of_repository(tmp_path / "source", examples=True)
    if by_sdist:
        build = "from setuptools import build_meta; build_meta.build_sdist('dist')"
        quiet = subprocess.DEVNULL
        subprocess.run([sys.executable, "-c", build], cwd=source, check=True, stdout=quiet)
        (sdist,) = (source / "dist").glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            archive.extractall(tmp_path / "sdist", filter="data")
        (source,) = (tmp_path / "sdist").iterdir()
    package = unpacked_wheel(source, tmp_path / "wheel")
    packed = package / "model_hub" / "new" / "examples"
    assert not list(packed.glob("*/demo"))
    trials = {path.relative_to(packed) for path in packed.glob("*/*.py")}
    assert trials == {trial_file(task).relative_to(EXAMPLES) for task in TASKS.values()}
    for task in TASKS.values():
        done = new_from(package, tmp_path / task.name, task.name)
        assert done.returncode == 0, done.stderr
        write_project(task, tmp_path / "checkout" / task.name)
        assert files_of(tmp_path / task.name) == files_of(tmp_path / "checkout" / task.name)


def test_a_package_without_trials_says_so(tmp_path: pathlib.Path) -> None:
    source = copy_of_repository(tmp_path / "source", examples=False)
    package = unpacked_wheel(source, tmp_path / "wheel")
    done = new_from(package, tmp_path / "mine", "token-classification")
    assert done.returncode == 2
    assert "has no question-answering/squad.yaml" in done.stderr
    assert not (tmp_path / "mine").exists()
