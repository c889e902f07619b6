"""Entities and their metrics: as CoNLL's script counts them, however the rows are dealt."""

import itertools
import logging
import math
import random
from collections import Counter
from typing import Any

import datasets
import dealing
import hypothesis
import pytest
import sklearn.metrics
import torch
from hypothesis import strategies as st

from model_hub.huggingface.tasks import token_classification as tc

IOB = ["O", "B-person", "I-person", "B-creative-work", "I-creative-work"]
# Nothing is sorted: the numbers must not matter.
IOBES = ["I-x", "S-x", "O", "E-x", "B-x", "B-y-z", "I-y-z", "E-y-z", "S-y-z", "NOUN"]
NOTHING = -100


def conlleval_entities(labels: list[str]) -> set[tuple[str, int, int]]:
    """Type, first token and last token of every chunk, by the two questions of ``conlleval``:
    has a chunk ended between these labels, has one started?"""
    found = set()
    first = None
    previous = ("O", "")
    for position, label in enumerate([*labels, "O"]):
        tag, _, kind = label.partition("-") if label != "NOUN" else ("I", "", "NOUN")
        before, kind_before = previous
        ended = before != "O" and (
            (before, tag)
            in {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("B", "S"), ("I", "S")}
            or before in ("E", "S")
            or kind_before != kind
        )
        started = tag != "O" and (
            tag in ("B", "S")
            or (before, tag) in {("E", "E"), ("E", "I"), ("S", "E"), ("S", "I")}
            or (before, tag) in {("O", "E"), ("O", "I")}
            or kind_before != kind
        )
        if ended and first is not None:
            found.add((kind_before, first, position - 1))
            first = None
        if started:
            first = position
        previous = (tag, kind)
    return found


def reference(labels: list[list[str]], predictions: list[list[str]]) -> dict[str, float]:
    """Micro-averaged scores over all types, and those of each type."""
    matched: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    gold: Counter[str] = Counter()
    for one, other in zip(labels, predictions, strict=True):
        expected, found = conlleval_entities(one), conlleval_entities(other)
        for counter, entities in (
            (matched, expected & found),
            (predicted, found),
            (gold, expected),
        ):
            counter.update(kind for kind, _, _ in entities)
            counter.update({"": len(entities)})
    metrics = {}
    for kind in {*gold, *predicted, ""}:
        precision = matched[kind] / predicted[kind] if predicted[kind] else 0.0
        recall = matched[kind] / gold[kind] if gold[kind] else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        suffix = f"_{kind}" if kind else ""
        metrics |= {f"precision{suffix}": precision, f"recall{suffix}": recall, f"f1{suffix}": f1}
    return metrics


def of(names: list[str], rows: list[list[str]]) -> torch.Tensor:
    """Numbers of the labels, ``[rows, longest]``; "-" and padding are no label."""
    return torch.nn.utils.rnn.pad_sequence(
        [torch.tensor([NOTHING if n == "-" else names.index(n) for n in row]) for row in rows],
        batch_first=True,
        padding_value=NOTHING,
    )


def metrics_of(names: list[str], labels: list[list[str]], predictions: Any) -> dict[str, float]:
    reducer = tc.TokenClassificationReducer(names)
    reducer.update_predictions(of(names, predictions).clamp(min=0), of(names, labels))
    return reducer.cross_slot_reduce([reducer.per_slot_reduce()])


@pytest.mark.parametrize(
    ("label", "parsed"),
    [
        ("O", ("O", "")),
        ("B-PER", ("B", "PER")),
        ("I-creative-work", ("I", "creative-work")),
        ("S-a-b-c", ("S", "a-b-c")),
        ("B", ("B", "")),
        ("NOUN", ("I", "NOUN")),
        ("-LRB-", ("I", "-LRB-")),
        ("X-PER", ("I", "X-PER")),
        ("ORDINAL", ("I", "ORDINAL")),
    ],
)
def test_parse_label(label: str, parsed: tuple[str, str]) -> None:
    assert tc.parse_label(label) == parsed


@pytest.mark.parametrize(
    ("labels", "entities"),
    [
        # An I at the beginning, after O, or of another type starts an entity.
        ("I-person I-person O I-person", {("person", 0, 1), ("person", 3, 3)}),
        ("B-person I-creative-work", {("person", 0, 0), ("creative-work", 1, 1)}),
        ("I-person B-person I-person", {("person", 0, 0), ("person", 1, 2)}),
        # A token without a label is not there.
        ("B-person - - I-person - O", {("person", 0, 3)}),
        ("- I-person -", {("person", 1, 1)}),
        ("O O", set()),
    ],
)
def test_entities(labels: str, entities: set[tuple[str, int, int]]) -> None:
    """Each alone is predicted right; and all of them, if nothing else is."""
    row = labels.split()
    counts = tc.count_entities(of(IOB, [row]).clamp(min=0), of(IOB, [row]), tc.LabelTables(IOB))
    kinds = Counter(kind for kind, _, _ in entities)
    for name in ("gold", "predicted", "matched"):
        assert counts[name].tolist() == [kinds["creative-work"], kinds["person"]]


def test_scores_by_hand() -> None:
    labels = ["B-person I-person O B-person".split(), "B-creative-work I-creative-work O".split()]
    predictions = ["B-person I-person O O".split(), "B-creative-work O I-creative-work".split()]
    metrics = metrics_of(IOB, labels, predictions)
    # Of three entities one is found; three are predicted.
    assert metrics["precision"] == metrics["recall"] == metrics["f1"] == 1 / 3
    assert metrics["precision_person"] == 1.0 and metrics["recall_person"] == 0.5
    assert metrics["f1_person"] == 2 / 3
    assert metrics["f1_creative-work"] == metrics["recall_creative-work"] == 0.0
    assert metrics["accuracy"] == metrics["accuracy_score"] == 4 / 7


