"""Rows dealt into batches and slots in all ways: a metric must not depend on it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st


@st.composite
def dealings(draw: st.DrawFn, rows: int, most_slots: int = 3) -> list[list[list[int]]]:
    """Slots of batches of row numbers: every row once, any order, also slots with nothing."""
    order = draw(st.permutations(range(rows)))
    slots: list[list[list[int]]] = [[] for _ in range(draw(st.integers(1, most_slots)))]
    while order:
        size = draw(st.integers(1, len(order)))
        slots[draw(st.integers(0, len(slots) - 1))].append(order[:size])
        order = order[size:]
    return slots


def reduced(
    make_reducer: Callable[[], Any],
    update: Callable[[Any, list[int]], None],
    slots: Sequence[Sequence[list[int]]],
) -> dict[str, float]:
    """Metrics of these rows as Determined computes them, a reducer for each slot.

    Args:
        make_reducer: a new reducer.
        update: gives the reducer the batch of these rows.
        slots: as :func:`dealings` makes them.
    """
    reducers = []
    for batches in slots:
        reducer = make_reducer()
        # What came before a reset does not count.
        if batches:
            update(reducer, batches[0])
        reducer.reset()
        for rows in batches:
            update(reducer, rows)
        reducers.append(reducer)
    return reducers[0].cross_slot_reduce([each.per_slot_reduce() for each in reducers])


def same(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether two results are the same to the last bit, NaN included."""
    return one.keys() == other.keys() and all(
        value == other[name] or (math.isnan(value) and math.isnan(other[name]))
        for name, value in one.items()
    )
