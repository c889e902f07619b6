"""Which columns, labels and metrics are found in the data, and what is said of bad rows."""

import json
import pathlib
from typing import Any

import datasets
import numpy as np
import pytest

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.tasks import text_classification as tc

# Columns, names of the labels 0, 1, ... and metrics, as GLUE has them.
GLUE = {
    "cola": ("sentence", "unacceptable acceptable", "matthews_correlation"),
    "sst2": ("sentence", "negative positive", "accuracy"),
    "mrpc": ("sentence1 sentence2", "not_equivalent equivalent", "accuracy f1 combined_score"),
    "stsb": ("sentence1 sentence2", "", "pearson spearmanr combined_score mse"),
    "qqp": ("question1 question2", "not_duplicate duplicate", "accuracy f1 combined_score"),
    "mnli": ("premise hypothesis", "entailment neutral contradiction", "accuracy"),
    "qnli": ("question sentence", "entailment not_entailment", "accuracy"),
    "rte": ("sentence1 sentence2", "entailment not_entailment", "accuracy"),
    "wnli": ("sentence1 sentence2", "not_entailment entailment", "accuracy"),
    "xnli": ("premise hypothesis", "entailment neutral contradiction", "accuracy"),
}


def both(
    train: dict[str, list[Any]], validation: dict[str, list[Any]] | None = None, **features: Any
) -> dict[str, datasets.Dataset]:
    splits = {"train": train, "validation": validation or train}
    made = {name: datasets.Dataset.from_dict(rows) for name, rows in splits.items()}
    for name, feature in features.items():
        made = {split: rows.cast_column(name, feature) for split, rows in made.items()}
    return made


@pytest.mark.parametrize("name", GLUE)
@pytest.mark.parametrize("form", ["class labels", "numbers", "names"])
def test_tasks_of_glue(name: str, form: str) -> None:
    columns, names, metrics = (text.split() for text in GLUE[name])
    rows: dict[str, list[Any]] = {column: ["a", "b", "c"] for column in ["idx", *columns]}
    rows["label"] = [0, 1, len(names) - 1]
    features: dict[str, Any] = {}
    if not names:
        rows["label"] = [0.5, 3.25, 5.0] if form != "numbers" else [0, 3, 5]
    elif form == "class labels":
        features = {"label": datasets.ClassLabel(names=names)}
    elif form == "names":
        rows["label"] = [names[number] for number in rows["label"]]
    task = tc.find_task(both(rows, **features), name)
    assert task.text_columns == tuple(columns)
    assert task.label_names == tuple(names)
    assert task.metrics == tuple(metrics)
    assert task.num_labels == max(len(names), 1)
    assert task.is_regression == (name == "stsb")
    assert task.positive == (1 if "f1" in metrics else None)
    if names:
        numbers = [task.label_numbers[label] for label in rows["label"]]
        assert numbers == [0, 1, len(names) - 1]


def test_class_labels_in_another_order_get_the_tasks_order() -> None:
    """Else F1 would be that of the other label."""
    rows = {"sentence1": ["a", "b"], "sentence2": ["a", "b"], "label": [0, 1]}
    label = datasets.ClassLabel(names=["Equivalent", "Not_equivalent"])
    task = tc.find_task(both(rows, label=label), "mrpc")
    assert task.label_names[1] == "equivalent" and task.positive == 1
    assert [task.label_numbers[number] for number in (0, 1)] == [1, 0]


