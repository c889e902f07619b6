"""Rows of words with labels: which columns, which names, and what can be wrong in them."""

import dataclasses
import logging
import pathlib
from typing import Any

import datasets
import pytest
import tiny
import torch
import transformers

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.tasks import token_classification as tc

NAMES = ("B-per", "I-per", "O")
Settings = tc.TokenClassificationDataKwargs


def rows(**columns: Any) -> datasets.Dataset:
    return datasets.Dataset.from_dict(columns)


def numbered(names: list[str], **columns: Any) -> datasets.Dataset:
    feature = datasets.List(datasets.ClassLabel(names=names))
    dataset = rows(**columns)
    return dataset.cast_column(dataset.column_names[-1], feature)


def read(train: Any, validation: Any = None, task: str | None = None, **keys: Any) -> tc.Tagging:
    splits = {"train": train, "validation": train if validation is None else validation}
    return tc.read_tagging(splits, Settings(**keys), task, {"train": "data.train_file 't.json'"})


WORDS = [["In", "Paris"], ["no"]]
TAGS = [["O", "B-x"], ["O"]]
NUMBERS = [[0, 1], [0]]


class TestReadTagging:
    def test_text(self) -> None:
        train = rows(id=["0", "1"], tokens=WORDS, ner_tags=TAGS)
        validation = rows(id=["0"], tokens=[["so"]], ner_tags=[["A-z"]])
        # Sorted, from both splits.
        expected = tc.Tagging("tokens", "ner_tags", ("A-z", "B-x", "O"), None)
        assert read(train, validation) == expected
        names = ["O", "B-x", "A-z", "I-x"]
        assert read(train, validation, label_names=names).labels == tuple(names)

    def test_class_labels(self) -> None:
        train = numbered(["O", "B-x", "I-x"], tokens=WORDS, ner_tags=NUMBERS)
        names = ("O", "B-x", "I-x")
        assert read(train) == tc.Tagging("tokens", "ner_tags", names, names)
        # Files without names, beside a data set that has them.
        assert read(train, rows(tokens=[["so"]], ner_tags=[[2]])).names == names

    def test_numbers_whose_names_the_yaml_gives(self) -> None:
        tagging = read(rows(tokens=WORDS, ner_tags=NUMBERS), label_names=["O", "B-x"])
        assert tagging.labels == tagging.names == ("O", "B-x")

    @pytest.mark.parametrize(
        ("names", "task", "expected"),
        [
            (("tokens", "pos_tags", "ner_tags"), "pos", ("tokens", "pos_tags")),
            (("tokens", "pos_tags", "ner_tags"), None, ("tokens", "ner_tags")),
            (("ner_tags", "tokens"), "ner", ("tokens", "ner_tags")),
            (("words", "labels", "more"), "ner", ("words", "labels")),
            (("tokens", "labels"), None, ("tokens", "labels")),
            (("labels", "words"), None, ("words", "labels")),
            (("tags", "words", "more"), "ner", ("words", "tags")),
            (("pos_tags", "words"), "pos", ("words", "pos_tags")),
            (("text", "more", "chunk_tags"), "chunk", ("text", "chunk_tags")),
        ],
    )
    def test_columns(
        self, names: tuple[str, ...], task: str | None, expected: tuple[str, str]
    ) -> None:
        tagging = read(rows(**{n: WORDS if n == expected[0] else TAGS for n in names}), task=task)
        assert (tagging.tokens_column, tagging.tags_column) == expected

    @pytest.mark.parametrize(
        ("train", "message"),
        [
            (rows(tokens=WORDS), r"t\.json'.*columns are tokens.*ner_tags"),
            (
                rows(id=[1, 2], words=WORDS, tags=["O", "O"]),
                r"column tags holds string, but should hold lists of labels",
            ),
            (rows(tokens=["a b"], ner_tags=[["O"]]), r"tokens holds string.*write json"),
            (rows(tokens=[["a"]], ner_tags=["O"]), r"ner_tags holds string.*lists of labels"),
            (rows(tokens=[[1]], ner_tags=[["O"]]), r"tokens holds lists of int64"),
            (rows(tokens=[["a"]], ner_tags=[[0.5]]), r"ner_tags holds lists of double"),
            (rows(tokens=[["a"]], ner_tags=[[True]]), r"ner_tags holds lists of bool"),
            (
                rows(tokens=[["a"], ["b"]], ner_tags=[["O"], None]),
                r"null in column ner_tags where labels .* \(row 2\)",
            ),
            (
                rows(tokens=[["a"], ["b", None]], ner_tags=[["O"], ["O"] * 2]),
                r"tokens .* \(row 2\)",
            ),
            (rows(tokens=WORDS, ner_tags=[["O"], ["O"]]), r"numbers of words .* 1 row \(row 1\)"),
            (rows(tokens=WORDS, ner_tags=[["O", "O"], []]), r"numbers of words .* 1 row \(row 2\)"),
            (rows(tokens=WORDS, ner_tags=NUMBERS), r"holds numbers.*data\.label_names"),
            (rows(tokens=[[]], ner_tags=[[]]), r"ner_tags has no labels at all"),
            (numbered(["O"], tokens=WORDS, ner_tags=[[0, -1], [0]]), r"label -1, .* 0 to 0"),
        ],
    )
    def test_complaints(self, train: datasets.Dataset, message: str) -> None:
        with pytest.raises(UserError, match=message):
            read(train)

    def test_complaints_of_the_validation_data(self) -> None:
        train = numbered(["O", "B-x"], tokens=WORDS, ner_tags=NUMBERS)
        for validation, message in (
            (rows(tokens=WORDS), r"split 'validation'.*missing: ner_tags"),
            (rows(tokens=WORDS, ner_tags=TAGS), r"split 'validation'.*lists of string"),
            (rows(tokens=[["a"]], ner_tags=[[2]]), r"the label 2, but the 2 names"),
            (
                numbered(["B-x", "O"], tokens=WORDS, ner_tags=NUMBERS),
                r"split 'validation'.*B-x, O, but data\.train_file 't\.json' has O, B-x",
            ),
        ):
            with pytest.raises(UserError, match=message):
                read(train, validation)

    def test_names_that_the_yaml_does_not_list(self) -> None:
        with pytest.raises(UserError, match=r"data\.label_names does not list: B-x"):
            read(rows(tokens=WORDS, ner_tags=TAGS), label_names=["O"])
        with pytest.raises(UserError, match=r"O, B-x, but data\.label_names has O, B-y"):
            read(numbered(["O", "B-x"], tokens=WORDS, ner_tags=NUMBERS), label_names=["O", "B-y"])

    @pytest.mark.parametrize("names", [[], ["O", "O"], ["O", 1]])
    def test_names_that_are_none(self, names: list[Any]) -> None:
        with pytest.raises(UserError, match=r"data\.label_names is "):
            Settings(label_names=names)


