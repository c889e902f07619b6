"""Batches of conversations: padded, or packed into sequences of several."""

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
from model_hub.huggingface.tasks.instruction_tuning.settings import InstructionTuningDataKwargs


class PackedConversations(torch.utils.data.Dataset[dict[str, list[int]]]):
    """Conversations packed into nearly full sequences: less padding, fewer steps.

    Packing is best-fit decreasing and divides no conversation. A sequence has ``position_ids`` that
    restart with each conversation, by which models keep conversations apart.

    Args:
        conversations: columns ``input_ids`` and ``labels``, whose first is -100 in each row.
        length: tokens of a sequence; not less than those of the longest conversation.

    Attributes:
        lengths: tokens of each sequence, int ``[sequences]``.
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
            "position_ids": [position for ids in rows["input_ids"] for position in range(len(ids))],
        }


def pack(sizes: Sequence[int] | np.ndarray, capacity: int) -> list[list[int]]:
    """Pack items into bins by best-fit decreasing: longest first, where the least room is left.

    Args:
        sizes: sizes of the items, none above ``capacity``.
        capacity: capacity of a bin.

    Returns:
        The numbers of the items in each bin, bins in the order of their first item.
    """
    sizes = np.asarray(sizes)
    bins: list[list[int]] = []
    rooms: list[int] = []  # The distinct amounts of room left in bins, sorted.
    bins_with_room: dict[int, list[int]] = {}
    for number in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[number])
        place = bisect.bisect_left(rooms, size)
        if place < len(rooms):
            room = rooms[place]
            chosen = bins_with_room[room].pop()
            if not bins_with_room[room]:
                del bins_with_room[room], rooms[place]
        else:
            room, chosen = capacity, len(bins)
            bins.append([])
        bins[chosen].append(number)
        room -= size
        if room not in bins_with_room:
            bisect.insort(rooms, room)
            bins_with_room[room] = []
        bins_with_room[room].append(chosen)
    return sorted((sorted(members) for members in bins), key=lambda members: members[0])


@dataclasses.dataclass
class ConversationCollator:
    """Makes batches of conversations, or of packed ones (those with ``position_ids``).

    Padding is on the right. Packed batches have no ``attention_mask``: models would use it in place
    of the positions. There, each padding token is a sample of its own.

    Attributes:
        tokenizer: has the padding token.
        length: pad to this length; None pads to the longest row.
        in_one_row: concatenate all packed rows of a batch. Flash attention keeps samples apart by
            their positions only in a batch of one row.
    """

    tokenizer: transformers.PreTrainedTokenizerBase
    length: int | None = None
    in_one_row: bool = False

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return ``input_ids``, ``labels`` and either ``attention_mask`` or ``position_ids``.

        Each is int64 ``[batch, length]``.
        """
        names = ("input_ids", "labels", "position_ids")
        columns = [{name: row[name] for name in names if name in row} for row in rows]
        packed = "position_ids" in columns[0]
        if packed and self.in_one_row:
            columns = [{n: [v for row in columns for v in row[n]] for n in names}]
        elif not packed:
            columns = [{**row, "attention_mask": [1] * len(row["input_ids"])} for row in columns]
        length = None if packed else self.length
        return pad_rows(columns, self.tokenizer, length=length, padding_side="right")


def build_collator(
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: InstructionTuningDataKwargs,
    config: transformers.PretrainedConfig,
    length: int,
) -> ConversationCollator:
    """Return the collator for the settings and the model's attention implementation."""
    attention = str(getattr(config, "_attn_implementation", None) or "")
    return ConversationCollator(
        tokenizer,
        length=length if data_kwargs.pad_to_max_length else None,
        in_one_row="flash" in attention,
    )
