"""Csv files: delimiters, quotes, encodings, malformed rows."""

import bz2
import gzip
import io
import logging
import lzma
import os
import pathlib
from typing import Any

import datasets
import pyarrow as pa
import pytest

from model_hub.errors import UserError
from model_hub.huggingface.data import files
from model_hub.huggingface.data.data_file import ReadOptions
from model_hub.huggingface.data.origin import describe_row

ROWS = [{"text": 'a, b; "c"', "label": "x"}, {"text": "d\ne|f", "label": "y"}]


def load(path: pathlib.Path, content: str | bytes, **options: Any) -> list[dict[str, Any]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows: list[dict[str, Any]] = files.load_file(
        "data.train_file", str(path), ReadOptions(**options)
    ).to_list()
    return rows


class TestDelimiter:
    @pytest.mark.parametrize(
        ("sign", "word"), [(",", ""), (";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")]
    )
    def test_is_found_out(
        self, sign: str, word: str, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        content = f'text{sign}label\n"a, b; ""c"""{sign}x\n"d\ne|f"{sign}y\n'
        with caplog.at_level(logging.INFO, "model_hub"):
            # The second time, the rows are in the cache.
            for _ in range(2):
                caplog.clear()
                assert load(tmp_path / "a.csv", content) == ROWS
                found = [f"separated by {word}" in r.message for r in caplog.records]
                assert found == [True] * bool(word)

    def test_in_unquoted_text(self, tmp_path: pathlib.Path) -> None:
        """Only a delimiter that all rows have as often is one."""
        rows = load(tmp_path / "a.csv", "text;label\nx, y;1\nz;2\n")
        assert rows == [{"text": "x, y", "label": 1}, {"text": "z", "label": 2}]
        rows = load(tmp_path / "a.csv", "text\nx; y\nz\n")
        assert rows == [{"text": "x; y"}, {"text": "z"}]

    def test_of_tsv_files(self, tmp_path: pathlib.Path) -> None:
        assert load(tmp_path / "a.tsv", "a,b\tc\nd,e\tf\n") == [{"a,b": "d,e", "c": "f"}]

    def test_of_the_yaml(self, tmp_path: pathlib.Path) -> None:
        rows = load(tmp_path / "a.csv", "a,b#c\nd,e#f\n", delimiter="#")
        assert rows == [{"a,b": "d,e", "c": "f"}]
        with pytest.raises(UserError, match=r"^data\.delimiter is '::', but should be one char"):
            ReadOptions(delimiter="::")


class TestQuotes:
    def test_other_ones(self, tmp_path: pathlib.Path) -> None:
        assert load(tmp_path / "a.csv", "a,b\n'c,d',\"e\n", quotechar="'") == [
            {"a": "c,d", "b": '"e'}
        ]
        assert load(tmp_path / "a.tsv", 'a\tb\n"c\td\n', quotechar="") == [{"a": '"c', "b": "d"}]

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            ('a,b\nc,d\n"e,f\ng,h\n', 3),
            ('a,b\n"c"d,e\n', 2),
            ('a,b\n"x\ny",1\n"He said "hi" to me",1\n', 4),
        ],
    )
    def test_that_do_not_match(self, content: str, line: int, tmp_path: pathlib.Path) -> None:
        with pytest.raises(UserError, match=rf"a\.csv', line {line}: quotes .* data\.quotechar"):
            load(tmp_path / "a.csv", content)

    def test_long_cells(self, tmp_path: pathlib.Path) -> None:
        text = "x" * 300_000
        assert load(tmp_path / "a.csv", f'a,b\n"{text}",1\n') == [{"a": text, "b": 1}]

    def test_that_are_the_delimiter(self) -> None:
        with pytest.raises(UserError, match=r"^data\.quotechar and data\.delimiter are both '\|'"):
            ReadOptions(delimiter="|", quotechar="|")


class TestRows:
    @pytest.mark.parametrize(
        ("content", "line", "count"),
        [("a,b\n1,2\n1,2,3\n", 3, 3), ("a,b\n1,2\n\n1\n", 4, 1), ('a,b\n"x\ny",2\n1,2,3\n', 4, 3)],
    )
    def test_of_other_lengths(
        self, content: str, line: int, count: int, tmp_path: pathlib.Path
    ) -> None:
        """With more values, pandas would take the first column for an index."""
        message = rf"a\.csv', line {line}: {count} values for the 2 columns a, b"
        with pytest.raises(UserError, match=message):
            load(tmp_path / "a.csv", content, delimiter=",")

    def test_two_columns_of_one_name(self, tmp_path: pathlib.Path) -> None:
        with pytest.raises(UserError, match=r"two columns with the name 'a'"):
            load(tmp_path / "a.csv", "a,b,a\n1,2,3\n")

    def test_index_of_pandas(self, tmp_path: pathlib.Path) -> None:
        assert load(tmp_path / "a.csv", ",a\n0,x\n") == [{"Unnamed: 0": 0, "a": "x"}]