class TestFitToHead:
    def configs(self, **names: Any) -> tuple[Any, torch.nn.Module]:
        config = tiny.bert_config(**(names or {"num_labels": 3}))
        return config, transformers.BertForTokenClassification(tiny.bert_config(num_labels=3))

    def test_names_are_saved(self, tmp_path: pathlib.Path) -> None:
        config, model = self.configs()
        tagging = tc.Tagging("tokens", "ner_tags", NAMES, None)
        assert tc.align_labels(tagging, torch.compile(model), config) == tagging
        model.save_pretrained(tmp_path)
        for each in (config, transformers.AutoConfig.from_pretrained(tmp_path)):
            assert each.id2label == {0: "B-per", 1: "I-per", 2: "O"}
            assert each.label2id == {"B-per": 0, "I-per": 1, "O": 2}
            assert each.num_labels == 3

    def test_a_model_that_knows_the_labels_keeps_its_numbers(self) -> None:
        config, model = self.configs(id2label={0: "O", 1: "B-per", 2: "I-per"})
        tagging = tc.Tagging("tokens", "ner_tags", NAMES, NAMES)
        renumbered = tc.align_labels(tagging, model, config)
        assert renumbered == dataclasses.replace(tagging, labels=("O", "B-per", "I-per"))
        assert model.config.id2label == config.id2label == {0: "O", 1: "B-per", 2: "I-per"}

    def test_a_model_with_other_labels(self, caplog: pytest.LogCaptureFixture) -> None:
        config, model = self.configs(id2label={0: "X", 1: "Y", 2: "Z"})
        tagging = tc.Tagging("tokens", "ner_tags", NAMES, None)
        assert tc.align_labels(tagging, model, config) == tagging
        assert "'X', 'Y', 'Z'" in caplog.text and config.id2label[0] == "B-per"


def test_columns_without_lists_are_passed_over() -> None:
    for columns in ({"words": WORDS, "tags": TAGS}, {"tokens": WORDS, "tags": TAGS}):
        tagging = read(rows(id=["1", "2"], **columns, other=TAGS))
        assert (tagging.tokens_column, tagging.tags_column) == tuple(columns)


def test_values_of_several_kinds(tmp_path: pathlib.Path) -> None:
    """Lists in one file and text in another: the rows with text are named."""
    (tmp_path / "t.csv").write_text("tokens,ner_tags\na b,O O\n")
    (tmp_path / "v.jsonl").write_text('{"tokens": ["a"], "ner_tags": ["O"]}\n')
    files = {"train_file": str(tmp_path / "t.csv"), "validation_file": str(tmp_path / "v.jsonl")}
    with pytest.raises(UserError, match=r"train.: no list in column tokens in 1 row \(row 1\)"):
        tc.read_tagging(hf.default_load_dataset(files), Settings())


def test_no_validation_split() -> None:
    splits = {"train": rows(tokens=WORDS, ner_tags=TAGS)}
    splits |= dict.fromkeys(("validation_a", "validation_b"), splits["train"])
    with pytest.raises(UserError, match=r"'validation'.*validation_a.*data\.validation_file"):
        tc.read_tagging(splits, Settings())


def test_guessed_columns_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "model_hub"):
        read(rows(words=WORDS, labels=TAGS))
    assert "words: words; labels: labels" in caplog.text
