"""Entities of every tagging scheme, as seqeval's strict mode finds them."""

import itertools
from typing import Any

import datasets
import pytest
import torch

from model_hub.errors import UserError
from model_hub.huggingface.tasks import token_classification as tc
from model_hub.huggingface.tasks._common.padding import NO_LABEL
from model_hub.huggingface.tasks.token_classification.entities import find_entities

POSITIONS = {
    "IOB1": "BI",
    "IOB2": "BI",
    "IOE1": "IE",
    "IOE2": "IE",
    "IOBES": "BIES",
    "BILOU": "BILU",
    "BMES": "BMES",
}


def labels_of(scheme: str) -> list[str]:
    return ["O", *(f"{p}-{kind}" for kind in "xy" for p in POSITIONS[scheme])]


def found(row: list[str], names: list[str], scheme: str | None) -> list[tuple[str, int, int]]:
    """Type, first token and the token after the last of each entity; "-" is no label."""
    tables = tc.LabelTables(names, scheme)
    tags = torch.tensor([[names.index(n) if n != "-" else 0 for n in row]])
    counted = torch.tensor([[n != "-" for n in row]])
    entities = find_entities(tags, counted, tables)
    return [
        (tables.types[entities.kinds[0, at]], at, int(entities.ends[0, at]))
        for at in entities.starts[0].nonzero().flatten().tolist()
    ]


def expected(row: list[str], scheme: str) -> list[tuple[str, int, int]]:
    """The entities, one label after the other, by what the schemes say in words."""
    result: list[tuple[str, int, int]] = []
    labels = [("O", ""), *((n[0], n[2:]) for n in row), ("O", "")]
    at = 1
    while at < len(labels):
        (before, kind_before), (now, kind) = labels[at - 1 : at + 1]
        same = kind == kind_before
        begins = {
            # B only divides an entity from one of its type; any other begins with I.
            "IOB1": (now == "I" and (before in "OB" or not same))
            or (now == "B" and before in "BI" and same),
            "IOB2": now == "B",
            "IOE1": (now == "I" and (before in "OE" or not same))
            or (now == "E" and before == "E" and same),
            "IOE2": now in "IE" and (before in "OE" or not same),
            "IOBES": now in "BS",
            "BILOU": now in "BU",
            "BMES": now in "BS",
        }[scheme]
        if not begins:
            at += 1
            continue
        first = at
        at += 1
        goes_on = {
            "IOB1": ("BI", "I"),
            "IOB2": ("BI", "I"),
            "IOE1": ("I", "IE"),
            "IOE2": ("I", "IE"),
            "IOBES": ("BI", "IE"),
            "BILOU": ("BI", "IL"),
            "BMES": ("BM", "ME"),
        }[scheme]
        while (
            at < len(labels)
            and labels[at - 1][0] in goes_on[0]
            and labels[at][0] in goes_on[1]
            and labels[at][1] == kind
        ):
            at += 1
        last, (after, kind_after) = labels[at - 1][0], labels[at]
        ends = {
            "IOB1": not (last == "B" and after == "B" and kind_after != kind),
            "IOB2": True,
            # E means: another entity of this type follows at once.
            "IOE1": last == "I" or (kind_after == kind and after in "IE"),
            "IOE2": last == "E",
            "IOBES": last in "ES",
            "BILOU": last in "LU",
            "BMES": last in "ES",
        }[scheme]
        if ends:
            result.append((kind, first - 1, at - 1))
    return result


@pytest.mark.parametrize("scheme", POSITIONS)
def test_all_short_sequences(scheme: str) -> None:
    names = labels_of(scheme)
    rows = [list(row) for n in (1, 2, 3, 4) for row in itertools.product(names, repeat=n)]
    tables = tc.LabelTables(names, scheme)
    tags = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor([names.index(n) for n in row]) for row in rows],
        batch_first=True,
        padding_value=NO_LABEL,
    )
    entities = find_entities(tags.clamp(min=0), tags != NO_LABEL, tables)
    got: list[list[tuple[str, int, int]]] = [[] for _ in rows]
    for row, at in entities.starts.nonzero().tolist():
        end = min(int(entities.ends[row, at]), len(rows[row]))
        got[row].append((tables.types[entities.kinds[row, at]], at, end))
    assert got == [expected(row, scheme) for row in rows]