class TestEncoding:
    @pytest.mark.parametrize("name", ["utf-8-sig", "utf-16", "cp1252"])
    def test_of_the_yaml(self, name: str, tmp_path: pathlib.Path) -> None:
        content = "text\nécole €\n".encode(name)
        assert load(tmp_path / "a.csv", content, encoding=name) == [{"text": "école €"}]

    def test_byte_order_mark(self, tmp_path: pathlib.Path) -> None:
        assert load(tmp_path / "a.csv", "a,b\n1,2\n".encode("utf-8-sig")) == [{"a": 1, "b": 2}]

    @pytest.mark.parametrize(
        ("name", "message"),
        [("cp1252", "line 2: not utf-8 .* data.encoding"), ("utf-16", "begins like UTF-16")],
    )
    def test_is_never_guessed(self, name: str, message: str, tmp_path: pathlib.Path) -> None:
        for suffix, content in (("csv", "text\né\n"), ("jsonl", '{"a": 1}\n{"a": "é"}\n')):
            with pytest.raises(UserError, match=rf"a\.{suffix}'.*{message}"):
                load(tmp_path / f"a.{suffix}", content.encode(name))

    @pytest.mark.parametrize("name", ["latin-99", "rot13", "hex", "undefined", "utf-8\0"])
    def test_unknown(self, name: str) -> None:
        with pytest.raises(UserError, match=r"^data\.encoding is .*, which Python does not know"):
            ReadOptions(encoding=name)


class TestSeveralFiles:
    @pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst"])
    def test_compressed(self, suffix: str, tmp_path: pathlib.Path) -> None:
        content = b'{"a": 1}\n{"a": "x"}\n'
        path = tmp_path / f"a.jsonl.{suffix}"
        if suffix == "zst":
            with pa.output_stream(path, compression="zstd") as stream:
                stream.write(content)
        else:
            openers: dict[str, Any] = {"gz": gzip, "bz2": bz2, "xz": lzma}
            path.write_bytes(openers[suffix].compress(content))
        assert files.load_file("k", str(path))["a"][:] == ["1", "x"]
        path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(UserError, match=rf"a\.jsonl\.{suffix}' cannot be read"):
            files.load_file("k", str(path))

    @pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
    @pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
    def test_damaged(self, name: str, suffix: str, tmp_path: pathlib.Path) -> None:
        data, path = io.BytesIO(), tmp_path / f"{name}.{suffix}"
        rows = datasets.Dataset.from_dict({"x": [str(n * 7919) for n in range(5000)]})
        (rows.to_parquet if name.endswith("parquet") else rows.to_csv)(data)
        openers: dict[str, Any] = {"gz": gzip, "bz2": bz2, "xz": lzma}
        whole = openers[suffix].compress(data.getvalue())
        for damaged in (whole[:-200], whole[:20] + b"\xff" * 500):
            path.write_bytes(damaged)
            with pytest.raises(UserError, match=rf"^k: .*{name}\.{suffix}' cannot be read"):
                files.load_file("k", str(path))

    def test_lists_patterns_and_folders(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        pathlib.Path("d/e").mkdir(parents=True)
        for number, name in enumerate(["d/b.csv", "d/a.csv", "d/e/c.csv"]):
            pathlib.Path(name).write_text(f"x,y\n{number},{name}\n")
        pathlib.Path("d/README.md").write_text("not data")

        def values(names: str | list[str]) -> list[int]:
            found: list[int] = files.load_file("k", names)["x"][:]
            return found

        assert values(["d/b.csv", "d/e/c.csv"]) == [0, 2]
        assert values("d") == [1, 0] == values("d/*.csv")
        assert values("d/**/*.csv") == [1, 0, 2]
        with pytest.raises(UserError, match=r"^k: no file matches 'd/\*\.json'"):
            values("d/*.json")
        with pytest.raises(UserError, match=r"^k is \[\], but should be a path"):
            values([])

    def test_rows_are_those_of_the_file(self, tmp_path: pathlib.Path) -> None:
        (tmp_path / "a.csv").write_text("x\n" + "1\n" * 5)
        (tmp_path / "b.csv").write_text("x\n" + "1\n" * 5)
        both = files.load_file("k", [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
        assert describe_row(both, 7) == "row 3 of 'b.csv'"
        assert describe_row(both.select([9, 2]), 0) == "row 5 of 'b.csv'"
        # Rows in a row, which datasets slice.
        assert describe_row(both.select(range(4, 9)).select(range(2, 5)), 1) == "row 3 of 'b.csv'"
        one = files.load_file("k", str(tmp_path / "a.csv")).shuffle(seed=1).select([1, 3])
        numbers = one._indices.column(0).to_pylist()
        assert describe_row(one, 1) == f"row {numbers[1] + 1}"


class TestCache:
    @pytest.mark.parametrize("name", ["train.arrow", "origin.json"])
    @pytest.mark.parametrize("emptied", [False, True])
    def test_a_file_of_it_is_lost(
        self, name: str, emptied: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As by a program that deletes old files, or a computer that has crashed."""
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        assert load(tmp_path / "a.csv", "x\n1\n") == [{"x": 1}]
        (lost,) = (tmp_path / "cache").rglob(name)
        os.truncate(lost, 0)
        if not emptied:
            lost.unlink()
        again = files.load_file("k", str(tmp_path / "a.csv"))
        assert again.to_list() == [{"x": 1}] and describe_row(again, 0) == "row 1"

    def test_a_replaced_file_is_read_again(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "a.csv"
        assert load(path, "x\n1\n") == [{"x": 1}]
        times = path.stat()
        path.write_text("x\n2\n")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert files.load_file("k", str(path)).to_list() == [{"x": 2}]
