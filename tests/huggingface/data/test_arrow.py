"""Tables are the same as those of ``Dataset.map``, or are left to it."""

from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest

from model_hub.huggingface.data import arrow

TOKENS = [[5, 70_000], [], [1]]
MASKS = [[1, 0], [], [1]]


def by_map(columns: dict[str, Any]) -> datasets.Dataset:
    rows = datasets.Dataset.from_dict({"row": list(range(3))})
    return rows.map(lambda _: columns, batched=True, remove_columns=["row"])


@pytest.mark.parametrize(
    "columns",
    [
        {"input_ids": TOKENS, "attention_mask": MASKS, "token_type_ids": MASKS},
        {"labels": [[-100, 2**40], [], [3]], "special_tokens_mask": MASKS},
        {"input_ids": [[[1, 2], []], [[3]], [[4], [5]]], "labels": [0, 1, 0]},
        {"input_ids": [[], [], [7]], "labels": [[], [], [-100]]},
        {"labels": [0.5, 1.0, -2.0], "text": ["a", "", "ö"], "flag": [True, False, True]},
        {"labels": [[0.5], [], [1]], "words": [["a"], [], ["b", "c"]]},
        {"labels": [[True], [], [False, True]], "position": [1, None, 3]},
        {"input_ids": [None, [1], [2]], "name": [None, "x", "y"]},
    ],
)
def test_as_dataset_map(columns: dict[str, Any]) -> None:
    table = arrow.as_table(columns)
    expected = by_map(columns)
    assert isinstance(table, pa.Table)
    assert table.schema == expected.features.arrow_schema.remove_metadata()
    assert table.to_pydict() == columns == expected[:]


def test_offsets_have_32_bits() -> None:
    offsets = [[(0, 3), (4, 9)], [], [(0, 1)]]
    table = arrow.as_table({"offset_mapping": offsets})
    assert table.schema.field(0).type == pa.list_(pa.list_(pa.int32()))
    assert table.column(0).to_pylist() == [[[0, 3], [4, 9]], [], [[0, 1]]]


def test_tokens_of_blank_rows_alone_keep_their_type() -> None:
    """A first batch of blank rows must not make the type of all tokens null."""
    table = arrow.as_table({"input_ids": [[], []]})
    assert table.schema.field(0).type == pa.list_(pa.int32())


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"input_ids": []},
        {"input_ids": [[1]], "extra": [{"a": 1}]},
        {"input_ids": [[1]], "extra": [np.zeros((2, 2))]},
        {"input_ids": [[1], ["a"]]},
        {"attention_mask": [[1], [300]]},
        {"input_ids": np.zeros((2, 2), np.int64)},
        {"extra": [[], []]},
        {"input_ids": [[1]], "row": [1]},
    ],
)
def test_the_rest_is_left_alone(columns: dict[str, Any]) -> None:
    assert arrow.as_table(columns, ["row"]) is columns
