"""`model-hub predict`: every task, as one row at a time, in any batch size and file format."""

import csv
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow.parquet
import pytest
import tiny
import torch
import trained_models
import transformers
from task_runs import write_rows
from trained_models import Row, Trained

from model_hub import cli
from model_hub.huggingface.checkpoint import metadata
from model_hub.huggingface.tasks import question_answering as qa

Capture = pytest.CaptureFixture[str]
Direct = Callable[[Any, Any, Row], Any]
NEW_TOKENS = 5


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Trained]]:
    """Return a function that trains a model for a task, once."""
    known: dict[str, Trained] = {}

    def get(name: str) -> Trained:
        if name not in known:
            known[name] = trained_models.train(name, tmp_path_factory.mktemp(name))
        return known[name]

    yield get


def predict(
    model: pathlib.Path, rows: list[Row] | str, folder: pathlib.Path, *options: str
) -> list[Row]:
    file = rows if isinstance(rows, str) else write_rows(folder / "rows.jsonl", rows)
    output = folder / "answers.jsonl"
    words = ["predict", str(model), "--input", file, "--output", str(output), *options]
    assert cli.main(words) == 0
    return [json.loads(line) for line in output.read_text("utf-8").splitlines()]


def logits_of(model: Any, tokenizer: Any, *texts: Any) -> torch.Tensor:
    encoded = tokenizer(*texts, return_tensors="pt", truncation=True, max_length=12)
    return model(**encoded).logits[0]


def direct_label(model: Any, tokenizer: Any, row: Row) -> Row:
    scores = logits_of(model, tokenizer, row["body"]).softmax(-1)
    best = int(scores.argmax())
    return {"id": row["id"], "label": ("even", "odd")[best], "score": float(scores[best])}


def direct_value(model: Any, tokenizer: Any, row: Row) -> Row:
    return {"value": float(logits_of(model, tokenizer, row["sentence1"], row["sentence2"])[0])}


def direct_tags(model: Any, tokenizer: Any, row: Row) -> Row:
    ids = tokenizer(row["tokens"], is_split_into_words=True, return_tensors="pt")
    # One token a word, between two special ones.
    numbers = model(**ids).logits[0, 1:-1].argmax(-1).tolist()
    labels = [("B-cat", "O")[number] for number in numbers]
    cats = [n for n, label in enumerate(labels) if label == "B-cat"]
    entities = [{"type": "cat", "start": n, "end": n + 1, "text": row["tokens"][n]} for n in cats]
    return {"tokens": row["tokens"], "labels": labels, "entities": entities}


def direct_choice(model: Any, tokenizer: Any, row: Row) -> Row:
    logits = []
    for number in range(3):
        text = row[f"ending{number}"]
        pair = tokenizer(row["sent1"], text or "", return_tensors="pt")
        output = model(**{name: tensor[None] for name, tensor in pair.items()}).logits
        logits.append(float(output) if text else -float("inf"))
    scores = torch.tensor(logits).softmax(-1).tolist()
    return {"choice": scores.index(max(scores)), "scores": [s or None for s in scores]}


def greedily(model: Any, tokenizer: Any, text: str) -> Row:
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    length = ids.shape[1]
    for _ in range(NEW_TOKENS):
        ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
        if int(ids[0, -1]) == tokenizer.eos_token_id:
            break
    return {"generated_text": tokenizer.decode(ids[0, length:], skip_special_tokens=True)}


def direct_answer_of_assistant(model: Any, tokenizer: Any, row: Row) -> Row:
    return greedily(model, tokenizer, f"<|user|>{row['messages'][0]['content']}"
                    "<|endoftext|><|assistant|>")  # fmt: skip


