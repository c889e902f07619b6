"""Rows with endings become tokens; batches in which some endings are missing; bad rows."""

import json
import pathlib
import pickle
from typing import Any

import datasets
import pytest
import tiny
import torch
import transformers

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.tasks import multiple_choice as mc

Tokenizer = transformers.PreTrainedTokenizerFast

ROWS: dict[str, list[Any]] = {
    "sent1": ["the capital", "who was"],
    "sent2": ["is", None],
    "ending0": ["paris", "the"],
    "ending1": ["france in the", " "],
    "ending2": ["was", "capital"],
    "ending3": [None, ""],
    "label": [1, 2],
}
ENDINGS = ("ending0", "ending1", "ending2", "ending3")


def rows(**changes: Any) -> datasets.Dataset:
    columns = {**ROWS, **changes}
    return datasets.Dataset.from_dict({k: v for k, v in columns.items() if v is not ...})


def features(tokenizer: Tokenizer, **changes: Any) -> dict[str, list[Any]]:
    settings = {"max_seq_length": 40, "endings": ENDINGS, **changes}
    return mc.prepare_features(ROWS, tokenizer=tokenizer, **settings)


def listed(made: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [{name: column[row] for name, column in made.items()} for row in range(2)]


class TestPrepare:
    def test_every_ending_is_a_sequence(self, tokenizer: Tokenizer) -> None:
        made = features(tokenizer)
        expected = [
            [*(("the capital", f"is {text}") for text in ("paris", "france in the", "was")), None],
            [("who was", "the"), None, ("who was", "capital"), None],
        ]
        for row, pairs in enumerate(expected):
            for choice, pair in enumerate(pairs):
                alone = {} if pair is None else tokenizer(*pair)
                for name in made.keys() - {"labels"}:
                    assert made[name][row][choice] == alone.get(name, []), (name, row, choice)
        assert made["labels"] == [1, 2]
        assert "attention_mask" in made

    def test_cut_and_padded(self, bert: Tokenizer) -> None:
        made = features(bert, max_seq_length=9, pad_to_max_length=True)
        lengths = {len(s) for sequences in made["input_ids"] for s in sequences}
        assert lengths == {9, 0}
        whole = features(bert)
        assert whole["input_ids"][0][0] + [0] * 9 != made["input_ids"][0][0]
        tokens = bert.convert_ids_to_tokens(made["input_ids"][0][1])
        assert tokens.count("[SEP]") == 2 and tokens[0] == "[CLS]"

    def test_columns_in_the_order_of_their_numbers(self) -> None:
        names = ["label", "ending10", "ending2", "sent1", "endings", "ending0", "my ending1"]
        assert mc.ending_columns(names) == ("ending0", "ending2", "ending10")

    def test_filled(self) -> None:
        expected = [[True, True, True, False], [True, False, True, False]]
        assert mc.filled_endings(rows()).tolist() == expected
        # As csv files have them where a column is empty.
        assert mc.filled_endings(rows(ending3=[None, None])).tolist() == expected


class TestCollator:
    def test_missing_endings_are_marked(self, bert: Tokenizer, left: Tokenizer) -> None:
        for tokenizer in (bert, left):
            made = features(tokenizer)
            batch = pickle.loads(pickle.dumps(mc.MultipleChoiceCollator(tokenizer)))(listed(made))
            # No row has the last ending.
            assert batch["choice_mask"].tolist() == [[True, True, True], [True, False, True]]
            assert batch["labels"].tolist() == [1, 2]
            longest = max(len(s) for sequences in made["input_ids"] for s in sequences)
            assert type(batch) is dict and batch["input_ids"].shape == (2, 3, longest)
            for name in ("input_ids", "attention_mask", "token_type_ids"):
                for row, sequences in enumerate(made[name]):
                    for choice, sequence in enumerate(sequences[:3]):
                        sequence = sequence or sequences[0]
                        # On the right, whatever the tokenizer says.
                        padded = sequence + [0] * (longest - len(sequence))
                        assert batch[name][row, choice].tolist() == padded

    def test_as_many_choices_as_the_batch_needs(self, bert: Tokenizer) -> None:
        made = listed(features(bert))
        made[0] = {k: v if k == "labels" else [*v[:2], [], []] for k, v in made[0].items()}
        batch = mc.MultipleChoiceCollator(bert)(made[:1])
        assert batch["choice_mask"].tolist() == [[True, True]]


class TestCheckRows:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"sent2": ...},
            {"ending2": ..., "ending3": ..., "ending1": ["a", "b"], "label": [1, 0]},
            {"ending4": ["a", "b"], "label": [4, 4]},
            {"ending3": [None, None]},
            {"id": ["x", "y"]},
            {"label": ["ending0", "2"]},
        ],
    )
    def test_good(self, changes: dict[str, Any]) -> None:
        mc.check_rows(rows(**changes), "data.train_file")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"sent1": ...}, r"^data\.train_file: .*missing: sent1\."),
            ({"label": ...}, r"missing: label\."),
            ({"ending1": ...}, r"missing: ending1\."),
            ({name: ... for name in ENDINGS}, r"missing: ending0, ending1\."),
            ({"ending0": [1, 2]}, r"column ending0 holds int64, but should hold text"),
            ({"sent1": ["a", None]}, r"no text in column sent1 in 1 row \(row 2\)"),
            ({"sent1": ["a", "  "]}, r"no text in column sent1 in 1 row \(row 2\)"),
            ({"label": [1, None]}, r"no label in 1 row \(row 2\)"),
            (
                {"label": ["2", "B"]},
                r"no ending of its row \('B'\) in 1 row \(row 2\).* 0 or ending0",
            ),
            ({"label": ["2", "1" * 25]}, r"its row \('1{25}'\) in 1 row \(row 2\)"),
            ({"label": ["2", "ending1"]}, r"its row \('ending1'\) in 1 row \(row 2\)"),
            ({"label": [0.5, 1.0]}, r"column label holds double"),
            ({"label": [1, 4]}, r"its row \(4\) in 1 row \(row 2\)"),
            ({"label": [-1, 2]}, r"its row \(-1\) in 1 row \(row 1\)"),
            # There, but blank.
            ({"label": [1, 1]}, r"its row \(1\) in 1 row \(row 2\)"),
            ({"ending2": ["a", None], "label": [1, 0]}, r"fewer than two endings .* \(row 2\)"),
        ],
    )
    def test_complaints(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(UserError, match=message):
            mc.check_rows(rows(**changes), "data.train_file")

    def test_lists_in_the_other_split(self, bert: Tokenizer, tmp_path: pathlib.Path) -> None:
        row = {"sent1": "a", "ending0": "b", "ending1": "c", "label": 0}
        for name, changes in (("train", {}), ("validation", {"ending1": ["c"], "sent1": {}})):
            (tmp_path / f"{name}.json").write_text(json.dumps([row, {**row, **changes}]))
        data = {f"{n}_file": str(tmp_path / f"{n}.json") for n in ("train", "validation")}
        (kwargs,) = hf.parse_dict_to_dataclasses((mc.MultipleChoiceDataKwargs,), data)
        message = (
            r"^split 'validation': a list .*in column sent1 in 1 row \(row 2\).*\n.* ending1 in"
        )
        with pytest.raises(UserError, match=message):
            mc.build_datasets(mc.load_rows(data), bert, kwargs)

    def test_which_split(self, bert: Tokenizer) -> None:
        splits = {"train": rows(), "validation": rows(label=...)}
        settings = mc.MultipleChoiceDataKwargs(max_seq_length=16)
        sources = {"validation": "data.validation_file 'v.json'"}
        with pytest.raises(UserError, match=r"^data\.validation_file 'v\.json': the columns"):
            mc.build_datasets(splits, bert, settings, sources=sources)


class TestBuildDatasets:
    def test_splits_may_have_other_endings(self, bert: Tokenizer) -> None:
        validation = rows(ending3=..., sent2=...)
        settings = mc.MultipleChoiceDataKwargs(max_seq_length=32)
        splits = {"train": rows(), "validation": validation}
        built = mc.build_datasets(splits, bert, settings, tiny.bert_config())
        assert [len(each["input_ids"][0]) for each in built] == [4, 3]
        batch = mc.MultipleChoiceCollator(bert)([built.train[0], built.train[1]])
        assert batch["choice_mask"].sum() == 5

    def test_complaints(self, bert: Tokenizer, gpt: Tokenizer) -> None:
        splits = {"train": rows(), "validation": rows()}
        for tokenizer, keys, message in (
            (bert, {"max_seq_length": 40}, r"data\.max_seq_length is 40.*model.*32"),
            (gpt, {"pad_to_max_length": True}, r"data\.pad_to_max_length is true"),
        ):
            with pytest.raises(UserError, match=message):
                settings = mc.MultipleChoiceDataKwargs(**keys)
                mc.build_datasets(splits, tokenizer, settings, tiny.bert_config())


def test_a_batch_is_what_the_model_takes(bert: Tokenizer) -> None:
    torch.manual_seed(0)
    model = transformers.BertForMultipleChoice(tiny.bert_config(vocab_size=len(bert)))
    batch = mc.MultipleChoiceCollator(bert)(listed(features(bert)))
    batch.pop("choice_mask")
    assert model(**batch).logits.shape == (2, 3)


@pytest.mark.parametrize("missing", [[None, None], ["", ""], [" ", None]])
def test_cells_as_text(tokenizer: Tokenizer, missing: list[str | None]) -> None:
    """As a csv file gives them: a column without any text, numbers that are texts."""
    columns = {
        "sent1": ["1 and 1 is", "2"],
        "sent2": missing,
        "ending0": ["2", "3"],
        "ending1": ["11", "4"],
        "ending2": missing,
        "label": ["0", "1"],
    }
    for features in (None, datasets.Features(dict.fromkeys(columns, datasets.Value("string")))):
        loaded = datasets.Dataset.from_dict(columns, features=features)
        mc.check_rows(loaded, "data.train_file")
        assert mc.right_endings(loaded).tolist() == [0, 1]
        both = {"train": loaded, "validation": loaded}
        built = mc.build_datasets(both, tokenizer, mc.MultipleChoiceDataKwargs(max_seq_length=40))
        assert [[len(x) > 0 for x in row] for row in built.train["input_ids"]] == [
            [True, True, False]
        ] * 2
        assert built.train["labels"][:] == [0, 1]