def test_mnli_has_two_validation_splits() -> None:
    rows = {"premise": ["a", "b"], "hypothesis": ["a", "b"], "label": [0, 2]}
    one = datasets.Dataset.from_dict(rows)
    splits = {"train": one, "validation_matched": one, "validation_mismatched": one}
    task = tc.find_task(splits, "mnli")
    assert task.validation_splits == ("validation_matched", "validation_mismatched")
    assert task.metric_suffixes == ("", "_mismatched")
    with pytest.raises(UserError, match=r"no split 'validation'.*finetuning_task: mnli"):
        tc.find_task(splits, None)
    with pytest.raises(UserError, match=r"no split 'validation'.*validation_file, or data\.v"):
        tc.find_task(splits, "rte")
    wrong = {
        **splits,
        "validation_mismatched": datasets.Dataset.from_dict({**rows, "label": [0, 3]}),
    }
    with pytest.raises(UserError, match="split 'validation_mismatched': the unknown label 3"):
        tc.find_task(wrong, "mnli")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("label text", ["text"]),
        ("a b sentence2 sentence1 label", ["sentence1", "sentence2"]),
        ("number text label", ["text"]),
        ("sentence1 label", ["sentence1"]),
        # Columns that name the rows are no text, unless there is nothing else.
        ("id text label", ["text"]),
        ("pairID premise guid hypothesis doc_id label", ["premise", "hypothesis"]),
        ("paid id label", ["paid"]),
        # Metadata beside columns whose names are known.
        ("comment text author label", ["text"]),
        ("source sentence label", ["sentence"]),
        ("text_b note text_a label", ["text_a", "text_b"]),
        ("id label", ["id"]),
    ],
)
def test_columns_of_own_data(columns: str, expected: list[str]) -> None:
    rows = {name: ["x", "y"] for name in columns.split()}
    rows = {**rows, "number": [1, 2]} if "number" in rows else rows
    task = tc.find_task(both(rows), None)
    assert list(task.text_columns) == expected
    assert task.metrics == ("accuracy", "f1") and task.positive is None


@pytest.mark.parametrize("columns", ["b label a c", "paid grid label"])
def test_it_is_not_clear_which_columns_hold_the_text(columns: str) -> None:
    rows = {name: ["x", "y"] for name in columns.split()}
    with pytest.raises(UserError, match=r"hold text\. Write in data\.text_columns which"):
        tc.find_task(both(rows), None)


@pytest.mark.parametrize(
    ("labels", "metric", "names"),
    [
        ([0.0, 1.0], "accuracy", ("0.0", "1.0")),
        ([1.0, 3.0], "f1", ("1.0", "3.0")),
        ([0.0, 1.0], "mse", ()),
        ([0.0, 1.0], None, ()),
        ([0.5, 1.0], "pearson", ()),
    ],
)
def test_numbers_with_a_decimal_point(
    labels: list[float], metric: str | None, names: tuple[str, ...]
) -> None:
    """They are classes if the metric is one of classification."""
    task = tc.find_task(both({"text": ["a", "b"], "label": labels}), None, metric=metric)
    assert task.label_names == names and task.is_regression == (not names)


def test_a_metric_that_does_not_suit_the_labels() -> None:
    with pytest.raises(UserError, match=r"numbers such as 0\.5.*searcher\.metric is accuracy"):
        tc.find_task(both({"text": ["a", "b"], "label": [0.5, 1.0]}), None, metric="accuracy")
    for labels in ([1, 2], ["0.5", "x"], [True, False]):
        rows = both({"text": ["a", "b"], "label": labels})
        for metric in ("mse", "pearson", "spearmanr"):
            with pytest.raises(UserError, match=f"classes, but searcher.metric is {metric}"):
                tc.find_task(rows, None, metric=metric)


def test_all_that_is_wrong_is_told_at_once() -> None:
    train = {"text": ["a", None, "c", None, None, None], "label": [0, 1, 0, None, 1, 0]}
    with pytest.raises(UserError) as error:
        tc.find_task(both(train, {"text": ["a", "b"], "label": [0, 7]}), None)
    assert str(error.value).splitlines() == [
        "split 'train': no text in column text in 4 rows (row 2, row 4, row 5, ...). Write some, "
        "or remove the rows.",
        "split 'train': no label in 1 row (row 4). Write one, or remove the rows.",
        "split 'validation': the unknown label 7 in 1 row (row 2). Known are 0, 1. Correct or "
        "remove these rows.",
    ]


@pytest.mark.parametrize("kind", ["string", "float64", "int64", "bool", "null"])
@pytest.mark.parametrize("metric", ["accuracy", None])
def test_no_label_at_all(kind: str, metric: str | None, caplog: pytest.LogCaptureFixture) -> None:
    column = datasets.Value(kind)
    rows = datasets.Dataset.from_dict(
        {"text": ["a", "b"], "label": [None, None]},
        datasets.Features({"text": datasets.Value("string"), "label": column}),
    )
    with pytest.raises(UserError, match=r"no label in 2 rows \(row 1, row 2\)") as error:
        tc.find_task({"train": rows, "validation": rows}, None, metric=metric)
    assert "only the label" not in str(error.value) and "classes" not in caplog.text


