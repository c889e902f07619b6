"""Packed conversations do not see each other: logits and losses are those of each alone."""

from typing import Any

import datasets
import hypothesis
import pytest
import tiny
import torch
import transformers
from hypothesis import strategies as st

from model_hub.errors import UserError
from model_hub.huggingface.data import loaders
from model_hub.huggingface.tasks import instruction_tuning as sft

LENGTHS = (7, 3, 12, 1, 5, 9, 2, 2)


def conversations() -> datasets.Dataset:
    generator = torch.Generator().manual_seed(1)
    rows = []
    for length in LENGTHS:
        ids = torch.randint(5, 11, (length,), generator=generator)
        labels = ids.clone()
        labels[torch.rand(length, generator=generator) < 0.4] = -100
        labels[0] = -100
        rows.append({"input_ids": ids.tolist(), "labels": labels.tolist()})
    return datasets.Dataset.from_list(rows)


def model_of(family: str, attention: str) -> Any:
    torch.manual_seed(0)
    config = tiny.CONFIGS[family](attn_implementation=attention, initializer_range=0.5)
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(
    sizes=st.lists(st.integers(1, 20), max_size=40), more=st.integers(0, 30), data=st.data()
)
def test_every_conversation_is_packed_once(sizes: list[int], more: int, data: Any) -> None:
    capacity = max(sizes, default=1) + more
    bins = sft.pack(sizes, capacity)
    assert sorted(number for members in bins for number in members) == list(range(len(sizes)))
    filled = [sum(sizes[number] for number in members) for members in bins]
    assert all(fill <= capacity for fill in filled)
    # No two could be one.
    assert all(a + b > capacity for n, a in enumerate(filled) for b in filled[:n])


@pytest.mark.parametrize("in_one_row", [False, True])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_logits_and_losses_are_those_of_each_alone(
    family: str, attention: str, in_one_row: bool
) -> None:
    model = model_of(family, attention).eval()
    rows = conversations()
    packed = sft.PackedConversations(rows, 16)
    assert len(packed) < len(rows) and packed.lengths.sum() == sum(LENGTHS)
    collator = sft.ConversationCollator(tiny.word_tokenizer(), in_one_row=in_one_row)
    batch = collator([packed[number] for number in range(len(packed))])
    assert set(batch) == {"input_ids", "labels", "position_ids"}
    assert len(batch["input_ids"]) == (1 if in_one_row else len(packed))
    with torch.no_grad():
        logits, targets = sft.logits_and_targets(model, batch, next_token=True)

    found = []
    for row in rows:
        alone = sft.ConversationCollator(tiny.word_tokenizer())([row])
        with torch.no_grad():
            found.append(sft.logits_and_targets(model, alone, next_token=True))
    # By their tokens the conversations are found again, in the order of the packing.
    order = [number for members in packed._members for number in members]
    length = [packed.lengths.max()] * len(packed)
    place = 0
    flat_logits, flat_targets = logits.flatten(0, 1), targets.flatten()
    for sequence, members in enumerate(packed._members):
        begin = place if in_one_row else sequence * int(length[sequence])
        for number in members:
            own_logits, own_targets = found[number]
            end = begin + LENGTHS[number]
            assert torch.allclose(flat_logits[begin:end], own_logits[0], atol=1e-5)
            assert torch.equal(flat_targets[begin:end], own_targets[0])
            begin = end
        place = begin
    assert sorted(order) == list(range(len(LENGTHS)))

    together, apart = sft.TokenReducer(), sft.TokenReducer()
    together.update(logits, targets)
    for pair in found:
        apart.update(*pair)
    sums = [reducer.per_slot_reduce() for reducer in (together, apart)]
    assert sums[0]["targets"] == sums[1]["targets"] > 10
    metrics = [together.cross_slot_reduce([each]) for each in sums]
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-5)


def test_without_positions_they_would_see_each_other() -> None:
    """What the packing is for: the same tokens in one row, not told apart, give other logits."""
    model = model_of("llama", "sdpa").eval()
    packed = sft.PackedConversations(conversations(), 16)
    rows = [packed[number] for number in range(len(packed))]
    batch = sft.ConversationCollator(tiny.word_tokenizer())(rows)
    with torch.no_grad():
        apart, _ = sft.logits_and_targets(model, batch, next_token=True)
        del batch["position_ids"]
        mixed, _ = sft.logits_and_targets(model, batch, next_token=True)
    assert not torch.allclose(apart, mixed, atol=1e-2)


class Mixing(torch.nn.Module):
    """Takes positions, and adds up over all tokens before all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(11, 11)

    def forward(self, input_ids: torch.Tensor, position_ids: Any = None) -> Any:
        logits = self.embedding(input_ids).cumsum(dim=1)
        return transformers.modeling_outputs.CausalLMOutput(logits=logits)


class WithoutPositions(Mixing):
    def forward(self, input_ids: torch.Tensor) -> Any:  # type: ignore[override]
        return super().forward(input_ids)


def test_models_that_cannot_be_packed_are_refused() -> None:
    config = tiny.CONFIGS["gpt2"]()
    kwargs = sft.InstructionTuningDataKwargs(packing=True)
    for family in ("gpt2", "llama"):
        sft.check_model(model_of(family, "sdpa"), config, kwargs)
    with pytest.raises(UserError, match=r"data\.packing.*does not keep samples"):
        sft.check_model(Mixing(), config, kwargs)
    with pytest.raises(UserError, match=r"data\.packing.*takes no position_ids"):
        sft.check_model(WithoutPositions(), config, kwargs)
    sft.check_model(WithoutPositions(), config, sft.InstructionTuningDataKwargs())


def test_batches_that_are_not_packed() -> None:
    rows = conversations().select([0, 3])
    collator = sft.ConversationCollator(tiny.word_tokenizer(), length=10)
    batch = collator([rows[0], rows[1]])
    assert set(batch) == {"input_ids", "labels", "attention_mask"}
    assert batch["attention_mask"].sum(dim=1).tolist() == [7, 1]
    assert batch["labels"].shape == (2, 10) and (batch["labels"][:, 7:] == -100).all()


def test_collator_follows_settings_and_attention() -> None:
    config = tiny.CONFIGS["llama"]()
    tokenizer = tiny.word_tokenizer()
    kwargs = sft.InstructionTuningDataKwargs(pad_to_max_length=True)
    assert sft.build_collator(tokenizer, kwargs, config, 24).length == 24
    assert not sft.build_collator(tokenizer, kwargs, config, 24).in_one_row
    config._attn_implementation_internal = "flash_attention_2"
    assert sft.build_collator(tokenizer, kwargs, config, 24).in_one_row


def test_packed_sequences_have_lengths_to_group_by() -> None:
    packed = sft.PackedConversations(conversations(), 16)
    assert loaders.lengths_of(packed).tolist() == [  # type: ignore[arg-type]
        len(packed[number]["input_ids"]) for number in range(len(packed))
    ]
