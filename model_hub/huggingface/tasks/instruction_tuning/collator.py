"""Batches of conversations: padded, or several in one sequence that do not see each other."""

import bisect
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow.compute as pc
import torch
import transformers

from model_hub.huggingface.tasks._common.padding import pad_rows


class PackedConversations(torch.utils.data.Dataset[dict[str, list[int]]]):
    """Conversations, put together so that sequences are nearly full: less padding, fewer steps.

    Each conversation goes, longest first, where it leaves the least room (best-fit decreasing);
    none is divided. A sequence has ``position_ids`` that begin anew with each conversation, by
    which models keep them apart.

    Args:
        conversations: columns ``input_ids`` and ``labels``, whose first is -100 in each row.
        length: tokens of a sequence; not less than those of the longest conversation.

    Attributes:
        lengths: int ``[sequences]``, tokens of each.
    """

    def __init__(self, conversations: datasets.Dataset, length: int) -> None:
        self._conversations = conversations
        column = conversations.with_format("arrow", columns=["input_ids"])[:].column(0)
        sizes = pc.list_value_length(column).to_numpy().astype(np.int64)
        self._members = pack(sizes, length)
        self.lengths = np.array([sizes[rows].sum() for rows in self._members], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        rows = self._conversations[self._members[number]]
        return {
            "input_ids": [token for ids in rows["input_ids"] for token in ids],
            "labels": [label for labels in rows["labels"] for label in labels],
            "position_ids": [place for ids in rows["input_ids"] for place in range(len(ids))],
        }


def pack(sizes: Sequence[int] | np.ndarray, capacity: int) -> list[list[int]]:
    """Puts things into as few bins as best-fit decreasing finds.

    Args:
        sizes: of the things, none above ``capacity``.
        capacity: of a bin.

    Returns:
        By bin the numbers of the things, each once, in the order of the first of them.
    """
    sizes = np.asarray(sizes)
    bins: list[list[int]] = []
    room: list[int] = []  # The different amounts that bins have left, sorted.
    with_room: dict[int, list[int]] = {}
    for number in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[number])
        place = bisect.bisect_left(room, size)
        if place < len(room):
            left = room[place]
            chosen = with_room[left].pop()
            if not with_room[left]:
                del with_room[left], room[place]
        else:
            left, chosen = capacity, len(bins)
            bins.append([])
        bins[chosen].append(number)
        left -= size
        if left not in with_room:
            bisect.insort(room, left)
            with_room[left] = []
        with_room[left].append(chosen)
    return sorted((sorted(members) for members in bins), key=lambda members: members[0])


@dataclasses.dataclass
class ConversationCollator:
    """Makes a batch of conversations, or of packed ones (those with ``position_ids``).

    Padding stands on the right. Packed batches have no ``attention_mask``: models would take it as
    the whole truth, where positions tell more. Each token of padding is a sample of its own there.

    Attributes:
        tokenizer: tells the padding token.
        length: pad to this length; None pads to the longest row.
        in_one_row: string all packed rows of a batch together. Flash attention tells samples apart
            by their positions only in a batch of one row.
    """

    tokenizer: transformers.PreTrainedTokenizerBase
    length: int | None = None
    in_one_row: bool = False

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """``input_ids``, ``labels`` and one of ``attention_mask`` and ``position_ids``.

        Each is int64 ``[batch, length]``.
        """
        names = ("input_ids", "labels", "position_ids")
        columns = [{name: row[name] for name in names if name in row} for row in rows]
        packed = "position_ids" in columns[0]
        if packed and self.in_one_row:
            columns = [{n: [v for row in columns for v in row[n]] for n in names}]
        elif not packed:
            columns = [{**row, "attention_mask": [1] * len(row["input_ids"])} for row in columns]
        return pad_rows(
            columns,
            self.tokenizer,
            length=None if packed else self.length,
            padding_side="right",
        )
