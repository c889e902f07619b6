"""Entities in sequences of labels, by the definition of CoNLL's evaluation script, in torch."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from model_hub.huggingface.tasks._common.padding import NO_LABEL

OUTSIDE = "O"

# First letters of labels: Begin, Inside, End, Single.
_POSITIONS = ("B", "I", "E", "S")


def parse_label(label: str) -> tuple[str, str]:
    """Split a label into position and type of the entity.

    Args:
        label: ``O``, or ``B-PER`` and the like (``I``, ``E``, ``S``; the type may have hyphens:
            ``B-creative-work``), a bare ``B``, or anything else.

    Returns:
        Position (``O``, ``B``, ``I``, ``E`` or ``S``) and type; the type of a bare ``B`` is empty.
        A label of another form (``NOUN``) is inside an entity of that type: a run of the same label
        is one entity.
    """
    if label == OUTSIDE:
        return OUTSIDE, ""
    position, _, kind = label.partition("-")
    return (position, kind) if position in _POSITIONS else ("I", label)


class LabelTables:
    """Positions and types of the labels, as tables indexed by the number of the label.

    Args:
        labels: names, in the order of their numbers.

    Attributes:
        types: types of entities, sorted; entities of ``types[i]`` are counted at index ``i``.
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
        """Return the tables on a device, each ``[labels]``, and keep them there.

        Returns:
            Number of the type, -1 for ``O`` (int64); whether the label can continue an entity
            (bool); whether an entity can continue after it (bool).
        """
        if self._tables[0].device != device:
            kinds, continues, open_after = self._tables
            self._tables = kinds.to(device), continues.to(device), open_after.to(device)
        return self._tables


class Entities(NamedTuple):
    """Entities of sequences of labels.

    Attributes:
        starts: whether an entity starts at the token, bool ``[batch, length]``.
        kinds: type of the token's entity, -1 for none, int64 ``[batch, length]``.
        ends: token after the last of an entity that starts here, int64 ``[batch, length]``.
    """

    starts: torch.Tensor
    kinds: torch.Tensor
    ends: torch.Tensor


def count_entities(
    predictions: torch.Tensor, labels: torch.Tensor, tables: LabelTables
) -> Mapping[str, torch.Tensor]:
    """Count tokens and entities, without synchronizing with the device.

    Tokens with the label -100 are not part of the sequence: their neighbours are adjacent. A token
    that is not ``O`` continues the entity before it if that has the same type, its label is ``I``
    or ``E``, and the label before is ``B`` or ``I``; otherwise it starts another one, so that an
    ``I`` at the beginning starts an entity too. That is the rule of ``conlleval``, the script of
    the CoNLL-2000 and CoNLL-2003 tasks, and of seqeval's default mode (Ramshaw and Marcus 1995 for
    the labels). A predicted entity is right if first token, last token and type are.

    Args:
        predictions: numbers of labels, int64 ``[batch, length]``.
        labels: the same; -100 for none.
        tables: positions and types of the labels.

    Returns:
        ``tokens`` and ``right_tokens`` (int64, scalars), ``gold``, ``predicted`` and ``matched``
        (int64, ``[types]``).
    """
    counted = labels != NO_LABEL
    gold = find_entities(labels.where(counted, 0), counted, tables)
    predicted = find_entities(predictions, counted, tables)
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
    """Return the position of the nearest counted token before each token; -1 if there is none."""
    positions = torch.arange(counted.shape[1], device=counted.device).expand(counted.shape)
    so_far = positions.where(counted, -1).cummax(dim=1).values
    return torch.nn.functional.pad(so_far[:, :-1], (1, 0), value=-1)


def find_entities(tags: torch.Tensor, counted: torch.Tensor, tables: LabelTables) -> Entities:
    """Return the entities of sequences of labels; see :func:`count_entities`.

    Args:
        tags: numbers of labels, int64 ``[batch, length]``.
        counted: whether the token is part of the sequence, bool ``[batch, length]``.
        tables: positions and types of the labels.
    """
    previous = _last_counted(counted)
    kind_of, can_continue, open_after = tables.on(tags.device)
    kinds = kind_of[tags].where(counted, -1)
    at = previous.clamp(min=0)
    continues = (
        (kinds >= 0)
        & (previous >= 0)
        & (kinds == kinds.gather(1, at))
        & can_continue[tags]
        & open_after[tags].gather(1, at)
    )
    length = tags.shape[1]
    positions = torch.arange(length, device=tags.device).expand(tags.shape)
    breaks = positions.where(counted & ~continues, length)
    # From the right: the next break at or after each token, then the one after it.
    following = breaks.flip(1).cummin(dim=1).values.flip(1)
    ends = torch.nn.functional.pad(following[:, 1:], (0, 1), value=length)
    return Entities((kinds >= 0) & ~continues, kinds, ends)


def _per_type(chosen: torch.Tensor, kinds: torch.Tensor, types: int) -> torch.Tensor:
    """Count the chosen tokens by type, ``[types]``."""
    # Other tokens are counted in one more place, which is cut off.
    places = kinds.where(chosen, types).flatten()
    counts = torch.zeros(types + 1, dtype=torch.int64, device=kinds.device)
    return counts.scatter_add_(0, places, torch.ones_like(places))[:types]