def test_named_columns() -> None:
    rows = {"id": ["1", "2"], "body": ["a", "b"], "label": ["x", "y"]}
    assert tc.find_task(both(rows), None, "body").text_columns == ("body",)
    assert tc.find_task(both(rows), None, ["body", "id"]).text_columns == ("body", "id")
    with pytest.raises(UserError, match=r"data\.text_columns is .* one or two"):
        tc.find_task(both(rows), None, [])
    with pytest.raises(UserError, match=r"missing: boddy.*data\.text_columns"):
        tc.find_task(both(rows), None, "boddy")


@pytest.mark.parametrize(
    ("labels", "names", "named"),
    [
        (["no", "yes", "a"], ("a", "no", "yes"), True),
        ([1, 0, 2], ("0", "1", "2"), False),
        ([3, -1, 10], ("-1", "3", "10"), True),
        ([True, False, True], ("False", "True"), True),
    ],
)
def test_labels_of_own_data(labels: list[Any], names: tuple[str, ...], named: bool) -> None:
    task = tc.find_task(both({"text": ["a", "b", "c"], "label": labels}), None)
    assert task.label_names == names and task.named == named
    assert [task.label_names[task.label_numbers[label]] for label in labels] == [
        str(label) for label in labels
    ]


def test_floats_are_numbers_to_predict(tmp_path: pathlib.Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\na,0.5\nb,2\n")
    (tmp_path / "validation.csv").write_text("text,label\na,1\nb,2\n")
    config = {f"{split}_file": str(tmp_path / f"{split}.csv") for split in ("train", "validation")}
    task = tc.find_task(hf.default_load_dataset(config), None)
    assert task.is_regression and task.num_labels == 1
    assert task.metrics == ("mse", "pearson", "spearmanr")


TEXTS = {"text": ["a", "b"]}


@pytest.mark.parametrize(
    ("train", "validation", "name", "message"),
    [
        ({"text": ["a", "b"]}, None, None, r"train: the columns are text.*missing: label"),
        ({"n": [1, 2], "label": [0, 1]}, None, None, r"train: .*'n', 'label'.*none of them holds"),
        (
            {"text": ["a", "b"], "label": [0, 1]},
            None,
            "sst2",
            r"train: .*missing: sentence\. Rename",
        ),
        ({"sentence": [1, 2], "label": [0, 1]}, None, "sst2", "sentence holds int64.*hold text"),
        (
            {"text": ["a", None], "label": [0, 1]},
            None,
            None,
            r"no text in column text in 1 row \(row 2\)",
        ),
        ({"text": ["a", "b"], "label": ["x", None]}, None, None, r"no label in 1 row \(row 2\)"),
        ({"text": ["a", "b"], "label": [0.5, None]}, None, None, r"no label in 1 row \(row 2\)"),
        (
            {"text": ["a", "b"], "label": [0.5, np.inf]},
            None,
            None,
            r"not a finite number in 1 row \(row 2\)",
        ),
        ({"text": ["a", "b"], "label": [None, None]}, None, None, "no label in 2 rows"),
        ({"text": ["a", "b"], "label": [1, 1]}, None, None, "only the label '1'.*at least two"),
        ({"text": ["a", "b"], "label": [[1], [2]]}, None, None, "'label' holds list<.*whole"),
        (
            {**TEXTS, "label": ["x", "y"]},
            {**TEXTS, "label": ["x", "z"]},
            None,
            r"validation: the unknown label 'z' in 1 row \(row 2\). Known are 'x', 'y'",
        ),
        (
            {**TEXTS, "label": [3, 5]},
            {**TEXTS, "label": [3.0, 2.5]},
            None,
            r"validation: the unknown label 2\.5 in 1 row",
        ),
        (
            {**TEXTS, "label": [0, 1]},
            {**TEXTS, "label": [-1, -1]},
            None,
            "validation: there are rows with the label -1, .*GLUE's test splits",
        ),
        ({"sentence": ["a", "b"], "label": [-1, 1]}, None, "cola", "train: .*label -1.*GLUE"),
        (
            {"sentence": ["a", "b"], "label": [0, 2]},
            None,
            "cola",
            "2 in 1 row .*Known are 0, 1, 'unacc",
        ),
        (
            {"sentence1": ["a"], "sentence2": ["b"], "label": [-1.0]},
            None,
            "stsb",
            "label -1, .*GLUE's test splits",
        ),
        (
            {"sentence1": ["a"], "sentence2": ["b"], "label": ["high"]},
            None,
            "stsb",
            "'label' holds string, but should hold the numbers",
        ),
        (
            {**TEXTS, "label": [0, 1]},
            None,
            "sst-2",
            r"finetuning_task is 'sst-2'; did you mean sst2",
        ),
    ],
)
def test_what_is_said_of_bad_rows(
    train: dict[str, list[Any]],
    validation: dict[str, list[Any]] | None,
    name: str | None,
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        tc.find_task(
            both(train, validation), name, None, {"train": "train", "validation": "validation"}
        )


def test_class_labels_without_a_label() -> None:
    rows = {"text": ["a", "b"], "label": [0, 1]}
    label = datasets.ClassLabel(names=["bad", "good"])
    test_split = {**rows, "label": [-1, -1]}
    with pytest.raises(UserError, match="label -1"):
        tc.find_task(both(rows, test_split, label=label), None)
    with pytest.raises(UserError, match="only the label 'one'"):
        tc.find_task(
            both({**rows, "label": [0, 0]}, label=datasets.ClassLabel(names=["one"])), None
        )
    turned = both(rows, label=label)
    turned["validation"] = both(rows, label=datasets.ClassLabel(names=["good", "bad"]))["train"]
    with pytest.raises(
        UserError, match=r"the labels are 'good', 'bad' in this order.*'bad', 'good'"
    ):
        tc.find_task(turned, None)


class TestLoad:
    """Which names reach the Hub, without the Hub."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
        asked: list[tuple[str, str | None]] = []

        def load_dataset(path: str, name: str | None = None, **_: Any) -> datasets.DatasetDict:
            asked.append((path, name))
            rows = datasets.Dataset.from_dict({"language": [name, name]})
            return datasets.DatasetDict(train=rows, validation=rows)

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    @pytest.mark.parametrize("name", ["glue", "nyu-mll/glue"])
    @pytest.mark.parametrize("part", ["cola", None])
    def test_glue(self, name: str, part: str | None, asked: list[tuple[str, str | None]]) -> None:
        tc.load_glue({"dataset_name": name, "dataset_config_name": part}, "cola")
        assert asked == [("nyu-mll/glue", "cola")]

    def test_another_data_set(self, asked: list[tuple[str, str | None]]) -> None:
        tc.load_glue({"dataset_name": "a/b", "dataset_config_name": "c"}, "cola")
        assert asked == [("a/b", "c")]

    def test_glue_with_two_names(self) -> None:
        with pytest.raises(UserError, match=r"config_name is 'cola'.*finetuning_task is 'sst2'"):
            tc.load_glue({"dataset_name": "glue", "dataset_config_name": "cola"}, "sst2")

    @pytest.mark.parametrize("name", ["xnli", "facebook/xnli", None])
    def test_xnli(self, name: str | None, asked: list[tuple[str, str | None]]) -> None:
        config = {"dataset_name": name, "language": "de", "train_language": "en"}
        loaded = tc.load_xnli(config)
        assert asked == [("facebook/xnli", "en"), ("facebook/xnli", "de")]
        assert loaded["train"]["language"][0] == "en"
        assert loaded["validation"]["language"][0] == "de"

    @pytest.mark.parametrize("train_language", ["de", None])
    def test_xnli_in_one_language(
        self, train_language: str | None, asked: list[tuple[str, str | None]]
    ) -> None:
        tc.load_xnli({"language": "de", "train_language": train_language})
        assert asked == [("facebook/xnli", "de")]

    def test_xnli_without_language(self) -> None:
        with pytest.raises(UserError, match=r"data\.language is missing"):
            tc.load_xnli({"train_language": "en"})

    def test_xnli_from_files(self, tmp_path: pathlib.Path) -> None:
        row = json.dumps({"premise": "a", "hypothesis": "b", "label": 1})
        (tmp_path / "rows.json").write_text(f"{row}\n{row}\n")
        files = dict.fromkeys(("train_file", "validation_file"), str(tmp_path / "rows.json"))
        loaded = tc.load_xnli({**files, "language": "de", "dataset_name": None})
        assert len(loaded["train"]) == len(loaded["validation"]) == 2
