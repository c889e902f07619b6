"""Batches of language modeling: padding, and the tokens that are to be predicted."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transformers

from model_hub.huggingface.tasks._common.padding import pad_rows, side_to_pad

#: Column of validation rows: their number, which their masks follow from.
ROW = "row"

# Validation masks are the same in every trial, whatever its seed, so that scores can be compared.
_VALIDATION_SEED = 20


@dataclasses.dataclass
class CausalCollator:
    """Makes a batch whose tokens are all labels: the model is to predict each from those before.

    Padding stands on the right, where it cannot move the positions of tokens.

    Attributes:
        tokenizer: tells the padding token; any will do, as the attention mask hides it.
        length: pad to this length; None pads to the longest row.
    """

    tokenizer: transformers.PreTrainedTokenizerBase
    length: int | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """``input_ids``, ``attention_mask``, ``labels``, each int64 ``[batch, length]``."""
        columns = [
            {
                "input_ids": row["input_ids"],
                "attention_mask": [1] * len(row["input_ids"]),
                "labels": row["input_ids"],
            }
            for row in rows
        ]
        return pad_rows(columns, self.tokenizer, length=self.length, padding_side="right")


@dataclasses.dataclass
class MaskedCollator:
    """Masks tokens as for BERT, each row by itself.

    In training the masks come from torch's random generator, which the loader seeds anew for every
    batch. Rows with the column ``row`` are masked by that number alone: the same at every
    validation, in a batch of any size.

    Attributes:
        tokenizer: tells the tokens of mask and padding.
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
        """``input_ids``, ``attention_mask``, ``labels``, each int64 ``[batch, length]``."""
        columns = []
        for row in rows:
            ids = torch.tensor(row["input_ids"])[None]
            special = torch.tensor(row["special_tokens_mask"])[None]
            with _random_of(row.get(ROW)):
                ids, labels = self._masks.torch_mask_tokens(ids, special)
            columns.append(
                {
                    "input_ids": ids[0].tolist(),
                    "attention_mask": [1] * ids.shape[1],
                    "labels": labels[0].tolist(),
                }
            )
        return pad_rows(columns, self.tokenizer, padding_side=self._side, length=self.length)


@dataclasses.dataclass
class PermutationCollator:
    """Draws spans to predict and an order to predict them in, as for XLNet, each row by itself.

    Random numbers come from where :class:`MaskedCollator` has them. transformers' collator, which
    does the drawing, wants an even number of tokens; a row with an odd number gets one of padding.

    Attributes:
        tokenizer: tells the tokens of mask and padding and, by ``side_to_pad``, the side of
            padding.
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
        """The batch.

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
            with _random_of(row.get(ROW)):
                ids, perm_mask, _, labels = self._spans.torch_mask_tokens(
                    torch.tensor(tokens)[None]
                )
            masks.append(perm_mask[0])
            columns.append(
                {
                    "input_ids": ids[0].tolist(),
                    "attention_mask": attention,
                    "labels": labels[0].tolist(),
                }
            )
        batch = pad_rows(columns, self.tokenizer, padding_side=self._side, length=self.length)
        count, longest = batch["input_ids"].shape
        batch["perm_mask"] = torch.zeros(count, longest, longest)
        for target, mask in zip(batch["perm_mask"], masks, strict=True):
            place = slice(longest - len(mask), None) if left else slice(len(mask))
            target[place, place] = mask
        # The n-th prediction is that of the n-th token.
        batch["target_mapping"] = torch.eye(longest).repeat(count, 1, 1)
        return batch


@contextlib.contextmanager
def _random_of(row: int | None) -> Iterator[None]:
    """Lets torch draw what belongs to a row, and leaves its generator as it was; None as it is."""
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
