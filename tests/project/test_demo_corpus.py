"""The demo's corpus: what its score rests on (new answers, right positions) and its tokenizer."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForQuestionAnswering, AutoTokenizer

SCRIPT = (
    Path(__file__).resolve().parents[2]
    / "examples/huggingface/question-answering/demo/make_corpus.py"
)
SIZES = ("--train-rows", "400", "--validation-rows", "100")
FILES = ("train.json", "validation.json", "ask.json")
MODEL_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")

Row = dict[str, Any]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """The script as a module: it stands in no package."""
    spec = importlib.util.spec_from_file_location("demo_make_corpus", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def folder(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo")
    script.main(["--output-dir", str(path), "--seed", "3", *SIZES])
    return path


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def train(folder: Path) -> list[Row]:
    return read_rows(folder / "train.json")


@pytest.fixture(scope="module")
def validation(folder: Path) -> list[Row]:
    return read_rows(folder / "validation.json")


def answer(row: Row) -> str:
    (text,) = row["answers"]["text"]
    assert isinstance(text, str)
    return text


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def test_same_arguments_same_bytes(script: ModuleType, folder: Path, tmp_path: Path) -> None:
    script.main(["--output-dir", str(tmp_path), "--seed", "3", *SIZES])
    for name in (*FILES, *(f"model/{name}" for name in MODEL_FILES)):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_another_seed_another_corpus(script: ModuleType, folder: Path, tmp_path: Path) -> None:
    script.main(["--output-dir", str(tmp_path), "--seed", "4", *SIZES])
    for name in FILES:
        assert (tmp_path / name).read_bytes() != (folder / name).read_bytes(), name


def test_sizes_and_columns(train: list[Row], validation: list[Row]) -> None:
    assert (len(train), len(validation)) == (400, 100)
    for row in train + validation:
        assert list(row) == ["id", "title", "context", "question", "answers"]
        assert list(row["answers"]) == ["text", "answer_start"]


def test_answers_stand_where_they_are_said_to(train: list[Row], validation: list[Row]) -> None:
    for row in train + validation:
        (start,) = row["answers"]["answer_start"]
        assert row["context"][start:].startswith(answer(row))
        assert row["context"].count(answer(row)) == 1


def test_ids_are_unique(train: list[Row], validation: list[Row]) -> None:
    ids = [row["id"] for row in train + validation]
    assert len(set(ids)) == len(ids)


def test_held_out_answers_are_new(
    script: ModuleType, folder: Path, train: list[Row], validation: list[Row]
) -> None:
    """Each held-out answer holds a word of its own that training shows nowhere."""
    seen = set[str]().union(*(words(row["context"] + row["question"]) for row in train))
    answers = [answer(row) for row in validation]
    answers += [row["answer"] for row in json.loads((folder / "ask.json").read_text())]
    for text in answers:
        assert words(text) - set(script.english_words()), f"{text} has no invented word"
        assert not (words(text) - set(script.english_words())) & seen, text
    assert not {answer(row) for row in train} & set(answers)
    assert not {row["context"] for row in train} & {row["context"] for row in validation}


def test_questions_need_person_and_relation(script: ModuleType, validation: list[Row]) -> None:
    """The question fits others of the paragraph when either half of it is ignored."""
    for row in validation:
        sentences = re.split(r"(?<=\.) ", row["context"])
        subjects = [sentence.split()[0] for sentence in sentences]
        (asked,) = words(row["question"]) & set(script.PEOPLE)
        assert len(set(subjects)) >= 2
        assert subjects.count(asked) >= 2
        assert all(subjects.count(subject) == subjects.count(asked) for subject in subjects)


def test_validation_has_only_questions(train: list[Row], validation: list[Row]) -> None:
    assert all(row["question"].endswith("?") for row in validation)
    requests = sum(not row["question"].endswith("?") for row in train)
    assert 0.4 < requests / len(train) < 0.6


def test_some_answers_have_two_words(validation: list[Row]) -> None:
    lengths = {len(answer(row).split()) for row in validation}
    assert lengths == {1, 2}


def test_ask_has_three_answerable_questions(folder: Path, validation: list[Row]) -> None:
    ask = json.loads((folder / "ask.json").read_text())
    assert len(ask) == 3
    for row in ask:
        assert row["answer"] in row["context"]
        assert row["context"] not in {other["context"] for other in validation}


def test_tokenizer_finds_every_answer_and_knows_every_word(
    folder: Path, train: list[Row], validation: list[Row]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert tokenizer.is_fast
    for row in train + validation:
        question, context = row["question"], row["context"]
        encoded = tokenizer(question, context, return_offsets_mapping=True)
        ids, types = encoded["input_ids"], encoded["token_type_ids"]
        offsets = encoded["offset_mapping"]
        assert tokenizer.unk_token_id not in ids
        assert len(ids) <= 96
        first_separator = ids.index(tokenizer.sep_token_id)
        assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
        assert types == [0] * (first_separator + 1) + [1] * (len(ids) - first_separator - 1)
        in_context = offsets[first_separator + 1 : -1]
        (start,) = row["answers"]["answer_start"]
        assert start in {begin for begin, _ in in_context}
        assert start + len(answer(row)) in {end for _, end in in_context}
        # The pieces cover the text exactly: nothing but blanks is left out.
        assert "".join(context[a:b] for a, b in in_context) == context.replace(" ", "")


def test_tokenizer_is_cased_and_knows_any_ascii_text(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    text = "Sophie's 3 ships (red!) sail to xyz-Quay @ 7:45 ~ why?"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert "Sophie" in tokenizer.decode(ids, skip_special_tokens=True)
    special = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    assert [getattr(tokenizer, name) for name in special] == [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
    ]


def test_config_builds_a_small_model_that_fits_the_tokenizer(folder: Path) -> None:
    config = AutoConfig.from_pretrained(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    model = AutoModelForQuestionAnswering.from_config(config)
    assert config.vocab_size == len(tokenizer)
    assert config.pad_token_id == tokenizer.pad_token_id
    assert [type(model).__name__] == config.architectures
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_000_000
    encoded = tokenizer("Whom does Nora fear?", "Nora fears Calpex.", return_tensors="pt")
    assert model(**encoded).start_logits.shape == encoded["input_ids"].shape
