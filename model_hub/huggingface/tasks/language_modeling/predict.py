"""Predictions of language models: the continuation of a text, and tokens for masks."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import torch

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.generation import generate
from model_hub.huggingface.tasks._common.padding import pad_rows
from model_hub.huggingface.tasks._common.predictor import (
    InferenceSetup,
    Predictor,
    Rows,
    features_of_rows,
    model_inputs,
)
from model_hub.huggingface.tasks._common.tokenization import sequence_length, stop_tokens
from model_hub.huggingface.tasks.language_modeling.features import tokenize_texts
from model_hub.huggingface.tasks.language_modeling.rows import text_column

_MAX_NEW_TOKENS = 64
_CANDIDATES = 5
# The mask of texts, whatever the mask token of the tokenizer is.
_MASK = "[MASK]"
# With it WordPiece marks tokens that continue a word.
_CONTINUES = "##"


class TextPredictor(Predictor):
    """The base class of predictors that read one column of text."""

    _column = ""

    def check_columns(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Find the text in the column of the training, ``text``, or else the first column."""
        wanted = self.setup.data.get("text_column")
        self._column = text_column(rows, source, wanted if wanted in rows.column_names else None)
        return rows


class TextGenerationPredictor(TextPredictor):
    """Predicts the continuation of a row's text by greedy or beam search."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {"generated_text": pa.string()}

    def __init__(self, setup: InferenceSetup) -> None:
        super().__init__(setup)
        self._new_tokens = setup.max_new_tokens or _MAX_NEW_TOKENS
        # All that the model takes; data.max_seq_length is the length of the training's blocks.
        longest = sequence_length(None, setup.tokenizer, setup.model.config, default=1_000_000)
        self._longest_prompt = longest - self._new_tokens
        if self._longest_prompt < 1:
            raise UserError(
                f"--max-new-tokens is {self._new_tokens}, but text and continuation together have "
                f"at most {longest} tokens. Write less."
            )
        self._cut = 0

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """Return ``generated_text``, without the text that it continues."""
        prompts = self._prompts(rows)
        self._cut += sum(len(prompt) > self._longest_prompt for prompt in prompts)
        prompts = [prompt[-self._longest_prompt :] for prompt in prompts]
        features = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in prompts]
        return [{"generated_text": text} for text in self._map_features(features, self._generate)]

    def finish(self) -> str | None:
        """Return how many texts were cut."""
        if not self._cut:
            return None
        return f"{self._cut} texts were cut to their last {self._longest_prompt} tokens."

    def _prompts(self, rows: Rows) -> list[list[int]]:
        tokenizer = self.setup.tokenizer
        encoded = tokenize_texts(
            {"text": rows[self._column]},
            tokenizer=tokenizer,
            column="text",
            end_with_eos=False,
            with_special_tokens_mask=False,
        )
        # The tokens that some tokenizers append mean that the text is over.
        ends = {tokenizer.eos_token_id, tokenizer.sep_token_id, tokenizer.cls_token_id}
        # An empty prompt becomes one token.
        begin = tokenizer.bos_token_id
        begin = tokenizer.eos_token_id if begin is None else begin
        prompts = []
        for ids in map(list, encoded["input_ids"]):
            while ids and ids[-1] in ends:
                ids.pop()
            prompts.append(ids or [0 if begin is None else begin])
        return prompts

    def _generate(self, features: list[dict[str, Any]]) -> list[str]:
        setup, tokenizer = self.setup, self.setup.tokenizer
        # Padding on the left, so that the new tokens come right after the text.
        batch = setup.to_device(pad_rows(features, tokenizer, padding_side="left"))
        padding = tokenizer.pad_token_id
        stops = stop_tokens(setup.model.generation_config)
        tokens = generate(
            setup.model,
            tokenizer,
            batch,
            max_new_tokens=self._new_tokens,
            num_beams=setup.num_beams,
            pad_token_id=tokenizer.eos_token_id if padding is None else padding,
        )
        new = [_up_to(stops, row) for row in tokens[:, batch["input_ids"].shape[1] :].tolist()]
        return list(tokenizer.batch_decode(new, skip_special_tokens=True))


def _up_to(stops: Collection[int], tokens: list[int]) -> list[int]:
    """Return the tokens before the first at which generation stops; it may be an ordinary one."""
    return list(itertools.takewhile(lambda token: token not in stops, tokens))


class FillMaskPredictor(TextPredictor):
    """Predicts the most likely tokens for each mask in a text, with their probabilities."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "text": pa.string(),
        "masks": pa.list_(pa.list_(pa.struct([("token", pa.string()), ("score", pa.float64())]))),
    }

    def __init__(self, setup: InferenceSetup) -> None:
        super().__init__(setup)
        if setup.tokenizer.mask_token_id is None:
            raise UserError("the tokenizer has no mask token, so there is nothing to fill in.")
        self._length = sequence_length(None, setup.tokenizer, setup.model.config, default=512)
        self._without_mask = 0
        self._beyond = 0

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """Return ``text`` with the most likely tokens, and ``masks``: the best five for each."""
        tokenizer = self.setup.tokenizer
        texts = [text.replace(_MASK, tokenizer.mask_token) for text in rows[self._column]]
        encoded = tokenizer(texts, truncation=True, max_length=self._length, verbose=False)
        features = model_inputs(self.setup.model, features_of_rows(encoded))
        candidates = self._map_features(features, self._fill_masks)
        for text, masks in zip(texts, candidates, strict=True):
            wanted = text.count(str(tokenizer.mask_token))
            self._without_mask += not wanted
            self._beyond += len(masks) < wanted
        return [
            {"text": self._filled(text, masks), "masks": masks}
            for text, masks in zip(texts, candidates, strict=True)
        ]

    def finish(self) -> str | None:
        """Return how many texts had no mask, or had some that the model did not see."""
        said = []
        if self._without_mask:
            said.append(
                f"{self._without_mask} texts have no {_MASK}, so nothing is filled in there."
            )
        if self._beyond:
            said.append(
                f"{self._beyond} texts have a {_MASK} after the first {self._length} tokens, the "
                "most that the model takes: these are not filled in."
            )
        return " ".join(said) or None

    @torch.no_grad()
    def _fill_masks(self, features: list[dict[str, Any]]) -> list[list[list[dict[str, Any]]]]:
        tokenizer = self.setup.tokenizer
        batch = self._padded_batch(features)
        row, place = (batch["input_ids"] == tokenizer.mask_token_id).nonzero(as_tuple=True)
        # Only at the masks: a distribution over the vocabulary is large.
        logits = self.setup.model(**batch).logits[row, place].float()
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
        parts = text.split(str(self.setup.tokenizer.mask_token))
        filled = parts[0]
        for number, part in enumerate(parts[1:]):
            # Masks after the last token that the model takes are not filled in.
            best = masks[number][0]["token"] if number < len(masks) else _MASK
            if best.startswith(_CONTINUES) and best != _CONTINUES:
                # The rest of the word before it.
                filled, best = filled.rstrip(), best.removeprefix(_CONTINUES)
            filled += f"{best}{part}"
        return filled
