"""Division of training rows into rows to train on and rows to validate on."""

import math
from collections.abc import Sequence

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model_hub.errors import UserError

_Indices = npt.NDArray[np.int64]


def split_rows(
    rows: datasets.Dataset,
    percentage: float,
    *,
    seed: int = 0,
    contiguous: bool = False,
    label_column: str | None = None,
    group_column: str | None = None,
) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Divide rows into two datasets, in each of which they keep their order.

    Args:
        rows: the rows.
        percentage: per cent of the rows that become validation rows, rounded up to a whole row.
        seed: seed of the choice, which depends on nothing else.
        contiguous: take the first rows, as for running text, in place of a random choice.
        label_column: column of class labels, which then have the same shares in both datasets. At
            least one row (or group) of each label stays in the first.
        group_column: column whose equal values stay together.

    Returns:
        The rows to train on and those to validate on.

    Raises:
        UserError: when one of them would be empty, or there is no such column.
    """
    count = math.ceil(len(rows) * percentage / 100)
    if count >= len(rows):
        raise UserError(
            f"data.validation_split_percentage: {percentage} % of {len(rows)} rows leaves nothing "
            "to train on; write less, or data.validation_file."
        )
    if contiguous and group_column is None:
        chosen = np.arange(count)
    else:
        units = _groups(rows, group_column)
        labels = _labels(rows, label_column)[[unit[0] for unit in units]]
        chosen = _choose(units, labels, count, np.random.RandomState(seed))
        if len(chosen) == 0 or len(chosen) == len(rows):
            raise UserError(
                f"data.validation_split_percentage: {percentage} % of the {len(units)} groups in "
                f"data.group_column {group_column!r} leaves one of the two splits empty; write "
                "another percentage, or data.validation_file."
            )
    in_validation = np.zeros(len(rows), np.bool_)
    in_validation[chosen] = True
    return rows.select(np.flatnonzero(~in_validation)), rows.select(np.flatnonzero(in_validation))


def _groups(rows: datasets.Dataset, column: str | None) -> list[_Indices]:
    """Return the indices of the rows of each group; every row is one without a column."""
    if column is None:
        return list(np.arange(len(rows))[:, None])
    if column not in rows.column_names:
        raise UserError(
            f"data.group_column is {column!r}, but the columns are {', '.join(rows.column_names)}."
        )
    codes = _codes(rows, column)
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def _labels(rows: datasets.Dataset, column: str | None) -> npt.NDArray[np.int64]:
    """Return a number for the label of each row; 0 for all if the column has no classes."""
    none = np.zeros(len(rows), np.int64)
    if column is None or column not in rows.column_names:
        return none
    codes = _codes(rows, column)
    # A column with hardly any value twice has numbers to predict, or texts.
    return codes if codes.max() < len(rows) / 2 else none


def _codes(rows: datasets.Dataset, column: str) -> npt.NDArray[np.int64]:
    """Return a number for each value of a column, the same for equal values."""
    values = rows.with_format("arrow", columns=[column])[:].column(column)
    if pa.types.is_nested(values.type) or isinstance(values.type, pa.BaseExtensionType):
        values = pa.chunked_array([[str(value) for value in values.to_pylist()]])
    encoded = values.combine_chunks().dictionary_encode(null_encoding="encode")
    codes: npt.NDArray[np.int64] = encoded.indices.to_numpy().astype(np.int64)
    return codes


def _choose(
    units: Sequence[_Indices],
    labels: npt.NDArray[np.int64],
    count: int,
    random: np.random.RandomState,
) -> _Indices:
    """Return the rows of units that are chosen so that each label has its share of ``count`` rows.

    Args:
        units: rows that stay together.
        labels: the label of each unit.
        count: number of rows; groups may make it a few more or fewer.
        random: the source of the choice.
    """
    sizes = np.array([len(unit) for unit in units])
    order = random.permutation(len(units))
    totals = np.bincount(labels, sizes)
    shares = totals * (count / sizes.sum())
    wanted = np.floor(shares).astype(np.int64)
    # The labels with the largest remainders get one row more, in random order if they are equal.
    ties = random.permutation(len(wanted))
    remainders = sorted(ties, key=lambda label: wanted[label] - shares[label])
    wanted[remainders[: count - wanted.sum()]] += 1
    left = np.bincount(labels)
    chosen = []
    for unit in order:
        label = labels[unit]
        # The last unit of a label stays, so that the label can be learned.
        if left[label] > 1 and sizes[unit] <= wanted[label]:
            wanted[label] -= sizes[unit]
            left[label] -= 1
            chosen.append(units[unit])
    return np.concatenate(chosen) if chosen else np.empty(0, np.int64)
