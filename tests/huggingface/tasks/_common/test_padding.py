"""A row gets the same predictions in whatever batch it is, also where the tokenizer pads left."""

from typing import Any

import pytest
import tiny
import torch
import transformers

import model_hub.huggingface.tasks.multiple_choice as choice
import model_hub.huggingface.tasks.seq2seq as seq2seq
import model_hub.huggingface.tasks.text_classification as text
import model_hub.huggingface.tasks.token_classification as ner
from model_hub.huggingface.tasks._common import padding

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
    collator = padding.padding_collator(tokenizer)
    rows = [{**tokenizer(text)} for text in TEXTS]
    if family == "gpt2":
        rows = [{k: v for k, v in row.items() if k != "token_type_ids"} for row in rows]
    with torch.no_grad():
        together = model(**collator(rows)).logits
        alone = torch.cat([model(**collator([row])).logits for row in rows])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_rows_are_padded_right_and_for_xlnet_left(
    left: transformers.PreTrainedTokenizerFast, xlnet: transformers.PreTrainedTokenizerFast
) -> None:
    rows = [{"input_ids": [9]}, {"input_ids": [6, 7]}]
    for tokenizer, padded in ((left, [[9, 0], [6, 7]]), (xlnet, [[5, 9], [6, 7]])):
        assert tokenizer.padding_side == "left"
        side = padding.side_to_pad(tokenizer)
        ids = padding.pad_rows(rows, tokenizer, padding_side=side)["input_ids"]
        assert ids.tolist() == padded
        # Whoever makes batches has asked once, not for each of them.
        collator = ner.TokenClassificationCollator(tokenizer)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(tokenizer), "__call__", None)
            assert collator(rows)["input_ids"].tolist() == padded


@pytest.mark.parametrize("task", ["classes", "tags", "choices"])
def test_stored_padding_stands_where_that_of_batches_does(
    task: str, left: transformers.PreTrainedTokenizerFast
) -> None:
    """Else every token would have another position than with batches padded to their longest."""
    settings: dict[str, Any] = {"max_seq_length": 12, "pad_to_max_length": True}
    if task == "classes":
        rows: dict[str, Any] = {"text": ["the capital"], "label": [0]}
        ids = text.prepare_features(rows, left, ("text",), ((0, 0),), **settings)["input_ids"][0]
    elif task == "tags":
        ids = ner.prepare_features(
            {"tokens": [["the", "capital"]], "tags": [["O", "O"]]},
            tokenizer=left,
            tokens_column="tokens",
            tags_column="tags",
            labels=("O", "X"),
            names=None,
            **settings,
        )["input_ids"][0]
    else:
        ids = choice.prepare_features(
            {"sent1": ["the"], "ending0": ["capital"], "label": [0]},
            tokenizer=left,
            endings=("ending0",),
            **settings,
        )["input_ids"][0][0]
    assert len(ids) == 12 and ids[0] == left.cls_token_id and ids[-1] == left.pad_token_id


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