@pytest.mark.parametrize(
    ("scheme", "row", "entities"),
    [
        ("IOB1", "I-x I-x B-x O I-y", [("x", 0, 2), ("x", 2, 3), ("y", 4, 5)]),
        ("IOB1", "O B-x O", []),
        ("IOB2", "B-x I-x I-y B-x", [("x", 0, 2), ("x", 3, 4)]),
        ("IOB2", "I-x I-x O", []),
        ("IOE1", "I-x E-x I-x O", [("x", 0, 2), ("x", 2, 3)]),
        ("IOE2", "I-x E-x E-y O I-y", [("x", 0, 2), ("y", 2, 3)]),
        ("IOBES", "S-x B-y I-y E-y B-x O", [("x", 0, 1), ("y", 1, 4)]),
        ("BILOU", "U-x B-y I-y L-y B-x O", [("x", 0, 1), ("y", 1, 4)]),
        ("BMES", "S-x B-y M-y E-y M-x O", [("x", 0, 1), ("y", 1, 4)]),
        # Tokens without a label are not there.
        ("BILOU", "- B-x - - L-x - U-y", [("x", 1, 6), ("y", 6, 7)]),
    ],
)
def test_by_hand(scheme: str, row: str, entities: list[tuple[str, int, int]]) -> None:
    assert found(row.split(), labels_of(scheme), scheme) == entities
    if scheme in ("BILOU", "BMES"):  # These need not be named.
        assert found(row.split(), labels_of(scheme), None) == entities


@pytest.mark.parametrize("scheme", ["BILOU", "BMES"])
def test_scores_are_those_of_the_scheme(scheme: str) -> None:
    """The second entity is predicted without its end, so it is none."""
    inside, last, single = {"BILOU": "ILU", "BMES": "MES"}[scheme]
    names = labels_of(scheme)
    gold = [f"{single}-x", "O", "B-y", f"{inside}-y", f"{last}-y"]
    predicted = [f"{single}-x", "O", "B-y", f"{inside}-y", "O"]
    reducer = tc.TokenClassificationReducer(names)
    reducer.update_predictions(
        *(torch.tensor([[names.index(n) for n in row]]) for row in (predicted, gold))
    )
    metrics = reducer.cross_slot_reduce([reducer.per_slot_reduce()])
    assert (metrics["precision"], metrics["recall"]) == (1.0, 0.5)
    assert set(metrics) >= {"f1_x", "f1_y"} and f"f1_{last}-y" not in metrics


@pytest.mark.parametrize("names", [["o", "B-x", "I-x"], ["o", "b-x", "i-x"], ["O", "b-x", "i-x"]])
def test_lower_case(names: list[str]) -> None:
    """Outside is no entity, and positions are not parts of types."""
    outside, begin, inside = names
    row = [outside, begin, inside, outside, outside]
    assert found(row, names, None) == found(row, names, "IOB2") == [("x", 1, 3)]
    metrics = tc.TokenClassificationReducer(names).cross_slot_reduce([])
    assert {name for name in metrics if name.startswith("f1")} == {"f1", "f1_x"}


def test_types_in_lower_case_stay_types() -> None:
    names = ["o", "noun", "e-mail", "b-side"]
    assert found(["noun", "noun", "o", "e-mail"], names, None) == [
        ("noun", 0, 2),
        ("e-mail", 3, 4),
    ]


def rows_with(names: list[str]) -> dict[str, datasets.Dataset]:
    rows = datasets.Dataset.from_dict({"tokens": [names], "ner_tags": [names]})
    return {"train": rows, "validation": rows}


@pytest.mark.parametrize(
    ("names", "settings", "said"),
    [
        (["O", "B-x", "M-x", "L-x"], {}, "of no tagging scheme.*data.tag_scheme"),
        (["O", "B-x", "S-x"], {"tag_scheme": "IOB2"}, "tag_scheme is IOB2.*'S-x'"),
        (["O", "NOUN"], {"tag_scheme": "IOB2"}, "tag_scheme is IOB2.*'NOUN'"),
        (["O", "B-x"], {"tag_scheme": "IOB3"}, "'IOB3'. Write one of IOB1, IOB2"),
    ],
)
def test_labels_of_another_scheme(names: list[str], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        tc.read_tagging(rows_with(names), tc.TokenClassificationDataKwargs(**settings))


@pytest.mark.parametrize(
    ("name", "scheme"), [("bio", "IOB2"), ("BILUO", "BILOU"), ("BIOES", "IOBES")]
)
def test_other_names_of_schemes(name: str, scheme: str) -> None:
    kwargs = tc.TokenClassificationDataKwargs(tag_scheme=name)
    names = labels_of(scheme)
    assert tc.read_tagging(rows_with(names), kwargs).labels == tuple(sorted(names))
    assert found(names, names, name) == found(names, names, scheme)
