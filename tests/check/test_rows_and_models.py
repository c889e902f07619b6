"""What ``model-hub check`` finds in all rows of files, and in folders with models."""

import json
import pathlib
import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from model_hub import cli
from model_hub.check import engine
from model_hub.new.project import write_project
from model_hub.new.tasks import find_task

Check = Callable[..., list[str]]
CLASSES, TAGS, CHAT = "text-classification", "token-classification", "instruction-tuning"
# The key at which something is found, its severity, and what is said.
Expected = list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("projects")
    for name in (CLASSES, TAGS, CHAT):
        write_project(find_task(name), root / name)
    return root


@pytest.fixture
def check(projects: pathlib.Path, tmp_path: pathlib.Path) -> Check:
    """Checks a project's YAML with other texts in it, and with other files.

    A finding is returned as ``KEY|severity|message``.
    """

    def run(name: str, replaced: dict[str, str], files: dict[str, str]) -> list[str]:
        folder = tmp_path / name
        shutil.copytree(projects / name, folder)
        for path, content in files.items():
            (folder / path).write_text(content)
        (yaml,) = folder.glob("*.yaml")
        text = yaml.read_text()
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        lines = text.splitlines()
        return [
            f"{lines[found.line - 1].partition(':')[0].strip()}|{found.severity}|{found.message}"
            for found in engine.check_config(text, folder).findings
        ]

    return run


def classes(labels: list[Any]) -> str:
    return "".join(json.dumps({"sentence": "Cold soup.", "label": x}) + "\n" for x in labels)


def tags(labels: list[str]) -> str:
    return "".join(json.dumps({"tokens": ["soup"], "ner_tags": [x]}) + "\n" for x in labels)


# More rows than are looked at one by one.
BOTH = ["negative", "positive"] * 75
AS_CSV = {"validation_file: validation.jsonl": "validation_file: validation.csv"}
METRIC_OF_SST2 = ("metric", "error", "which GLUETrial does not report; it reports accuracy")
TASK = {"  finetuning_task: null": "  finetuning_task: sst2"}


def template(text: str) -> dict[str, str]:
    return {"\ndata:\n": f"\ndata:\n  chat_template: '{text}'\n"}


def longest(tokens: int) -> dict[str, str]:
    return {"  max_seq_length: 128\n": f"  max_seq_length: {tokens}\n"}


