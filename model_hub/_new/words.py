"""The village that the sample data tells of, and how its rows are drawn.

All of it is made up; nothing is taken from a data set.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, Any]
WriteRow = Callable[[random.Random], Row]

PEOPLE = "Agnes Boris Clara Edith Felix Greta Hugo Ida Lars Mabel Nora Otto Petra Wilma".split()
TOWNS = ["Bimbodax", "Dornik", "Galmus", "Kemfix", "Limlagus", "Port Balville", "Upper Delrapia"]
ANIMALS = "goat snail cow donkey duck hen cat horse".split()
DISHES = "soup bread cake porridge cheese pudding".split()
INSTRUMENTS = "flute drum fiddle trumpet harp banjo".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


def different_rows(write: WriteRow, rng: random.Random, count: int) -> list[Row]:
    """Rows of which no two are the same, so that validation shows none that was trained on.

    Args:
        write: makes a row.
        rng: all chance is taken from it.
        count: number of rows.

    Raises:
        ValueError: when ``write`` knows fewer different rows.
    """
    rows: dict[str, Row] = {}
    for _ in range(50 * count):
        row = write(rng)
        rows.setdefault(repr(row), row)
        if len(rows) == count:
            return list(rows.values())
    raise ValueError(f"{write.__name__} made only {len(rows)} different rows of {count}")
