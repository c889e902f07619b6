"""A row gets the same predictions in whatever batch it is, also where the tokenizer pads left."""

from typing import Any

import pytest
import tiny
import torch
import transformers

import model_hub.huggingface.tasks.seq2seq as seq2seq
from model_hub.huggingface.tasks import _padding, _tokenization

TEXTS = ["the cat sat", "the dog ran", "where", "the cat sat the dog ran where the cat"]


@pytest.fixture(params=["left", "right"])
def tokenizer(request: pytest.FixtureRequest) -> transformers.PreTrainedTokenizerFast:
    tokenizer = tiny.word_tokenizer()
    tokenizer.padding_side = request.param
    return tokenizer


def classes(family: str) -> Any:
    torch.manual_seed(0)
    config = tiny.CONFIGS[family](num_labels=3, pad_token_id=0)
    if family == "gpt2":
        return transformers.GPT2ForSequenceClassification(config).eval()
    return transformers.BertForSequenceClassification(config).eval()


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_classified_the_same_alone_and_together(
    family: str, tokenizer: transformers.PreTrainedTokenizerFast
) -> None:
    model = classes(family)
    collator = _tokenization.padding_collator(tokenizer)
    rows = [{**tokenizer(text)} for text in TEXTS]
    if family == "gpt2":
        rows = [{k: v for k, v in row.items() if k != "token_type_ids"} for row in rows]
    with torch.no_grad():
        together = model(**collator(rows)).logits
        alone = torch.cat([model(**collator([row])).logits for row in rows])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_rows_are_padded_right_and_for_xlnet_left() -> None:
    tokenizer = tiny.word_tokenizer()
    tokenizer.padding_side = "left"
    rows = [{"input_ids": [5]}, {"input_ids": [6, 7]}]
    assert _padding.pad_rows(rows, tokenizer)["input_ids"].tolist() == [[5, 0], [6, 7]]

    class CLSLast:
        """As XLNet's: the text, SEP, CLS."""

        padding_side, cls_token_id, pad_token_id = "left", 2, 0

        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": [9, 3, 2]}

    padded = _padding.pad_rows(rows, CLSLast())  # type: ignore[arg-type]
    assert padded["input_ids"].tolist() == [[0, 5], [6, 7]]


def test_sources_and_labels_of_seq2seq_are_padded_right(
    tokenizer: transformers.PreTrainedTokenizerFast,
) -> None:
    own_side = tokenizer.padding_side
    model = transformers.T5ForConditionalGeneration(tiny.CONFIGS["t5"](pad_token_id=0))
    collator = seq2seq.seq2seq_collator(tokenizer, model)
    rows = [
        {"input_ids": [5], "attention_mask": [1], "labels": [6]},
        {"input_ids": [5, 6], "attention_mask": [1, 1], "labels": [6, 7]},
    ]
    batch = collator(rows)
    assert batch["input_ids"].tolist() == [[5, 0], [5, 6]]
    assert batch["labels"].tolist() == [[6, -100], [6, 7]]
    # The user's own tokenizer stays as it was.
    assert tokenizer.padding_side == own_side