@pytest.mark.parametrize(
    ("name", "replaced", "files", "expected"),
    [
        (CLASSES, {}, {}, []),
        (TAGS, {}, {}, []),
        (CHAT, {}, {}, []),
        (
            CLASSES,
            {},
            {"validation.jsonl": classes([*BOTH, "neutral"])},
            [("validation_file", "error", "the unknown label 'neutral' in 1 row (row 151)")],
        ),
        (
            CLASSES,
            AS_CSV,
            {"validation.csv": "sentence,label\n" + "soup,negative\n" * 120 + "soup,neutral\n" * 2},
            [
                (
                    "validation_file",
                    "error",
                    "the unknown label 'neutral' in 2 rows (row 121, row 122)",
                )
            ],
        ),
        (
            CLASSES,
            {},
            {"train.jsonl": classes(["negative"] * 150), "validation.jsonl": classes(["negative"])},
            [("train_file", "error", "there is only the label 'negative'")],
        ),
        (
            CLASSES,
            TASK,
            {"train.jsonl": classes(["negative"] * 150)},
            [("train_file", "warning", "every label is 'negative'")],
        ),
        (
            CLASSES,
            {},
            {"train.jsonl": classes([*BOTH, None])},
            [("train_file", "error", "no label in 1 row (row 151)")],
        ),
        (
            CLASSES,
            {},
            {"train.jsonl": classes(BOTH) + '{"sentence":\n'},
            [("train_file", "error", "line 151: not JSON")],
        ),
        (
            CLASSES,
            {"train_file: train.jsonl": "train_file: train.csv", **AS_CSV},
            {
                "train.csv": "sentence,label\n" + "soup,0\nsoup,1\n" * 60 + "soup,\n",
                "validation.csv": "sentence,label\nsoup,0\nsoup,1\n",
            },
            [("train_file", "error", "no label in 1 row (row 121)")],
        ),
        (
            CLASSES,
            {"train_file: train.jsonl": "train_file: train.csv"},
            {"train.csv": "lable,sentence\npositive,soup\nnegative,cold soup\n"},
            [
                (
                    "train_file",
                    "error",
                    "sentence, label; missing: label. Did you mean 'label'",
                )
            ],
        ),
        (
            CLASSES,
            {"model_mode: sequence-classification": "model_mode: token-classification"},
            {},
            [("model_mode", "error", "GLUETrial is made for sequence-classification; write")],
        ),
        (
            CLASSES,
            {
                "model_mode: sequence-classification": "model_mode: {type: categorical, vals: "
                "[AutoModelForSequenceClassification, base]}"
            },
            {},
            [("model_mode", "error", "model_mode may become 'base', but GLUETrial is made for")],
        ),
        # Each task of GLUE has its own metrics.
        (CLASSES, {**TASK, "metric: accuracy": "metric: f1"}, {}, [METRIC_OF_SST2]),
        (CLASSES, {"metric: accuracy": "metric: f1"}, {}, []),
        # Numbers with a decimal point are predicted, and need not be the same ones.
        (
            CLASSES,
            {"metric: accuracy": "metric: pearson"},
            {"train.jsonl": classes([0.5, 1.5]), "validation.jsonl": classes([2.5])},
            [],
        ),
        (
            TAGS,
            {},
            {"validation.jsonl": tags(["O"] * 120 + ["B-river"])},
            [("validation_file", "warning", "training data does not have: 'B-river'")],
        ),
        (
            TAGS,
            {},
            {"train.jsonl": tags(["O"] * 120), "validation.jsonl": tags(["O", "O"])},
            [("train_file", "error", "there is only the label 'O'")],
        ),
        (CLASSES, longest(129), {}, [("max_seq_length", "error", "takes at most 128 tokens")]),
        (CLASSES, longest(128), {}, []),
        (CLASSES, longest(2), {}, [("max_seq_length", "error", "2 special tokens")]),
        (
            CLASSES,
            {},
            {"model/config.json": "{"},
            [("pretrained_model_name_or_path", "error", "cannot load the config of './model'")],
        ),
        (
            CLASSES,
            {},
            {"model/tokenizer.json": "{"},
            [("pretrained_model_name_or_path", "error", "cannot load the tokenizer of")],
        ),
        (
            CHAT,
            {},
            {"model/tokenizer_config.json": '{"tokenizer_class": "PreTrainedTokenizerFast"}'},
            [("data", "error", "the tokenizer has no chat template")],
        ),
        (
            CHAT,
            template("{% for x %}"),
            {},
            [("chat_template", "error", "is not a valid Jinja template: line 1")],
        ),
        # The message quotes the conversation, in which "name" is a word.
        (
            CHAT,
            template('{{ raise_exception("no") }}'),
            {},
            [("chat_template", "error", "the chat template rejects the conversation")],
        ),
    ],
)
def test_what_is_found(
    name: str, replaced: dict[str, str], files: dict[str, str], expected: Expected, check: Check
) -> None:
    found = check(name, replaced, files)
    assert len(found) == len(expected), found
    for line, (key, severity, words) in zip(found, expected, strict=True):
        assert line.startswith(f"{key}|{severity}|") and words in line, line


def test_preview(projects: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answers are marked, and nothing is shown where labels are not tokens of the text."""
    yaml = projects / CHAT / "sft.yaml"
    assert cli.main(["check", str(yaml), "--preview", "2"]) == 0
    summary, *rows = capsys.readouterr().out.split("\n\n")
    assert summary.endswith("nothing found") and len(rows) == 2
    lines = (yaml.parent / "train.jsonl").read_text(encoding="utf-8").splitlines()
    for number, (shown, line) in enumerate(zip(rows, lines, strict=False), 1):
        messages = json.loads(line)["messages"]
        answers = [m["content"] for m in messages if m["role"] == "assistant"]
        assert shown.startswith(f"row {number}: ")
        assert re.findall("«(.*?)<.endoftext.>»", shown) == answers
    (yaml,) = (projects / CLASSES).glob("*.yaml")
    assert cli.main(["check", str(yaml), "--preview"]) == 2
    assert "GLUETrial does not train on such" in capsys.readouterr().err
