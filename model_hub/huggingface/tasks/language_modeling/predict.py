"""Predictions of language models: text that goes on, an assistant's answer, tokens for masks."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import torch

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.padding import pad_rows
from model_hub.huggingface.tasks._common.predictor import (
    InferenceSetup,
    Predictor,
    Rows,
    map_by_length,
    model_inputs,
)
from model_hub.huggingface.tasks._common.tokenization import sequence_length
from model_hub.huggingface.tasks.language_modeling.features import text_column, tokenize_texts

logger = logging.getLogger("model_hub")

_NEW_TOKENS = 64
_CANDIDATES = 5
# Tasks and tokenizers write a mask in different ways; this one is understood for all.
_MASK = "[MASK]"
_ROWS_AT_A_TIME = 1000


class TextGenerationPredictor(Predictor):
    """Text that goes on with a row's text, the likeliest token at each step."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {"generated_text": pa.string()}

    def __init__(self, asked: InferenceSetup) -> None:
        super().__init__(asked)
        self._new_tokens = asked.max_new_tokens or _NEW_TOKENS
        # All that the model takes; data.max_seq_length is the length of the training's blocks.
        longest = sequence_length(None, asked.tokenizer, asked.model.config, default=1_000_000)
        self._longest_prompt = longest - self._new_tokens
        if self._longest_prompt < 1:
            raise UserError(
                f"--max-new-tokens is {self._new_tokens}, but text and answer together have at "
                f"most {longest} tokens. Write less."
            )
        self._column = ""
        self._cut = 0

    def check(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Text is in the column of the training, in ``text``, or else in the first one."""
        wanted = self.asked.data.get("text_column")
        self._column = text_column(rows, source, wanted if wanted in rows.column_names else None)
        return rows

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """``generated_text``, without the text that it goes on with."""
        prompts = []
        for prompt in self._prompts(rows):
            self._cut += len(prompt) > self._longest_prompt
            prompts.append(prompt[-self._longest_prompt :])
        texts = map_by_length(
            prompts, [len(prompt) for prompt in prompts], self.asked.batch_size, self._generated
        )
        return [{"generated_text": text} for text in texts]

    def finish(self) -> str | None:
        """How many texts were cut."""
        if not self._cut:
            return None
        return f"of {self._cut} texts only the last {self._longest_prompt} tokens were taken."

    def _prompts(self, rows: Rows) -> list[list[int]]:
        tokenizer = self.asked.tokenizer
        encoded = tokenize_texts(
            {"text": rows[self._column]},
            tokenizer=tokenizer,
            column="text",
            end_with_eos=False,
            with_special_tokens_mask=False,
        )
        # What some tokenizers put at the end says that the text is over.
        ends = {tokenizer.eos_token_id, tokenizer.sep_token_id, tokenizer.cls_token_id}
        # Something has to stand before the first token.
        begin = tokenizer.bos_token_id
        begin = tokenizer.eos_token_id if begin is None else begin
        nothing = [0 if begin is None else begin]
        prompts = []
        for ids in map(list, encoded["input_ids"]):
            while ids and ids[-1] in ends:
                ids.pop()
            prompts.append(ids or nothing)
        return prompts

    def _generated(self, prompts: list[list[int]]) -> list[str]:
        rows = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in prompts]
        # On the left, so that the new tokens follow the text.
        batch = self.asked.to_device(pad_rows(rows, self.asked.tokenizer, padding_side="left"))
        tokenizer = self.asked.tokenizer
        padding = tokenizer.pad_token_id
        beams = {} if self.asked.num_beams is None else {"num_beams": self.asked.num_beams}
        tokens = self.asked.model.generate(
            **batch,
            max_new_tokens=self._new_tokens,
            do_sample=False,
            pad_token_id=tokenizer.eos_token_id if padding is None else padding,
            **beams,
        )
        new = tokens[:, batch["input_ids"].shape[1] :]
        return list(tokenizer.batch_decode(new, skip_special_tokens=True))


class FillMaskPredictor(Predictor):
    """The likeliest tokens for each mask in a text, with their probabilities."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "text": pa.string(),
        "masks": pa.list_(pa.list_(pa.struct([("token", pa.string()), ("score", pa.float64())]))),
    }

    def __init__(self, asked: InferenceSetup) -> None:
        super().__init__(asked)
        if asked.tokenizer.mask_token_id is None:
            raise UserError("the tokenizer has no mask token, so there is nothing to fill in.")
        self._length = sequence_length(None, asked.tokenizer, asked.model.config, default=512)
        self._column = ""
        self._without = 0

    def check(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Text is in the column of the training, in ``text``, or else in the first one."""
        wanted = self.asked.data.get("text_column")
        self._column = text_column(rows, source, wanted if wanted in rows.column_names else None)
        return rows

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """``text`` with the likeliest tokens; ``masks``, for each the five likeliest."""
        tokenizer = self.asked.tokenizer
        texts = [text.replace(_MASK, tokenizer.mask_token) for text in rows[self._column]]
        encoded = tokenizer(texts, truncation=True, max_length=self._length, verbose=False)
        features = model_inputs(
            self.asked.model,
            [
                dict(zip(encoded, row, strict=True))
                for row in zip(*(encoded[name] for name in encoded), strict=True)
            ],
        )
        lengths = [len(feature["input_ids"]) for feature in features]
        found = map_by_length(features, lengths, self.asked.batch_size, self._candidates)
        self._without += sum(not masks for masks in found)
        return [
            {"text": self._filled(text, masks), "masks": masks}
            for text, masks in zip(texts, found, strict=True)
        ]

    def finish(self) -> str | None:
        """How many texts had no mask."""
        if not self._without:
            return None
        return f"{self._without} texts have no {_MASK}, so that nothing is filled in there."

    @torch.no_grad()
    def _candidates(self, features: list[dict[str, Any]]) -> list[list[list[dict[str, Any]]]]:
        tokenizer = self.asked.tokenizer
        batch = self.asked.to_device(pad_rows(features, tokenizer, padding_side=self._side))
        row, place = (batch["input_ids"] == tokenizer.mask_token_id).nonzero(as_tuple=True)
        # Of the masks alone: a distribution over all tokens is large.
        logits = self.asked.model(**batch).logits[row, place].float()
        scores, tokens = logits.softmax(-1).topk(min(_CANDIDATES, logits.shape[-1]))
        result: list[list[list[dict[str, Any]]]] = [[] for _ in features]
        for number, candidates, values in zip(
            row.tolist(), tokens.tolist(), scores.tolist(), strict=True
        ):
            result[number].append(
                [
                    {"token": str(tokenizer.decode([token])).strip(), "score": score}
                    for token, score in zip(candidates, values, strict=True)
                ]
            )
        return result

    def _filled(self, text: str, masks: Sequence[Sequence[Mapping[str, Any]]]) -> str:
        parts = text.split(str(self.asked.tokenizer.mask_token))
        filled = parts[0]
        for number, part in enumerate(parts[1:]):
            # Masks beyond the longest text that the model takes stay.
            best = masks[number][0]["token"] if number < len(masks) else _MASK
            filled += f"{best}{part}"
        return filled