@pytest.mark.parametrize("names", [IOB, IOBES], ids=["iob", "iobes"])
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=60, deadline=None)
def test_equals_the_reference_however_it_is_dealt(names: list[str], data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = random.Random(seed)
    count = rng.randrange(1, 8)
    lengths = [rng.randrange(1, 12) for _ in range(count)]
    # Many of the same few, so that entities are long and some are found.
    few = rng.choices(names, k=3)
    labels = [[rng.choice([*few, *names, "-"]) for _ in range(length)] for length in lengths]
    generator = torch.Generator().manual_seed(seed)
    logits = [torch.rand(length, len(names), generator=generator) for length in lengths]
    for row, scores in zip(labels, logits, strict=True):
        for place, label in enumerate(row):
            if label != "-" and rng.random() < 0.7:
                scores[place, names.index(label)] = 2.0

    def update(reducer: tc.TokenClassificationReducer, rows: list[int]) -> None:
        padded = torch.nn.utils.rnn.pad_sequence([logits[row] for row in rows], batch_first=True)
        reducer.update(padded, of(names, [labels[row] for row in rows]))

    def make() -> tc.TokenClassificationReducer:
        return tc.TokenClassificationReducer(names)

    metrics = dealing.reduced(make, update, data.draw(dealing.dealings(count)))
    assert dealing.same(metrics, dealing.reduced(make, update, [[list(range(count))]]))

    counted = [[place for place, label in enumerate(row) if label != "-"] for row in labels]
    told = [
        [names[int(scores[place].argmax())] for place in places]
        for scores, places in zip(logits, counted, strict=True)
    ]
    truth = [[row[place] for place in places] for row, places in zip(labels, counted, strict=True)]
    if not any(truth):
        assert all(math.isnan(value) for value in metrics.values())
        return
    expected = reference(truth, told)
    for name, value in metrics.items():
        if not name.startswith(("accuracy", "validation_loss")):
            assert value == pytest.approx(expected.get(name, 0.0), abs=1e-12), name
    flat = [list(itertools.chain(*rows)) for rows in (truth, told)]
    accuracy = sklearn.metrics.accuracy_score(*flat)
    assert metrics["accuracy"] == metrics["accuracy_score"] == pytest.approx(accuracy)


def test_names_of_metrics_do_not_depend_on_the_data() -> None:
    nothing = tc.TokenClassificationReducer(IOB)
    names = {
        f"{name}{suffix}"
        for name in ("precision", "recall", "f1")
        for suffix in ("", "_person", "_creative-work")
    }
    empty = nothing.cross_slot_reduce([nothing.per_slot_reduce()])
    assert set(empty) == {*names, "accuracy", "accuracy_score", "validation_loss"}
    assert all(math.isnan(value) for value in empty.values())
    only_outside = metrics_of(IOB, [["O"]], [["O"]])
    # Predictions have no loss.
    assert set(only_outside) == set(empty) - {"validation_loss"}
    assert only_outside["f1"] == only_outside["f1_person"] == 0.0
    assert only_outside["accuracy"] == 1.0


def test_labels_without_types() -> None:
    metrics = metrics_of(["O", "B", "I"], [["B", "I", "O"]], [["B", "I", "B"]])
    assert metrics["precision"] == 0.5 and metrics["recall"] == 1.0
    assert set(metrics) == {"precision", "recall", "f1", "accuracy", "accuracy_score"}


def test_half_precision_logits() -> None:
    logits = torch.zeros(1, 2, len(IOB), dtype=torch.bfloat16)
    logits[0, 0, 1] = 1
    reducer = tc.TokenClassificationReducer(IOB)
    reducer.update(logits, of(IOB, [["B-person", "O"]]))
    assert reducer.cross_slot_reduce([reducer.per_slot_reduce()])["f1"] == 1.0


def test_memory_does_not_grow() -> None:
    reducer = tc.TokenClassificationReducer(IOB)
    for _ in range(50):
        reducer.update(torch.rand(4, 9, len(IOB)), torch.zeros(4, 9, dtype=torch.int64))
    sums = reducer.per_slot_reduce()
    # Tokens, right ones, the loss's three; gold, predicted and matched entities of two types.
    assert sum(values.size for values in sums.values()) == 2 + 3 + 3 * 2


class TestBaseline:
    def features(self, names: list[str], rows: list[str]) -> datasets.Dataset:
        labels = [[NOTHING if n == "-" else names.index(n) for n in row.split()] for row in rows]
        return datasets.Dataset.from_dict({"labels": labels, "words": [1] * len(rows)})

    def test_outside(self, caplog: pytest.LogCaptureFixture) -> None:
        validation = self.features(IOB, ["- O B-person O -", "O"])
        validation.set_format(None, columns=["words"])
        with caplog.at_level(logging.INFO, "model_hub"):
            metrics = tc.log_baseline(self.features(IOB, ["B-person"]), validation, IOB)
        assert metrics["accuracy"] == 0.75 and metrics["f1"] == 0.0
        (message,) = caplog.messages
        assert "always 'O'" in message and "f1 0.0000, accuracy 0.7500" in message

    def test_most_frequent_where_there_is_no_outside(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        names = ["NOUN", "VERB"]
        train = self.features(names, ["VERB VERB - NOUN", "- - - -"])
        validation = self.features(names, ["NOUN NOUN VERB NOUN"])
        with caplog.at_level(logging.INFO, "model_hub"):
            metrics = tc.log_baseline(train, validation, names)
        assert metrics["accuracy"] == 0.25
        assert "'VERB'" in caplog.text
