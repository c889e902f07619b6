"""A column has one type in all files and splits, and no value changes on the way."""

import datetime
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.data import files
from model_hub.huggingface.data.data_file import ReadOptions, find_files


def load_csv(folder: pathlib.Path, *cells: Sequence[str], **options: Any) -> list[list[Any]]:
    """Write a csv file of one column beside a number for each list; return what is read."""
    found = {}
    for number, values in enumerate(cells):
        file = folder / f"{number}.csv"
        file.write_text("n,x\n" + "".join(f"{n},{value}\n" for n, value in enumerate(values)))
        found[f"s{number}"] = find_files("k", str(file))
    splits = files.load_files(found, ReadOptions(**options))
    return [splits[split]["x"][:] for split in found]


def load_json(folder: pathlib.Path, *values: Sequence[str]) -> list[list[Any]]:
    """Write a file of one column for each list of JSON values; return what is read."""
    found = {}
    for number, texts in enumerate(values):
        file = folder / f"{number}.jsonl"
        file.write_text("".join(f'{{"n": 1, "x": {text}}}\n' for text in texts))
        found[f"s{number}"] = find_files("k", str(file))
    splits = files.load_files(found)
    return [splits[split]["x"][:] for split in found]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        (["1", "", "3"], [1, None, 3]),
        (["1.5", "2", "1e-5", ".5"], [1.5, 2.0, 1e-5, 0.5]),
        (["True", "False"], [True, False]),
        (["true", "", "false"], [True, None, False]),
        # What another spelling would become of a number stays text.
        (["007", "1"], ["007", "1"]),
        (["01", "02", "none"], ["01", "02", "none"]),
        (["+1", "2"], ["+1", "2"]),
        (["-0", "1"], ["-0", "1"]),
        (["1e5", "2e7"], ["1e5", "2e7"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["9" * 30, "1"], ["9" * 30, "1"]),
        (["00.5", "1.5"], ["00.5", "1.5"]),
        ([" 1", "2"], [" 1", "2"]),
        # Words that pandas takes for missing values, and dates.
        (["NA", "null", "None", "nan", "n/a"], ["NA", "null", "None", "nan", "n/a"]),
        (["NA", "1"], ["NA", "1"]),
        (["2024-01-01", "2024-01-02"], ["2024-01-01", "2024-01-02"]),
        (["True", "1"], ["True", "1"]),
        (["", ""], [None, None]),
    ],
)
def test_cells_of_csv_files(cells: list[str], expected: list[Any], tmp_path: pathlib.Path) -> None:
    found = load_csv(tmp_path, cells)
    assert found == [expected]
    assert [type(value) for value in found[0]] == [type(value) for value in expected]
    # Where the task says what a column is, cells are text.
    texts = [cell or None for cell in cells]
    assert load_csv(tmp_path, cells, typed_columns=("n",)) == [texts]
    # Labels become numbers, but booleans would lose their spelling.
    are_booleans = any(isinstance(value, bool) for value in expected)
    labels = load_csv(tmp_path, cells, typed_columns=("x",))
    assert labels == [texts if are_booleans else expected]


