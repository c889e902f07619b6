"""Entities in sequences of labels, by the definition of their tagging scheme, in torch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch

from model_hub.huggingface.tasks._common.padding import NO_LABEL
from model_hub.huggingface.tasks.token_classification.schemes import (
    CONLL,
    OUTSIDE,
    TagScheme,
    find_scheme,
    split_labels,
)


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
    return _parse_labels([label], CONLL)[0]


def _parse_labels(labels: Sequence[str], scheme: TagScheme) -> list[tuple[str, str]]:
    """Return position and type of each label, as :func:`parse_label`."""
    known = scheme.positions + OUTSIDE
    return [
        (position, kind) if position and position in known else ("I", label)
        for (position, kind), label in zip(split_labels(labels), labels, strict=True)
    ]


class LabelTables:
    """What the labels mean in their tagging scheme, as tables indexed by the labels' numbers.

    Args:
        labels: names, in the order of their numbers.
        tag_scheme: ``data.tag_scheme``; None finds the scheme by the labels.

    Attributes:
        types: types of entities, sorted; entities of ``types[i]`` are counted at index ``i``.
        outside: number that stands for no label, as before the first one of a sequence.

    Raises:
        UserError: when the labels are not of the scheme.
    """

    def __init__(self, labels: Sequence[str], tag_scheme: str | None = None) -> None:
        scheme = find_scheme(labels, tag_scheme)
        self.outside = len(labels)
        parsed = [*_parse_labels(labels, scheme), (OUTSIDE, "")]
        self.types = sorted({kind for position, kind in parsed if position != OUTSIDE})
        number = {kind: n for n, kind in enumerate(self.types)}
        kinds = torch.tensor([-1 if p == OUTSIDE else number[kind] for p, kind in parsed])
        same = kinds[:, None] == kinds[None, :]

        def pairs(patterns: Iterable[tuple[str, str, bool | None]]) -> torch.Tensor:
            """Return for each label and the next one whether a pattern has them."""
            found = torch.zeros(len(parsed), len(parsed), dtype=torch.bool)
            for before, after, alike in patterns:
                fits = same if alike else torch.ones_like(same) if alike is None else ~same
                first, second = (
                    torch.tensor([position in letters for position, _ in parsed])
                    for letters in (before, after)
                )
                found |= first[:, None] & second[None, :] & fits
            return found

        self._tables: tuple[torch.Tensor, ...] = (
            kinds,
            *(pairs(patterns) for patterns in (scheme.start, scheme.inside, scheme.end)),
        )

    def on(self, device: torch.device) -> tuple[torch.Tensor, ...]:
        """Return the tables on a device, and keep them there.

        Returns:
            Number of the type by label, -1 for ``O``, int64 ``[labels + 1]``; and for a label and
            the next one whether an entity can start with the second, continues with it, and can end
            with the first, each bool ``[labels + 1, labels + 1]``.
        """
        if self._tables[0].device != device:
            self._tables = tuple(table.to(device) for table in self._tables)
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

    Tokens with the label -100 are not part of the sequence: their neighbours are adjacent. Entities
    are those of the labels' tagging scheme. For IOB, IOE and IOBES, unless ``data.tag_scheme``
    names one, that is the rule of ``conlleval``, the script of the CoNLL-2000 and CoNLL-2003 tasks,
    and of seqeval's default mode (Ramshaw and Marcus 1995 for the labels): a token that is not
    ``O`` continues the entity before it if that has the same type, its label is ``I`` or ``E``, and
    the label before is ``B`` or ``I``; otherwise it starts another one, so that an ``I`` at the
    beginning starts an entity too. Other schemes are those of seqeval's strict mode, in which a
    part of an entity is none. A predicted entity is right if first token, last token and type are.

    Args:
        predictions: numbers of labels, int64 ``[batch, length]``.
        labels: the same; -100 for none.
        tables: what the labels mean.

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


def find_entities(tags: torch.Tensor, counted: torch.Tensor, tables: LabelTables) -> Entities:
    """Return the entities of sequences of labels; see :func:`count_entities`.

    Args:
        tags: numbers of labels, int64 ``[batch, length]``.
        counted: whether the token is part of the sequence, bool ``[batch, length]``.
        tables: what the labels mean.
    """
    kind_of, can_start, is_inside, can_end = tables.on(tags.device)
    batch, length = tags.shape
    # With one more token, at which the last entity ends.
    labels = torch.nn.functional.pad(
        tags.where(counted, tables.outside), (0, 1), value=tables.outside
    )
    counted = torch.nn.functional.pad(counted, (0, 1), value=True)
    positions = torch.arange(length + 1, device=tags.device).expand(batch, length + 1)

    def last(flags: torch.Tensor) -> torch.Tensor:
        """Return the position of the last flag up to each token; -1 if there is none."""
        return positions.where(flags, -1).cummax(dim=1).values

    previous = torch.nn.functional.pad(last(counted)[:, :-1], (1, 0), value=-1)
    at = previous.clamp(min=0)
    before = labels.gather(1, at).where(previous >= 0, tables.outside)
    starts = can_start[before, labels] & counted
    inside = is_inside[before, labels] & counted
    # An entity is open if one could start at the last token that was not inside of one, or later.
    is_open = last(starts) >= last(counted & ~inside).clamp(min=0)
    continues = inside & is_open.gather(1, at)
    breaks = positions.where(counted & ~continues, length)
    # From the right: the next break at or after each token, then the one after it.
    following = breaks.flip(1).cummin(dim=1).values.flip(1)
    ends = torch.nn.functional.pad(following[:, 1:], (0, 1), value=length)
    complete = can_end[before, labels].gather(1, ends)
    kinds = kind_of[labels]
    return Entities(
        (starts & ~continues & complete)[:, :-1], kinds[:, :-1].contiguous(), ends[:, :-1]
    )


def _per_type(chosen: torch.Tensor, kinds: torch.Tensor, types: int) -> torch.Tensor:
    """Count the chosen tokens by type, ``[types]``."""
    # Other tokens are counted in one more place, which is cut off.
    places = kinds.where(chosen, types).flatten()
    counts = torch.zeros(types + 1, dtype=torch.int64, device=kinds.device)
    return counts.scatter_add_(0, places, torch.ones_like(places))[:types]
