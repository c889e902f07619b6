"""Masks are filled in as words are written, and what the model cannot see is said."""

import functools
from typing import Any

import datasets
import pytest
import tiny
import torch
import transformers

from model_hub.huggingface.tasks._common.predictor import InferenceSetup
from model_hub.huggingface.tasks.language_modeling.predict import FillMaskPredictor

VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "play",
    "##ing",
    "the",
    "game",
    "##",
    "!",
]


@functools.cache
def setup_of(best: str) -> InferenceSetup:
    """A model that takes 8 tokens and fills each mask with the same one."""
    tokenizer = transformers.BertTokenizer(
        vocab={token: number for number, token in enumerate(VOCABULARY)}
    )
    config = tiny.bert_config(vocab_size=len(VOCABULARY), max_position_embeddings=8)
    model = transformers.BertForMaskedLM(config).eval()
    with torch.no_grad():
        model.get_output_embeddings().bias[VOCABULARY.index(best)] = 100.0
    return InferenceSetup(model, tokenizer, data={})


def filled(texts: list[str], best: str) -> tuple[list[dict[str, Any]], str | None]:
    predictor = FillMaskPredictor(setup_of(best))
    rows = predictor.check_columns(datasets.Dataset.from_dict({"text": texts}), "rows")
    return predictor.predict(rows[:]), predictor.finish()


@pytest.mark.parametrize(
    ("text", "best", "expected"),
    [
        ("play [MASK] the game", "##ing", "playing the game"),
        ("play[MASK] the game", "##ing", "playing the game"),
        ("play [MASK] [MASK]!", "##ing", "playinging!"),
        ("[MASK] the", "##ing", "ing the"),
        ("the [MASK] !", "game", "the game !"),
        ("the [MASK] !", "##", "the ## !"),
    ],
)
def test_pieces_join_the_word_before(text: str, best: str, expected: str) -> None:
    (row,), warning = filled([text], best)
    assert row["text"] == expected
    assert row["masks"][0][0]["token"] == best
    assert warning is None


def test_masks_beyond_the_longest_input() -> None:
    texts = ["the " * 9 + "[MASK]", "[MASK] " + "the " * 9 + "[MASK]", "the game", "the [MASK]"]
    rows, warning = filled(texts, "game")
    assert rows[0] == {"text": texts[0], "masks": []}
    assert rows[1]["text"] == "game " + "the " * 9 + "[MASK]" and len(rows[1]["masks"]) == 1
    assert rows[3]["text"] == "the game"
    assert warning is not None
    assert "1 texts have no [MASK]" in warning
    assert "2 texts have a [MASK] after the first 8 tokens" in warning
