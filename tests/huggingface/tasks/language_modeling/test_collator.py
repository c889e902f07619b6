"""Masks follow from the row in validation and from the step in training; growing embeddings."""

import copy
from typing import Any

import hypothesis
import pytest
import text_models
import tiny
import tokenizers
import torch
import transformers
from dealing import dealings

from model_hub.errors import UserError
from model_hub.huggingface.model import loading
from model_hub.huggingface.tasks import language_modeling as lm

LENGTHS = (16, 16, 9, 16, 12)


def rows_of(size: int) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(3)
    rows = []
    for number, length in enumerate(LENGTHS):
        ids = torch.randint(9, size, (length,), generator=generator).tolist()
        special = [1, *[0] * (length - 1)]
        rows.append({"input_ids": ids, "special_tokens_mask": special, "row": number})
    return rows


def collators() -> dict[str, Any]:
    xlnet = text_models.xlnet_tokenizer(["the cat sat on the mat where the dog ran"] * 5, 40)
    bert = tiny.word_tokenizer()
    left = tiny.word_tokenizer()
    left.padding_side = "left"
    return {
        "masked": (lm.MaskedCollator(bert, 0.5), len(bert)),
        "masked, padding left": (lm.MaskedCollator(left, 0.5), len(bert)),
        "permutation": (lm.PermutationCollator(xlnet, 0.5, 3), len(xlnet)),
    }


COLLATORS = collators()


def unpadded(batch: dict[str, torch.Tensor], place: int) -> dict[str, Any]:
    """What a batch holds for one row, without the padding."""
    there = batch["attention_mask"][place].bool()
    found = {name: batch[name][place][there].tolist() for name in ("input_ids", "labels")}
    if "perm_mask" in batch:
        found["perm_mask"] = batch["perm_mask"][place][there][:, there].tolist()
    return found


@pytest.mark.parametrize("name", COLLATORS)
@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(slots=dealings(len(LENGTHS)))
def test_validation_masks_follow_from_the_row(name: str, slots: list[list[list[int]]]) -> None:
    collator, size = COLLATORS[name]
    rows = rows_of(size)
    alone = [unpadded(collator([row]), 0) for row in rows]
    assert sum(label != -100 for row in alone for label in row["labels"]) > 5
    for batch in (numbers for slot in slots for numbers in slot):
        state = torch.get_rng_state()
        made = collator([rows[number] for number in batch])
        assert torch.equal(state, torch.get_rng_state())
        for place, number in enumerate(batch):
            assert unpadded(made, place) == alone[number]
            torch.rand(1)  # What others draw does not matter.


@pytest.mark.parametrize("name", COLLATORS)
def test_rows_have_different_masks_though_their_tokens_are_the_same(name: str) -> None:
    collator, size = COLLATORS[name]
    row = rows_of(size)[0]
    batch = collator([{**row, "row": number} for number in range(6)])
    assert len({tuple(labels.tolist()) for labels in batch["labels"]}) > 1


@pytest.mark.parametrize("name", COLLATORS)
def test_training_masks_follow_from_torchs_generator(name: str) -> None:
    collator, size = COLLATORS[name]
    rows = [{k: v for k, v in row.items() if k != "row"} for row in rows_of(size)]

    def made(seed: int) -> list[dict[str, Any]]:
        torch.manual_seed(seed)
        batch = collator(rows)
        return [unpadded(batch, place) for place in range(len(rows))]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_masked_batch() -> None:
    collator, size = COLLATORS["masked, padding left"]
    rows = rows_of(size)
    batch = collator(rows)
    assert {name: tuple(values.shape) for name, values in batch.items()} == dict.fromkeys(
        ("input_ids", "attention_mask", "labels"), (5, 16)
    )
    for place, row in enumerate(rows):
        found = unpadded(batch, place)
        assert len(found["labels"]) == len(row["input_ids"])
        for shown, label, token, special in zip(
            found["input_ids"],
            found["labels"],
            row["input_ids"],
            row["special_tokens_mask"],
            strict=True,
        ):
            assert label in (-100, token)
            assert shown == token or label == token
            assert not (special and label != -100)
        assert (batch["labels"][place][batch["attention_mask"][place] == 0] == -100).all()


