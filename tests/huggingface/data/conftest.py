"""A file of training data."""

import pathlib

import datasets
import pytest


@pytest.fixture
def train_file(tmp_path: pathlib.Path) -> str:
    """A csv file of 40 rows: "row 0" with the label 0, and so on."""
    rows = {"text": [f"row {number}" for number in range(40)], "label": list(range(40))}
    datasets.Dataset.from_dict(rows).to_csv(tmp_path / "train.csv")
    return str(tmp_path / "train.csv")