@pytest.mark.parametrize("blank", [3, 10_500])
def test_csv_types_are_settled_over_all_splits_and_rows(blank: int, tmp_path: pathlib.Path) -> None:
    numbers, mixed = load_csv(tmp_path, ["1", "2"], [*[""] * blank, "3", "mixed"])
    assert numbers == ["1", "2"]
    assert mixed[blank - 1 :] == [None, "3", "mixed"]
    assert load_csv(tmp_path, ["1", "2"], ["1.5", ""]) == [[1.0, 2.0], [1.5, None]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (['"2024-01-01"', '"2024-01-02T10:00:00"'], ["2024-01-01", "2024-01-02T10:00:00"]),
        (["1", "null", "2"], [1, None, 2]),
        (["1", "2.5"], [1.0, 2.5]),
        (["true", "false"], [True, False]),
        # Numbers beside texts are their spelling.
        (["1", "2", '"mixed"'], ["1", "2", "mixed"]),
        (["1.50", '"a"', "1e5", "1E+05"], ["1.50", "a", "1e5", "1E+05"]),
        (["true", '"a"', "null"], ["true", "a", None]),
        (["true", "1"], ["true", "1"]),
        # Integers that no type holds.
        (["123456789012345678901234567890", "1"], ["123456789012345678901234567890", "1"]),
        (["9007199254740993", "0.5"], ["9007199254740993", "0.5"]),
        (["18446744073709551615"], ["18446744073709551615"]),
        (["1e300"], [1e300]),
        (["NaN", "1.5"], [pytest.approx(float("nan"), nan_ok=True), 1.5]),
        (["Infinity", "-Infinity"], [float("inf"), -float("inf")]),
        (["9" * 5000, "1"], ["9" * 5000, "1"]),
        # Lists and objects.
        (['["a"]', "[]", '["b", 7]'], [["a"], [], ["b", "7"]]),
        (['{"a": 1}', '{"b": "x"}'], [{"a": 1, "b": None}, {"a": None, "b": "x"}]),
        (['{"a": 1}', '"x"', "[1]", "2"], [{"a": 1}, "x", [1], 2]),
        (['[{"c": "x"}]', '[{"c": ["y"]}]'], [[{"c": "x"}], [{"c": ["y"]}]]),
        (["{}", '{"a": null}'], [{"a": None}, {"a": None}]),
    ],
)
@pytest.mark.parametrize("divided", [False, True])
def test_json_values(
    values: list[str], expected: list[Any], divided: bool, tmp_path: pathlib.Path
) -> None:
    """The same in one file and in two splits."""
    if divided and len(values) > 1:
        first, second = load_json(tmp_path, values[:1], values[1:])
        found = first + second
    else:
        (found,) = load_json(tmp_path, values)
    assert found == expected
    assert [type(v) for v in found[:1]] == [type(v) for v in expected[:1]] or "NaN" in values[0]


def test_rows_that_only_json_can_read(tmp_path: pathlib.Path) -> None:
    """A NaN changes nothing about the other columns, also where every row has one."""
    row = '{"x": NaN, "label": %s, "score": 0.5, "n": 1000000000000000001}\n'
    (tmp_path / "a.jsonl").write_text(row % 1 + row % 2)
    found = files.load_file("k", str(tmp_path / "a.jsonl")).remove_columns("x")
    number = 1000000000000000001
    assert found.to_list() == [{"label": n, "score": 0.5, "n": number} for n in (1, 2)]


@pytest.mark.parametrize(
    ("depth", "mixed"), [(100, False), (900, False), (900, True), (5000, True)]
)
def test_deeply_nested_json(depth: int, mixed: bool, tmp_path: pathlib.Path) -> None:
    values = ["[" * depth + "]" * depth, '"x"' if mixed else "[]"]
    nested = [f'{{"a": {value}}}' for value in values]
    for content in (values, nested):
        with pytest.raises(UserError, match=r"^k: lists or objects are nested more than 60 deep"):
            load_json(tmp_path, content)


def test_json_types_change_after_many_rows(tmp_path: pathlib.Path) -> None:
    (found,) = load_json(tmp_path, [*["1.0"] * 5000, '"x"', "[1]"])
    assert found[0] == 1.0 and found[-2:] == ["x", [1]]


def test_keys_that_differ_from_row_to_row(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"b": "x", "a": 2}\n{"c": [1]}\n')
    assert files.load_file("k", str(tmp_path / "a.jsonl")).to_list() == [
        {"a": 1, "b": None, "c": None},
        {"a": 2, "b": "x", "c": None},
        {"a": None, "b": None, "c": [1]},
    ]