def direct_masks(model: Any, tokenizer: Any, row: Row) -> Row:
    ids = tokenizer(row["text"], return_tensors="pt")
    masks, text = [], row["text"]
    for place in (ids["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten().tolist():
        scores = model(**ids).logits[0, place].softmax(-1)
        best = scores.argsort(descending=True)[:5].tolist()
        masks.append([
            {"token": tokenizer.convert_ids_to_tokens(n), "score": float(scores[n])} for n in best
        ])  # fmt: skip
        text = text.replace("[MASK]", masks[-1][0]["token"], 1)
    return {"text": text, "masks": masks}


DIRECT: dict[str, Direct] = {
    "glue": direct_label,
    "regression": direct_value,
    "ner": direct_tags,
    "swag": direct_choice,
    "clm": lambda model, tokenizer, row: greedily(model, tokenizer, row["text"]),
    "sft": direct_answer_of_assistant,
    "mlm": direct_masks,
}


def close(one: Any, other: Any) -> bool:
    """Return whether two values are equal but for rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-4, abs=1e-6)
    return bool(one == other)


@pytest.mark.parametrize("name", DIRECT)
def test_answers_are_those_of_one_row_at_a_time(
    name: str, trained: Callable[[str], Trained], tmp_path: pathlib.Path
) -> None:
    result = trained(name)
    model, tokenizer = result.trial.model.eval(), result.trial.tokenizer
    with torch.no_grad():
        expected = [DIRECT[name](model, tokenizer, row) for row in result.rows]
    assert any(row != expected[0] for row in expected)
    for size in ("1", "8"):
        options = ("--batch-size", size, "--max-new-tokens", str(NEW_TOKENS))
        found = predict(result.run, result.rows, tmp_path, *options)
        assert close(found, expected), size


@pytest.mark.parametrize("name", ["qa", "beam", "summarization", "translation"])
def test_answers_are_those_of_the_validation(
    name: str, trained: Callable[[str], Trained], tmp_path: pathlib.Path
) -> None:
    result = trained(name)
    expected = [a if isinstance(a, str) else a["prediction"] for a in result.answers.values()]
    without = ("answers", "summary")
    rows = [{k: v for k, v in row.items() if k not in without} for row in result.rows]
    for size in ("1", "8"):
        found = predict(result.run, rows, tmp_path, "--batch-size", size)
        column = "answer" if "answer" in found[0] else "generated_text"
        assert [row[column] for row in found] == expected
        assert [row.get("id") for row in found] == [row.get("id") for row in rows]


def test_beam_search_answers_where_there_must_be_one(
    trained: Callable[[str], Trained], tmp_path: pathlib.Path
) -> None:
    result = trained("beam")
    model = tmp_path / "model"
    model.mkdir()
    for file in (result.run / "model").iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    settings = json.loads((model / "model_hub.json").read_text())
    settings["data"]["version_2_with_negative"] = False
    (model / "model_hub.json").write_text(json.dumps(settings))
    found = predict(model, result.rows, tmp_path)
    for row, answer in zip(result.rows, found, strict=True):
        assert row["context"][answer["start"] : answer["end"]] == answer["answer"] != ""
        assert 0 < answer["score"] <= 1


def test_questions_one_by_one(trained: Callable[[str], Trained], tmp_path: pathlib.Path) -> None:
    result = trained("qa")
    kwargs = qa.QuestionAnsweringDataKwargs(max_seq_length=14, doc_stride=4)
    # Of a checkpoint, which is exported for it.
    (checkpoint,) = (result.run / "checkpoints").glob("*-*")
    for row, found in zip(result.rows, predict(checkpoint, result.rows, tmp_path), strict=True):
        (answer,) = qa.answer_questions(
            result.trial.model, result.trial.tokenizer, [row["question"]], [row["context"]],
            data_kwargs=kwargs,
        )  # fmt: skip
        expected = (answer.text, answer.start, answer.end)
        assert (found["answer"], found["start"], found["end"]) == expected
        assert found["score"] == pytest.approx(answer.probability, rel=1e-4)


def test_formats(trained: Callable[[str], Trained], tmp_path: pathlib.Path) -> None:
    """From csv to csv and parquet; an extra text column before the text is ignored."""
    result = trained("glue")
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerows([("title", "body"), *(("cat", row["body"]) for row in result.rows)])
    model = result.run / "model"
    expected = predict(model, str(tmp_path / "rows.csv"), tmp_path)
    assert [row["label"] for row in expected] == [
        row["label"] for row in predict(model, result.rows, tmp_path)
    ]
    for suffix in ("csv", "parquet"):
        output = tmp_path / f"out.{suffix}"
        words = ["--input", str(tmp_path / "rows.csv"), "--output", str(output)]
        assert cli.main(["predict", str(model), *words]) == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        found: list[Row] = [{**r, "score": float(r["score"])} for r in csv.DictReader(file)]
    assert found == expected
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist() == expected
    assert not list(tmp_path.glob(".*"))


def test_lists_in_csv_and_parquet(
    trained: Callable[[str], Trained], tmp_path: pathlib.Path
) -> None:
    """Also words that were truncated, and rows without words."""
    result = trained("ner")
    rows = [{"tokens": words} for words in (["the"] * 40, [], ["cat", "sat"])]
    expected = predict(result.run, rows, tmp_path)
    assert [row["labels"].count(None) for row in expected] == [18, 0, 0]
    assert expected[1] == {"tokens": [], "labels": [], "entities": []}
    for suffix in ("csv", "parquet"):
        output = tmp_path / f"out.{suffix}"
        words = ["--input", str(tmp_path / "rows.jsonl"), "--output", str(output)]
        assert cli.main(["predict", str(result.run), *words]) == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        found = [{k: json.loads(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert found == expected
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist() == expected


def test_many_rows_are_answered_part_by_part(
    trained: Callable[[str], Trained], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = trained("glue")
    seen = []
    from model_hub.huggingface.tasks.text_classification.predict import (
        TextClassificationPredictor,
    )

    original = TextClassificationPredictor.predict

    def counted(self: TextClassificationPredictor, rows: Any) -> list[Row]:
        seen.append(len(rows["body"]))
        return original(self, rows)

    monkeypatch.setattr(TextClassificationPredictor, "predict", counted)
    rows = [{**result.rows[n % 17], "id": n} for n in range(150)]
    found = predict(result.run, rows, tmp_path, "--batch-size", "1")
    assert seen == [64, 64, 22]
    assert [row["id"] for row in found] == list(range(150))
    assert close(found[17:34], [{**row, "id": n + 17} for n, row in enumerate(found[:17])])


def test_a_model_that_was_trained_elsewhere(tmp_path: pathlib.Path) -> None:
    """It is used with default settings; for another task it has no weights."""
    torch.manual_seed(0)  # With other weights the mask itself may be the most likely token.
    model = tiny.save(tmp_path / "bert", "bert", transformers.AutoModelForMaskedLM)
    (found,) = predict(model, [{"text": "the [MASK] sat"}], tmp_path)
    assert len(found["masks"][0]) == 5 and "[MASK]" not in found["text"]
    words = ["--input", str(tmp_path / "rows.jsonl"), "--output", str(tmp_path / "o.jsonl")]
    assert cli.main(["predict", str(model), *words, "--task", "text-classification"]) == 2


NAMED: dict[str, tuple[type, Row, Row, Row]] = {
    "qa": (
        transformers.AutoModelForQuestionAnswering,
        {"id_column": "nr", "question_column": "q", "context_column": "id", "answer_column": "a"},
        {"nr": "id", "q": "question", "id": "context"},
        {"nr": "007", "q": "where", "id": "the cat sat"},
    ),
    "swag": (
        transformers.AutoModelForMultipleChoice,
        {"context_column": "story", "ending_columns": ["B", "A"], "label_column": "right"},
        {"id": "id", "story": "sent1", "B": "ending0", "A": "ending1"},
        {"id": "007", "story": "the cat", "A": "sat", "B": "the dog ran"},
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_columns_that_the_training_named(
    name: str, tmp_path: pathlib.Path, capsys: Capture
) -> None:
    """They are read as those with the usual names, and `id` is what the training took for it."""
    auto_class, data, usual, row = NAMED[name]
    model = tiny.save(tmp_path / "model", "bert", auto_class)
    expected = predict(model, [{usual[column]: row[column] for column in row}], tmp_path)
    assert expected[0]["id"] == "007"
    metadata.write_task_metadata({"data": data}, model)
    assert predict(model, [{**row, "right": None, "label": 5}], tmp_path) == expected

    column = next(column for column in row if column not in ("id", "nr"))
    file = write_rows(tmp_path / "rows.jsonl", [{k: v for k, v in row.items() if k != column}])
    words = ["predict", str(model), "--input", file, "--output", str(tmp_path / "o.jsonl")]
    assert cli.main(words) == 2
    assert f"missing: {column}. Rename or add" in capsys.readouterr().err


WRONG: dict[str, tuple[str, list[Row], list[str], str]] = {
    "task": ("glue", [], ["--task", "glue"], "--task is 'glue'"),
    "batch size": ("glue", [], ["--batch-size", "0"], "--batch-size is 0"),
    "device": ("glue", [], ["--device", "gpu"], "--device is 'gpu'"),
    "column": ("glue", [{"text": "the"}], [], "missing: body"),
    "null": (
        "glue",
        [{"body": "the"}, {"body": None}],
        [],
        "no text in column body in 1 row (row 2)",
    ),
    "words": ("ner", [{"tokens": "the cat"}], [], "should hold lists of words"),
    "endings": ("swag", [{"sent1": "the", "ending0": "cat"}], [], "missing: ending1"),
    "question": ("qa", [{"context": "the"}], [], "missing: question"),
    "messages": ("sft", [{"messages": [{"role": "assistant", "content": "a"}]}], [], "row 1"),
    "language": ("translation", [{"de": "the"}], [], "source_lang"),
    "length": ("clm", [{"text": "a"}], ["--max-new-tokens", "64"], "--max-new-tokens is 64"),
}


@pytest.mark.parametrize("name", WRONG)
def test_messages_for_wrong_input(
    name: str, trained: Callable[[str], Trained], tmp_path: pathlib.Path, capsys: Capture
) -> None:
    task, rows, options, message = WRONG[name]
    result = trained(task)
    file = write_rows(tmp_path / "rows.jsonl", rows or result.rows)
    words = ["predict", str(result.run), "--input", file, "--output", str(tmp_path / "o.jsonl")]
    assert cli.main([*words, "--max-new-tokens", "4", *options]) == 2
    errors = capsys.readouterr().err
    assert message in errors and "Traceback" not in errors
    assert not (tmp_path / "o.jsonl").exists()


def test_messages_for_wrong_files(
    trained: Callable[[str], Trained], tmp_path: pathlib.Path, capsys: Capture
) -> None:
    result = trained("glue")
    file = write_rows(tmp_path / "rows.jsonl", result.rows)
    for model, given, output, message in (
        (result.run, file, "o.txt", "write a file of type"),
        (result.run, file, "none/o.jsonl", "there is no folder"),
        (result.run, file, "rows.jsonl", "which is the --input file"),
        (result.run, "none.jsonl", "o.jsonl", "there is no file 'none.jsonl'"),
        (tmp_path / "none", file, "o.jsonl", "cannot load configuration"),
        (tmp_path, file, "o.jsonl", "is no checkpoint"),
    ):
        words = ["--input", given, "--output", str(tmp_path / output)]
        assert cli.main(["predict", str(model), *words]) == 2
        assert message in capsys.readouterr().err