def test_permutation_batch_does_not_show_what_is_to_be_predicted() -> None:
    collator, size = COLLATORS["permutation"]
    batch = collator(rows_of(size))
    model = transformers.XLNetLMHeadModel(
        transformers.XLNetConfig(vocab_size=size, d_model=16, n_layer=2, n_head=2, d_inner=16)
    ).eval()
    with torch.no_grad():
        logits = model(**{k: v for k, v in batch.items() if k != "labels"}).logits
    assert logits.shape == (5, 16, size)
    # Alone, without padding (but for the one that makes it even), a row gives the same.
    for place, row in enumerate(rows_of(size)):
        alone = collator([row])
        with torch.no_grad():
            own = model(**{k: v for k, v in alone.items() if k != "labels"}).logits[0]
        there = alone["attention_mask"][0].bool()
        assert alone["input_ids"].shape[1] % 2 == 0
        in_batch = logits[place][batch["attention_mask"][place].bool()]
        assert torch.allclose(own[there], in_batch, atol=1e-5)
    # A target cannot be seen: its input is the mask token.
    targets = batch["labels"] != -100
    assert (batch["input_ids"][targets] == collator.tokenizer.mask_token_id).all()


def test_causal_batch_is_padded_on_the_right() -> None:
    tokenizer = tiny.word_tokenizer()
    tokenizer.padding_side = "left"
    batch = lm.CausalCollator(tokenizer)([{"input_ids": [5, 6, 7]}, {"input_ids": [8]}])
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[5, 6, 7], [8, -100, -100]]


@pytest.mark.parametrize(("family", "causal"), [("gpt2", True), ("llama", True), ("bert", False)])
def test_models_that_see_later_tokens_are_refused(family: str, causal: bool) -> None:
    config = tiny.CONFIGS[family]()
    model = transformers.AutoModelForCausalLM.from_config(config)
    if causal:
        lm.check_next_token_model(model, config)
        assert model.training
        return
    with pytest.raises(UserError, match=r"type 'bert'.*sees the tokens after"):
        lm.check_next_token_model(model, config)
    decoder = tiny.CONFIGS[family](is_decoder=True)
    lm.check_next_token_model(transformers.AutoModelForCausalLM.from_config(decoder), decoder)


@pytest.mark.parametrize(("embeddings", "expected"), [(7, 11), (11, 11), (64, 64)])
def test_embeddings_grow_and_never_shrink(embeddings: int, expected: int) -> None:
    model = transformers.AutoModelForCausalLM.from_config(
        tiny.CONFIGS["gpt2"](vocab_size=embeddings, bos_token_id=2, eos_token_id=3)
    )
    before = model.get_input_embeddings().weight.detach().clone()
    loading.resize_embeddings(model, tiny.word_tokenizer())
    after = model.get_input_embeddings().weight
    assert after.shape[0] == model.config.vocab_size == model.lm_head.weight.shape[0] == expected
    assert torch.equal(after[:embeddings], before)


def test_the_highest_number_of_a_token_counts() -> None:
    """Not how many tokens there are: their numbers may have gaps."""
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 20}, unk_token="a"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend)
    model = transformers.AutoModelForCausalLM.from_config(
        tiny.CONFIGS["gpt2"](vocab_size=11, bos_token_id=2, eos_token_id=3)
    )
    loading.resize_embeddings(model, tokenizer)
    assert model.get_input_embeddings().num_embeddings == 21 > len(tokenizer)


def test_models_without_tokens_are_left_alone() -> None:
    model = transformers.ViTModel(tiny.CONFIGS["vit"]())
    names = [name for name, _ in model.named_parameters()]
    loading.resize_embeddings(model, tiny.word_tokenizer())
    loading.resize_embeddings(torch.nn.Linear(2, 2), tiny.word_tokenizer())
    assert [name for name, _ in model.named_parameters()] == names


def test_permutation_masks_stand_where_the_tokens_do() -> None:
    """Also of a tokenizer that pads left, but not as XLNet's does: batches are padded right."""
    collator, size = COLLATORS["permutation"]
    tokenizer = copy.copy(collator.tokenizer)
    tokenizer.cls_token = None
    other = lm.PermutationCollator(tokenizer)
    rows = [{**row, "row": number} for number, row in enumerate(rows_of(size))]
    batch = other(rows)
    assert batch["attention_mask"][:, 0].all() and not batch["attention_mask"].all()
    for place, row in enumerate(rows):
        length = len(row["input_ids"]) + len(row["input_ids"]) % 2
        alone = other([row])["perm_mask"][0]
        assert torch.equal(batch["perm_mask"][place, :length, :length], alone)