@pytest.mark.parametrize(
    ("csv_cells", "json_value", "expected"),
    [
        ("1\n2", "3", ([1, 2], [3])),
        ("1\n2", "3.5", ([1.0, 2.0], [3.5])),
        ("01\n2", "3", (["01", "2"], ["3"])),
        ("x\n2", "3.50", (["x", "2"], ["3.50"])),
        ("x\ny", '"z"', (["x", "y"], ["z"])),
        ("x\ny", "[1]", (["x", "y"], [[1]])),
    ],
)
def test_csv_beside_json(
    csv_cells: str, json_value: str, expected: Any, tmp_path: pathlib.Path
) -> None:
    """A column of csv files takes the type of the json file if its cells can."""
    (tmp_path / "a.csv").write_text(f"x\n{csv_cells}\n")
    (tmp_path / "b.jsonl").write_text(f'{{"x": {json_value}}}\n')
    splits = hf.default_load_dataset(
        {"train_file": str(tmp_path / "a.csv"), "validation_file": str(tmp_path / "b.jsonl")}
    )
    assert (splits["train"]["x"][:], splits["validation"]["x"][:]) == expected


def test_class_names_of_parquet_files_are_kept(tmp_path: pathlib.Path) -> None:
    rows = datasets.Dataset.from_dict({"label": [1, 0], "text": ["a", "b"]})
    rows = rows.cast_column("label", datasets.ClassLabel(names=["no", "yes"]))
    rows.to_parquet(tmp_path / "a.parquet")
    assert files.load_file("k", str(tmp_path / "a.parquet")).features == rows.features


def test_columns_of_parquet_and_text_do_not_mix(tmp_path: pathlib.Path) -> None:
    datasets.Dataset.from_dict({"x": [1.5]}).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text('{"x": "a"}\n')
    names = [str(tmp_path / "a.parquet"), str(tmp_path / "b.jsonl")]
    with pytest.raises(UserError, match=r"^data\.train_file: column 'x' holds values of diff"):
        files.load_file("data.train_file", names)


def test_layouts_of_lists_and_objects_of_parquet_files(tmp_path: pathlib.Path) -> None:
    """Libraries write the same lists with different types; dates in objects stay dates."""
    day = datetime.datetime(2024, 1, 1)
    names = []
    for number, (lists, whole) in enumerate(
        [
            (pa.list_(pa.string()), pa.int32()),
            (pa.large_list(pa.large_string()), pa.int64()),
            (pa.list_(pa.string(), 1), pa.int8()),
        ]
    ):
        objects = pa.struct([("day", pa.timestamp("us")), ("n", whole), ("data", pa.binary())])
        values = pa.array([{"day": day, "n": number, "data": b"x"}], objects)
        names.append(str(tmp_path / f"{number}.parquet"))
        pq.write_table(pa.table({"x": pa.array([["a"]], lists), "y": values}), names[-1])
    found = files.load_file("k", names)
    assert found["x"][:] == [["a"]] * 3
    assert found["y"][:] == [{"day": day, "n": n, "data": b"x"} for n in range(3)]


def test_tables_that_cannot_be_kept(tmp_path: pathlib.Path) -> None:
    def load(*columns: pa.Array, names: Sequence[str] = ("x",)) -> None:
        paths = []
        for number, column in enumerate(columns):
            paths.append(str(tmp_path / f"{number}.parquet"))
            pq.write_table(pa.Table.from_arrays([column] * len(names), list(names)), paths[-1])
        files.load_file("k", paths)

    large, map_type = pa.array([2**63], pa.uint64()), pa.map_(pa.string(), pa.int64())
    load(large)
    with pytest.raises(UserError, match=r"^k: column 'x' holds values of different types"):
        load(large, pa.array([-1]))
    with pytest.raises(UserError, match=r"^k: column 'x' holds map<.*datasets do not support"):
        load(pa.array([[("a", 1)]], map_type))
    with pytest.raises(UserError, match=r"^k: .*0\.parquet' has two columns with the name 'x'"):
        load(large, names=("x", "x"))


def test_half_a_character(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"x": "\ud800"}) + "\n")
    with pytest.raises(UserError, match=r"a\.jsonl': column 'x' .*half of a character"):
        files.load_file("k", str(tmp_path / "a.jsonl"))
