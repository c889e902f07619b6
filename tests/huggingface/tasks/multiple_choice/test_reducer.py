"""Loss and accuracy over the endings that are there, however the rows are dealt; baselines."""

import logging
import math
import random
from typing import Any

import datasets
import dealing
import hypothesis
import pytest
import sklearn.metrics
import tiny
import torch
import transformers
from hypothesis import strategies as st

from model_hub.huggingface.tasks import multiple_choice as mc

WORDS = tiny.WORDS[5:]


@pytest.fixture(scope="module")
def model() -> transformers.BertForMultipleChoice:
    torch.manual_seed(1)
    config = tiny.bert_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    # Far from 0, so that a wrong loss cannot look like a right one.
    config.initializer_range = 1.0
    return transformers.BertForMultipleChoice(config)


def batch_of(endings: list[list[str | None]], labels: list[int]) -> dict[str, torch.Tensor]:
    tokenizer = tiny.word_tokenizer()
    rows = {
        "sent1": ["the cat"] * len(endings),
        "label": labels,
        **{f"ending{n}": list(column) for n, column in enumerate(zip(*endings, strict=True))},
    }
    names = mc.ending_columns(list(rows))
    made = mc.prepare_features(rows, tokenizer=tokenizer, endings=names, max_seq_length=20)
    listed = [{name: made[name][row] for name in made} for row in range(len(endings))]
    return mc.MultipleChoiceCollator(tokenizer)(listed)


@torch.no_grad()
def scores_by_hand(model: Any, endings: list[list[str | None]]) -> list[dict[int, float]]:
    """The logit of each ending that is there, from a batch of it alone and without padding."""
    tokenizer = tiny.word_tokenizer()
    return [
        {
            number: float(
                model.classifier(
                    model.bert(**tokenizer("the cat", ending, return_tensors="pt")).pooler_output
                )
            )
            for number, ending in enumerate(row)
            if ending
        }
        for row in endings
    ]


def loss_by_hand(scores: list[dict[int, float]], labels: list[int]) -> float:
    """Mean over the rows of minus the logarithm of the right ending's softmax."""
    losses = [
        math.log(sum(math.exp(score) for score in row.values())) - row[label]
        for row, label in zip(scores, labels, strict=True)
    ]
    return sum(losses) / len(losses)


def test_the_models_own_loss_on_the_flattened_batch(model: Any) -> None:
    endings: list[list[str | None]] = [
        ["sat", "the dog ran", "where the cat sat"],
        ["ran", "dog", "the dog"],
    ]
    labels = [2, 0]
    batch = batch_of(endings, labels)
    mask = batch.pop("choice_mask")
    assert mask.all()
    outputs = model(**batch)
    scores = scores_by_hand(model, endings)
    for row, values in enumerate(scores):
        assert outputs.logits[row].tolist() == pytest.approx(list(values.values()), abs=1e-4)
    expected = loss_by_hand(scores, labels)
    assert expected > 0.05
    assert outputs.loss.item() == pytest.approx(expected, abs=1e-4)
    ours = mc.choice_loss(outputs.logits, batch["labels"], mask)
    assert torch.equal(ours, outputs.loss)


def test_loss_leaves_missing_endings_out(model: Any) -> None:
    endings = [["sat", None, "where the cat sat", "dog"], ["ran", "dog", "", None]]
    labels = [2, 1]
    batch = batch_of(endings, labels)
    mask = batch.pop("choice_mask")
    outputs = model(**batch)
    loss = mc.choice_loss(outputs.logits, batch["labels"], mask)
    assert loss.item() == pytest.approx(
        loss_by_hand(scores_by_hand(model, endings), labels), abs=1e-4
    )
    assert abs(loss.item() - outputs.loss.item()) > 1e-3
    # What stands in the place of a missing ending teaches nothing.
    (gradient,) = torch.autograd.grad(loss, outputs.logits)
    assert torch.equal(gradient[~mask], torch.zeros(3))
    assert gradient[mask].all() and gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1.0, 60000.0, 2.0]]).to(dtype)
    mask = torch.tensor([[True, False, True]])
    loss = mc.choice_loss(logits, torch.tensor([2]), mask)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-6)
    assert mc.mask_choices(logits, mask).argmax() == 2


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=50, deadline=None)
def test_accuracy_however_the_rows_are_dealt(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    count, choices = rng.randrange(1, 9), rng.randrange(2, 6)
    logits = torch.rand(count, choices, generator=generator)
    mask = torch.rand(count, choices, generator=generator) < 0.6
    mask[:, rng.randrange(choices)] = True
    labels = torch.tensor([rng.choice(row.nonzero().flatten().tolist()) for row in mask])

    def update(reducer: mc.MultipleChoiceReducer, rows: list[int]) -> None:
        reducer.update(logits[rows], labels[rows], mask[rows])

    metrics = dealing.reduced(mc.MultipleChoiceReducer, update, data.draw(dealing.dealings(count)))
    chosen = [
        max(row.nonzero().flatten().tolist(), key=lambda choice: scores[choice])
        for row, scores in zip(mask, logits.tolist(), strict=True)
    ]
    expected = sklearn.metrics.accuracy_score(labels.tolist(), chosen)
    assert metrics.keys() == {"accuracy", "validation_loss"}
    assert metrics["accuracy"] == pytest.approx(expected, abs=1e-12)
    whole = dealing.reduced(mc.MultipleChoiceReducer, update, [[list(range(count))], []])
    assert dealing.same(metrics, whole)


def test_nothing_is_not_a_number() -> None:
    reducer = mc.MultipleChoiceReducer()
    assert math.isnan(reducer.cross_slot_reduce([reducer.per_slot_reduce()])["accuracy"])


def test_baselines(caplog: pytest.LogCaptureFixture) -> None:
    def rows(labels: list[Any], **more: Any) -> datasets.Dataset:
        endings = {f"ending{n}": ["a"] * len(labels) for n in range(3)}
        return datasets.Dataset.from_dict(
            {"sent1": ["x"] * len(labels), **endings, "label": labels, **more}
        )

    validation = rows([1, 1, 0, 2], ending0=[None, "a", "a", "a"])
    with caplog.at_level(logging.INFO, "model_hub"):
        found = mc.log_baselines({"train": rows(["2", "ending2", "0"]), "validation": validation})
    # The first ending of the first row is its second.
    assert found == {"first": 0.5, "frequent": 0.25}
    assert [message.split(": ")[1] for message in caplog.messages] == [
        "accuracy 0.5000",
        "accuracy 0.2500",
    ]
    assert "always ending2" in caplog.messages[1]


def test_label_smoothing_spreads_over_the_endings_that_are_there() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 4), torch.tensor([0, 2, 1])
    whole = torch.ones(3, 4, dtype=torch.bool)
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    torch.testing.assert_close(mc.choice_loss(logits, labels, whole, 0.1), expected)
    # An ending that is not there changes nothing: as if the row had three.
    without_last = whole.clone()
    without_last[:, 3] = False
    expected = torch.nn.functional.cross_entropy(logits[:, :3], labels, label_smoothing=0.1)
    torch.testing.assert_close(mc.choice_loss(logits, labels, without_last, 0.1), expected)
