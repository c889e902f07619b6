"""Batches of language modeling: padding, and the tokens to predict."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transformers

from model_hub.huggingface.tasks._common.padding import pad_rows, side_to_pad

#: Column of validation rows with their number, which seeds their masks.
ROW = "row"

# Validation masks are the same in every trial, whatever its seed, so that scores can be compared.
_VALIDATION_SEED = 20


@dataclasses.dataclass
class CausalCollator:
    """Makes batches in which all tokens are labels, for causal language modeling.

    Padding is on the right, where it does not move the positions of tokens.

    Attributes:
        tokenizer: has the padding token; any will do, as the attention mask hides it.
        length: pad to this length; None pads to the longest row.
    """

    tokenizer: transformers.PreTrainedTokenizerBase
    length: int | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return ``input_ids``, ``attention_mask``, ``labels``, each int64 ``[batch, length]``."""
        columns = [_columns(row["input_ids"], row["input_ids"]) for row in rows]
        return pad_rows(columns, self.tokenizer, length=self.length, padding_side="right")


@dataclasses.dataclass
class MaskedCollator:
    """Masks tokens as for BERT, row by row.

    In training the masks come from torch's random generator, which the loader seeds for every
    batch. The masks of rows with the column ``row`` depend only on that number: they are the same
    at every validation, in batches of any size.

    Attributes:
        tokenizer: has the mask token and the padding token.
        mlm_probability: share of the tokens to predict.
        length: pad to this length; None pads to the longest row.
    """

    tokenizer: transformers.PreTrainedTokenizerBase
    mlm_probability: float = 0.15
    length: int | None = None

    def __post_init__(self) -> None:
        self._masks = transformers.DataCollatorForLanguageModeling(
            self.tokenizer, mlm_probability=self.mlm_probability
        )
        self._side = side_to_pad(self.tokenizer)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return ``input_ids``, ``attention_mask``, ``labels``, each int64 ``[batch, length]``."""
        columns = []
        for row in rows:
            ids = torch.tensor(row["input_ids"])[None]
            special = torch.tensor(row["special_tokens_mask"])[None]
            with _seeded_by(row.get(ROW)):
                ids, labels = self._masks.torch_mask_tokens(ids, special)
            columns.append(_columns(ids[0].tolist(), labels[0].tolist()))
        return pad_rows(columns, self.tokenizer, padding_side=self._side, length=self.length)


@dataclasses.dataclass
class PermutationCollator:
    """Draws spans to predict and the order to predict them in, as for XLNet, row by row.

    Random numbers are those of :class:`MaskedCollator`. transformers' collator, which draws the
    spans, needs an even number of tokens; a row with an odd number gets a padding token.

    Attributes:
        tokenizer: has the mask token, the padding token and, by ``side_to_pad``, the padding side.
        plm_probability: length of a span divided by that of its surroundings.
        max_span_length: longest span.
        length: pad to this even length; None pads to the longest row.
    """

    tokenizer: transformers.PreTrainedTokenizerBase
    plm_probability: float = 1 / 6
    max_span_length: int = 5
    length: int | None = None

    def __post_init__(self) -> None:
        self._spans = transformers.DataCollatorForPermutationLanguageModeling(
            self.tokenizer,
            plm_probability=self.plm_probability,
            max_span_length=self.max_span_length,
        )
        self._side = side_to_pad(self.tokenizer)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return the batch of these rows.

        Returns:
            ``input_ids``, ``attention_mask`` and ``labels``, int64 ``[batch, length]``;
            ``perm_mask`` and ``target_mapping``, float32 ``[batch, length, length]``.
        """
        left = self._side == "left"
        columns, masks = [], []
        for row in rows:
            tokens, pad = list(row["input_ids"]), [self.tokenizer.pad_token_id]
            attention = [1] * len(tokens)
            if len(tokens) % 2:
                tokens = pad + tokens if left else tokens + pad
                attention = [0, *attention] if left else [*attention, 0]
            with _seeded_by(row.get(ROW)):
                ids, perm_mask, _, labels = self._spans.torch_mask_tokens(
                    torch.tensor(tokens)[None]
                )
            masks.append(perm_mask[0])
            columns.append(_columns(ids[0].tolist(), labels[0].tolist(), attention))
        batch = pad_rows(columns, self.tokenizer, padding_side=self._side, length=self.length)
        count, longest = batch["input_ids"].shape
        batch["perm_mask"] = torch.zeros(count, longest, longest)
        for target, mask in zip(batch["perm_mask"], masks, strict=True):
            place = slice(longest - len(mask), None) if left else slice(len(mask))
            target[place, place] = mask
        # The n-th prediction is for the n-th token.
        batch["target_mapping"] = torch.eye(longest).repeat(count, 1, 1)
        return batch


def _columns(
    ids: list[int], labels: list[int], attention: list[int] | None = None
) -> dict[str, list[int]]:
    mask = [1] * len(ids) if attention is None else attention
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@contextlib.contextmanager
def _seeded_by(row: int | None) -> Iterator[None]:
    """Seed torch's generator by a row's number, and restore its state; None changes nothing."""
    if row is None:
        yield
        return
    state = torch.get_rng_state()
    (word,) = np.random.SeedSequence((_VALIDATION_SEED, row)).generate_state(1, np.uint64)
    # Not torch.manual_seed, which seeds the generators of all devices.
    torch.default_generator.manual_seed(int(word >> np.uint64(1)))
    try:
        yield
    finally:
        torch.set_rng_state(state)
