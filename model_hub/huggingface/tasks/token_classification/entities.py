"""Entities in sequences of labels, by the definition of CoNLL's evaluation script, in torch."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from model_hub.huggingface.tasks._common.padding import NO_LABEL

OUTSIDE = "O"

# First letters of labels: Begin, Inside, End, Single.
_POSITIONS = ("B", "I", "E", "S")


def parse_label(label: str) -> tuple[str, str]:
    """What a label says.

    Args:
        label: ``O``, or ``B-PER`` and the like (``I``, ``E``, ``S``; the type may itself have
            hyphens: ``B-creative-work``), a bare ``B``, or anything else.

    Returns:
        Position (``O``, ``B``, ``I``, ``E`` or ``S``) and type of the entity; the type of a bare
        ``B`` is empty. A label of another form (``NOUN``) is inside of an entity of that type: a
        run of the same label is one entity.
    """
    if label == OUTSIDE:
        return OUTSIDE, ""
    position, _, kind = label.partition("-")
    return (position, kind) if position in _POSITIONS else ("I", label)


class LabelTables:
    """What the labels say, as tables to be looked up by the number of the label.

    Args:
        labels: names, in the order of their numbers.

    Attributes:
        types: types of entities, sorted; the entities of ``types[i]`` are counted at ``i``.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        parsed = [parse_label(label) for label in labels]
        self.types = sorted({kind for position, kind in parsed if position != OUTSIDE})
        number = {kind: n for n, kind in enumerate(self.types)}
        self._tables = (
            torch.tensor([-1 if p == OUTSIDE else number[kind] for p, kind in parsed]),
            torch.tensor([p in ("I", "E") for p, _ in parsed]),
            torch.tensor([p in ("B", "I") for p, _ in parsed]),
        )

    def on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The tables on a device, each ``[labels]``; they stay there.

        Returns:
            Number of the type, -1 for ``O`` (int64); whether the label can go on with an entity
            (bool); whether an entity can go on after it (bool).
        """
        if self._tables[0].device != device:
            kinds, goes_on, open_after = self._tables
            self._tables = kinds.to(device), goes_on.to(device), open_after.to(device)
        return self._tables


class _Entities(NamedTuple):
    """Entities of one sequence of labels a row; each ``[batch, length]``."""

    starts: torch.Tensor  # bool: an entity starts here.
    kinds: torch.Tensor  # int64: type of the entity that this token belongs to; -1 is none.
    ends: torch.Tensor  # int64: the token after the last of an entity that starts here.


def count_entities(
    predictions: torch.Tensor, labels: torch.Tensor, tables: LabelTables
) -> Mapping[str, torch.Tensor]:
    """Counts tokens and entities, without waiting for the device.

    Tokens whose label is -100 are no part of the sequence: their neighbours stand side by side.
    A token that is not ``O`` goes on with the entity before it if that has the same type, its own
    label is ``I`` or ``E``, and the label before is ``B`` or ``I``; else it starts another one. So
    an ``I`` at the beginning starts an entity too. That is the rule of ``conlleval``, the script of
    the CoNLL-2000 and CoNLL-2003 tasks, and of seqeval's default mode (Ramshaw and Marcus 1995 for
    the labels). A predicted entity is right if first token, last token and type are.

    Args:
        predictions: numbers of labels, int64 ``[batch, length]``.
        labels: the same; -100 where there is none.
        tables: what the numbers stand for.

    Returns:
        ``tokens`` and ``right_tokens`` (int64, scalars), ``gold``, ``predicted`` and ``matched``
        (int64, ``[types]``).
    """
    counted = labels != NO_LABEL
    previous = _last_counted(counted)
    gold = _entities(labels.where(counted, 0), counted, previous, tables)
    predicted = _entities(predictions, counted, previous, tables)
    same_span = (gold.ends == predicted.ends) & (gold.kinds == predicted.kinds)
    matched = gold.starts & predicted.starts & same_span
    types = len(tables.types)
    return {
        "tokens": counted.sum(),
        "right_tokens": (counted & (predictions == labels)).sum(),
        "gold": _per_type(gold.starts, gold.kinds, types),
        "predicted": _per_type(predicted.starts, predicted.kinds, types),
        "matched": _per_type(matched, gold.kinds, types),
    }


def _last_counted(counted: torch.Tensor) -> torch.Tensor:
    """Position of the nearest counted token before each token; -1 if there is none."""
    positions = torch.arange(counted.shape[1], device=counted.device).expand(counted.shape)
    so_far = positions.where(counted, -1).cummax(dim=1).values
    return torch.nn.functional.pad(so_far[:, :-1], (1, 0), value=-1)


def _entities(
    tags: torch.Tensor, counted: torch.Tensor, previous: torch.Tensor, tables: LabelTables
) -> _Entities:
    kind_of, goes_on, open_after = tables.on(tags.device)
    kinds = kind_of[tags].where(counted, -1)
    at = previous.clamp(min=0)
    continues = (
        (kinds >= 0)
        & (previous >= 0)
        & (kinds == kinds.gather(1, at))
        & goes_on[tags]
        & open_after[tags].gather(1, at)
    )
    length = tags.shape[1]
    positions = torch.arange(length, device=tags.device).expand(tags.shape)
    breaks = positions.where(counted & ~continues, length)
    # From the right: the next break at or after each token; then the one after it.
    following = breaks.flip(1).cummin(dim=1).values.flip(1)
    ends = torch.nn.functional.pad(following[:, 1:], (0, 1), value=length)
    return _Entities((kinds >= 0) & ~continues, kinds, ends)


def _per_type(chosen: torch.Tensor, kinds: torch.Tensor, types: int) -> torch.Tensor:
    """How many of the chosen tokens have each type, ``[types]``."""
    # What is not chosen falls into one more place, which is cut off.
    places = kinds.where(chosen, types).flatten()
    counts = torch.zeros(types + 1, dtype=torch.int64, device=kinds.device)
    return counts.scatter_add_(0, places, torch.ones_like(places))[:types]
