"""Checks of all labels in local files: are there several, and are those of validation known?"""

from collections.abc import Iterator, Mapping
from typing import Any

import datasets
import pyarrow as pa

from model_hub.errors import UserError
from model_hub.experiment.findings import ERROR, WARNING, Finding
from model_hub.experiment.yaml_io import in_yaml
from model_hub.huggingface.data import preview
from model_hub.huggingface.tasks import TASKS

Config = Mapping[str, Any]
# Values of a column, each with its first row (from 1).
Values = dict[Any, int]


def label_findings(config: Config, splits: Mapping[str, datasets.Dataset]) -> Iterator[Finding]:
    """Yield what is wrong with the labels of a classification.

    With ``hyperparameters.finetuning_task`` the labels are those of the task, and need not all be
    in the training data.

    Args:
        config: the YAML's value; the sections are mappings.
        splits: the first rows of the splits that are local files.
    """
    hparams, data = config["hyperparameters"], config["data"]
    task = hparams.get("finetuning_task")
    label_columns = {info.model_mode: info.label_column for info in TASKS}
    label_column = label_columns.get(str(hparams.get("model_mode")))
    if label_column is None:
        return
    column = label_column(task)
    whole = column == "label" and not task
    found: dict[str, Values] = {}
    for split in ("train", "validation"):
        key = f"{split}_file"
        rows = splits.get(split)
        if not data.get(key) or rows is None or column not in rows.column_names:
            continue
        if not _is_label(rows, column) and not _is_number(rows, column):
            continue
        try:
            values = preview.read_column(f"data.{key}", data[key], column)
        except UserError as error:
            yield Finding(("data", key), str(error).rstrip("."))
            continue
        if values is None:
            continue
        empty = [row for value, row in values.items() if value in (None, "")]
        if empty and column == "label":
            yield Finding(
                ("data", key),
                f"data.{key} {data[key]!r}: row {empty[0]} has no label; write one, or remove the "
                "row",
            )
        if _is_label(rows, column):
            found[split] = {v: row for v, row in values.items() if v not in (None, "")}
    severity = ERROR if whole else WARNING
    if len(found.get("train", {})) == 1:
        (label,) = found["train"]
        yield Finding(
            ("data", "train_file"),
            f"data.train_file {data['train_file']!r}: every row has the label {in_yaml(label)} in "
            f"column {column!r}, so there is nothing to classify",
            severity,
        )
    elif len(found) == 2 and (whole or column != "label"):
        yield from _unknown(found, data, severity)


def _is_number(rows: datasets.Dataset, column: str) -> bool:
    """Return whether the column has numbers: values to predict, or labels of a csv with a gap."""
    return bool(pa.types.is_floating(rows.features.arrow_schema.field(column).type))


def _is_label(rows: datasets.Dataset, column: str) -> bool:
    """Return whether the column has labels, not numbers to predict."""
    kind = rows.features.arrow_schema.field(column).type
    kind = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_boolean)
    return any(is_kind(kind) for is_kind in kinds)


def _unknown(found: Mapping[str, Values], data: Config, severity: str) -> Iterator[Finding]:
    new = [value for value in found["validation"] if value not in found["train"]]
    if new:
        shown = ", ".join(map(in_yaml, new[:5])) + (", ..." if len(new) > 5 else "")
        yield Finding(
            ("data", "validation_file"),
            f"data.validation_file {data['validation_file']!r}: training does not have the label"
            f"{'s' if len(new) > 1 else ''} {shown} (first in row {found['validation'][new[0]]})",
            severity,
        )
