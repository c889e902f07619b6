"""Local files of every type become rows; errors name the file and the line."""

import json
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import datasets
import pytest

from model_hub.errors import UserError
from model_hub.huggingface.data import data_file, files

ROWS = [{"text": "une école", "label": 0}, {"text": 'a "b", c\nd', "label": 1}]
NESTED = {
    "version": "v2.0",
    "data": [
        {
            "title": "Cats",
            "paragraphs": [
                {
                    "context": "the cat sat",
                    "qas": [
                        {
                            "id": 7,
                            "question": "who sat?",
                            "is_impossible": False,
                            "answers": [
                                {"text": "the cat", "answer_start": 0},
                                {"text": "cat", "answer_start": 4},
                            ],
                        },
                        {
                            "id": "8",
                            "question": "who ran?",
                            "is_impossible": True,
                            "answers": [],
                            "plausible_answers": [{"text": "cat", "answer_start": 4}],
                        },
                    ],
                },
                {"context": "the dog", "qas": [{"id": "9", "question": "what?"}]},
            ],
        },
        {"paragraphs": []},
    ],
}


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_arrow(path: pathlib.Path) -> None:
    with datasets.arrow_writer.ArrowWriter(path=str(path)) as writer:
        for row in ROWS:
            writer.write(row)
        writer.finalize()


# Name of a file -> a function that writes it.
WRITERS: dict[str, Callable[[pathlib.Path], Any]] = {
    "a.csv": lambda path: datasets.Dataset.from_list(ROWS).to_csv(path),
    "a.parquet": lambda path: datasets.Dataset.from_list(ROWS).to_parquet(path),
    "a.arrow": write_arrow,
    "a.jsonl": lambda path: path.write_text(lines(ROWS), encoding="utf-8"),
    "a.json": lambda path: path.write_text(lines(ROWS), encoding="utf-8"),
    "blank_lines.json": lambda path: path.write_text("\n" + lines(ROWS).replace("\n", "\n\n")),
    "crlf.jsonl": lambda path: path.write_bytes(lines(ROWS).replace("\n", "\r\n").encode()),
    "byte_order_mark.jsonl": lambda path: path.write_text(lines(ROWS), encoding="utf-8-sig"),
    "list.json": lambda path: path.write_text(json.dumps(ROWS)),
    "indented_list.json": lambda path: path.write_text(json.dumps(ROWS, indent=2)),
    "data.json": lambda path: path.write_text(json.dumps({"version": 1, "data": ROWS})),
    "indented_data.json": lambda path: path.write_text(json.dumps({"data": ROWS}, indent=2)),
    "indented_mark.json": lambda path: path.write_text(
        json.dumps(ROWS, indent=2), encoding="utf-8-sig"
    ),
    "UPPER.CSV": lambda path: datasets.Dataset.from_list(ROWS).to_csv(path),
}


class TestFormats:
    @pytest.mark.parametrize("name", WRITERS)
    def test_rows(self, name: str, tmp_path: pathlib.Path) -> None:
        WRITERS[name](tmp_path / name)
        dataset = files.load_file("data.train_file", str(tmp_path / name))
        assert dataset.to_list() == ROWS
        # It has files, so that what is computed from it can be cached.
        assert dataset.cache_files

    def test_lines_of_text(self, tmp_path: pathlib.Path) -> None:
        (tmp_path / "a.txt").write_text("une école\n\nb\n", encoding="utf-8")
        dataset = files.load_file("data.train_file", str(tmp_path / "a.txt"))
        assert dataset["text"][:] == ["une école", "", "b"]

    def test_one_row(self, tmp_path: pathlib.Path) -> None:
        (tmp_path / "a.json").write_text('{"text": "a"}')
        assert files.load_file("k", str(tmp_path / "a.json")).to_list() == [{"text": "a"}]

    def test_path_from_the_home_folder(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "a.txt").write_text("x")
        assert len(files.load_file("k", "~/a.txt")) == 1


