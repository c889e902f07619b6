"""Rows whose lists or objects do not fit to their column are named."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.tasks import multiple_choice as mc
from model_hub.huggingface.tasks import text_classification as tc
from model_hub.huggingface.tasks import token_classification as ner

NESTED, NO_LIST = "a list or an object in column", "no list in column"


def classify(data: dict[str, Any]) -> None:
    tc.find_task(tc.load_glue(data, None), None)


def tag(data: dict[str, Any]) -> None:
    (kwargs,) = hf.parse_dict_to_dataclasses((ner.TokenClassificationDataKwargs,), data)
    ner.read_tagging(ner.load_rows(data), kwargs)


def choose(data: dict[str, Any]) -> None:
    for name, rows in mc.load_rows(data).items():
        mc.check_rows(rows, f"split {name!r}")


@pytest.mark.parametrize(
    ("run", "row", "column", "value", "message"),
    [
        (classify, {"text": "a", "label": "x"}, "label", ["x"], f"{NESTED} label"),
        (classify, {"text": "a", "label": 1}, "label", {"x": 1}, f"{NESTED} label"),
        (tag, {"tokens": ["a"], "ner_tags": ["O"]}, "tokens", "a b", f"{NO_LIST} tokens"),
        (tag, {"tokens": ["a"], "ner_tags": ["O"]}, "ner_tags", {"O": 1}, f"{NO_LIST} ner_tags"),
        (
            choose,
            {"sent1": "a", "ending0": "b", "ending1": "c", "label": 0},
            "label",
            [0],
            f"{NESTED} label",
        ),
    ],
)
@pytest.mark.parametrize("where", ["train", "validation"])
def test_rows_are_named(
    where: str,
    run: Callable[[dict[str, Any]], None],
    row: dict[str, Any],
    column: str,
    value: Any,
    message: str,
    tmp_path: pathlib.Path,
) -> None:
    data = {}
    for split in ("train", "validation"):
        rows = [row, {**row, column: value}, row] if split == where else [row, row]
        (tmp_path / f"{split}.json").write_text(json.dumps(rows))
        data[f"{split}_file"] = str(tmp_path / f"{split}.json")
    with pytest.raises(UserError) as caught:
        run(data)
    found = str(caught.value).splitlines()
    if run is not choose or where == "train":
        assert f"split {where!r}: {message} in 1 row (row 2). Correct them." in found
    assert "extension" not in str(caught.value)