class TestNestedSquad:
    @pytest.mark.parametrize("indent", [None, 1])
    def test_becomes_flat(self, indent: int | None, tmp_path: pathlib.Path) -> None:
        (tmp_path / "squad.json").write_text(json.dumps(NESTED, indent=indent))
        dataset = files.load_file("data.train_file", str(tmp_path / "squad.json"))
        assert dataset.to_list() == [
            {
                "id": "7",
                "title": "Cats",
                "context": "the cat sat",
                "question": "who sat?",
                "answers": {"text": ["the cat", "cat"], "answer_start": [0, 4]},
            },
            {
                "id": "8",
                "title": "Cats",
                "context": "the cat sat",
                "question": "who ran?",
                "answers": {"text": [], "answer_start": []},
            },
            {
                "id": "9",
                "title": "Cats",
                "context": "the dog",
                "question": "what?",
                "answers": {"text": [], "answer_start": []},
            },
        ]

    def test_changed_file_is_read_again(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "squad.json"
        path.write_text(json.dumps(NESTED))
        first = files.load_file("k", str(path))
        path.write_text(json.dumps(NESTED).replace("the dog", "the horse"))
        assert files.load_file("k", str(path))["context"][2] == "the horse"
        path.write_text(json.dumps(NESTED))
        assert files.load_file("k", str(path))._fingerprint == first._fingerprint

    def test_copy_may_be_read_by_others(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "squad.json"
        path.write_text(json.dumps(NESTED))
        dataset = files.load_file("k", str(path))
        folder = pathlib.Path(dataset.cache_files[0]["filename"]).parent
        assert {file.name for file in folder.iterdir()} == {"train.arrow", "origin.json"}
        assert {file.stat().st_mode for file in folder.iterdir()} == {path.stat().st_mode}

    @pytest.mark.parametrize(
        ("old", "new", "what"),
        [
            ('"answer_start": 4', '"start": 4', "article 1 'answer_start' is missing"),
            ('"context": "the dog"', '"text": "the dog"', "article 1 'context' is missing"),
            ('{"paragraphs": []}', '{"title": "x"}', "article 2 'paragraphs' is missing"),
            ('{"paragraphs": []}', '{"paragraphs": ["x"]}', "article 2"),
        ],
    )
    def test_incomplete(self, old: str, new: str, what: str, tmp_path: pathlib.Path) -> None:
        text = json.dumps(NESTED)
        assert old in text
        (tmp_path / "squad.json").write_text(text.replace(old, new))
        with pytest.raises(UserError, match=rf"^data\.train_file: .*squad\.json.*{what}"):
            files.load_file("data.train_file", str(tmp_path / "squad.json"))

    def test_the_real_one(self) -> None:
        folder = pathlib.Path(__file__).resolve().parents[4] / "shared" / "data" / "squad"
        if not folder.is_dir():
            pytest.skip("there is no SQuAD sample")
        dataset = files.load_file("k", str(folder / "squad_nested.json"))
        assert len(dataset) > 10
        for row in dataset:
            for text, start in zip(*row["answers"].values(), strict=True):
                assert row["context"][start : start + len(text)] == text


class TestWhatIsWrong:
    def test_no_file(self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(
            UserError, match=r"data\.train_file: .*'no/a\.csv'.*looked in "
        ) as error:
            files.load_file("data.train_file", "no/a.csv")
        assert str(tmp_path) in str(error.value)
        with pytest.raises(UserError, match=r"the folder .* has no file of type"):
            files.load_file("data.train_file", str(tmp_path))

    def test_extension(self, tmp_path: pathlib.Path) -> None:
        (tmp_path / "a.xlsx").write_text("x")
        with pytest.raises(
            UserError, match=r"'\.xlsx'.*\.csv, \.json, \.jsonl, \.parquet, \.tsv, \.txt.*\.zst"
        ):
            files.load_file("k", str(tmp_path / "a.xlsx"))

    @pytest.mark.parametrize("extension", sorted(data_file.FORMATS))
    def test_empty(self, extension: str, tmp_path: pathlib.Path) -> None:
        path = tmp_path / f"a{extension}"
        path.touch()
        with pytest.raises(UserError, match=rf"data\.train_file: .*a{extension}' is empty"):
            files.load_file("data.train_file", str(path))

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.csv", "text,label\n", "has no rows"),
            ("a.csv", "\n\n", "has no rows"),
            ("a.csv", "a,b\n1,x\n2,y,z\n", "line 3: 3 values for the 2 columns a, b"),
            ("a.csv", 'a,b\n"x\ny",1\n1,2,3\n', "line 4: 3 values for the 2 columns a, b"),
            ("a.csv", b"a,b\n1,x\n2,\xe9\n", "line 3: not utf-8"),
            ("a.txt", b"a\n\xe9\n", "line 2: not utf-8"),
            ("a.jsonl", '{"a": 1}\n{"a":\n{"a": 3}\n', "line 2: not JSON .*character 7"),
            ("a.jsonl", '{"a": 1\n{"a": 2}\n', "line 1: not JSON"),
            ("a.jsonl", '{"a": 1}\n{"a": 2}\n{"a', "line 3: not JSON"),
            ("a.jsonl", '{"a": 1}\n[2]\n', "line 2: a row should be an object"),
            ("a.jsonl", b'{"a": "x"}\n{"a": "\xe9"}\n', "line 2: not utf-8"),
            ("a.json", "\n  \n", "has no rows"),
            ("a.json", "[]", "has no rows"),
            ("a.json", '{"data": []}', "has no rows"),
            ("a.json", "5", "should hold one object a line, a list of objects"),
            ("a.json", "[1, 2]", "should hold one object a line, a list of objects"),
            ("a.json", '{\n "a": 1\n}', "should hold one object a line, a list of objects"),
            ("a.json", '{\n "data": [\n  {"a": 1},\n  {"a" 2}\n ]\n}\n', "line 4: not JSON"),
            ("a.json", '[{"a": 1},\n{"a": }]', "line 2: not JSON"),
            ("a.json", b'[\n{"a": "\xe9"}]', "line 2: not utf-8"),
            ("a.json", '{"data": [\n{"a": 1},\noops ]}\n', "line 3: not JSON .*character 1"),
            ("a.json", '{"data": [\n{"a": 1},\n{"a": 2},\n{"a" 3}\n]}', "line 4: not JSON"),
            ("a.jsonl", '{"a": 1,\n{"a": 2}\n{"a": 3}\n', "line 1: not JSON"),
            ("a.jsonl", '{"a": [1,\n{"a": 2}\n{"a": 3}\n', "line 1: not JSON"),
            ("a.parquet", "nonsense", "cannot be read as parquet"),
            ("a.arrow", "nonsense", "cannot be read as arrow"),
        ],
    )
    def test_broken(
        self,
        name: str,
        content: str | bytes,
        message: str,
        tmp_path: pathlib.Path,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(logging.getLogger("datasets"), "propagate", True)
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(UserError, match=rf"^data\.train_file: .*{name}'.*{message}"):
            files.load_file("data.train_file", str(path))
        assert not caplog.records  # The error is not logged as well.

    def test_corrected_file_is_read(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text('{"a": 1}\n{"a":\n')
        with pytest.raises(UserError):
            files.load_file("k", str(path))
        path.write_text('{"a": 1}\n{"a": 2}\n')
        assert files.load_file("k", str(path)).to_list() == [{"a": 1}, {"a": 2}]

    @pytest.mark.parametrize("content", ['{"a": 1}\n', '[{"a":\n1}]'])
    @pytest.mark.parametrize(
        ("cache", "reason"),
        [("file/datasets", "Not a directory"), ("~nobody-here/datasets", "no home is known")],
    )
    def test_cache_that_cannot_be_written(
        self,
        content: str,
        cache: str,
        reason: str,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "file").touch()
        (tmp_path / "a.json").write_text(content)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        with pytest.raises(UserError, match=rf"^the cache .*{cache}.*{reason}.*HF_HOME"):
            files.load_file("data.train_file", "a.json")
