"""Rows and settings that are wrong, and what the user is told; batches."""

import dataclasses
import json
import logging
import pathlib
import pickle
from typing import Any

import datasets
import hypothesis
import numpy as np
import pytest
import torch
import transformers
from hypothesis import strategies as st

from model_hub.errors import UserError
from model_hub.huggingface.data import files
from model_hub.huggingface.tasks import question_answering as qa
from model_hub.huggingface.tasks._common import tokenization
from model_hub.huggingface.tasks.question_answering.rows import answers_of

Tokenizer = transformers.PreTrainedTokenizerFast


def settings(**changes: Any) -> qa.QuestionAnsweringDataKwargs:
    return dataclasses.replace(qa.QuestionAnsweringDataKwargs(), **changes)


def rows(*answers: Any, **columns: list[Any]) -> datasets.Dataset:
    return datasets.Dataset.from_dict(
        {
            "id": [f"q{number}" for number in range(len(answers))],
            "context": ["in paris and rome"] * len(answers),
            "question": ["where?"] * len(answers),
            "answers": list(answers),
            **columns,
        }
    )


def answer(text: str, start: int) -> dict[str, list[Any]]:
    return {"text": [text], "answer_start": [start]}


class TestCheckLengths:
    def test_defaults_are_fine(self, bert: Tokenizer, gpt: Tokenizer) -> None:
        qa.check_lengths(bert, settings(), model_max_length=512)
        # Without a known limit, transformers says a huge number.
        assert gpt.model_max_length > 10**20
        qa.check_lengths(gpt, settings(max_seq_length=100_000))

    @pytest.mark.parametrize(
        ("changes", "limit", "message"),
        [
            ({"max_seq_length": 513}, None, r"data\.max_seq_length is 513.*tokenizer.*512"),
            ({"max_seq_length": 384}, 128, r"data\.max_seq_length is 384.*model.*128"),
            ({"max_seq_length": 0}, None, r"data\.max_seq_length is 0"),
            ({"n_best_size": 0}, None, r"data\.n_best_size is 0"),
            ({"max_answer_length": -1}, None, r"data\.max_answer_length is -1"),
            ({"preprocessing_num_workers": -1}, None, r"data\.preprocessing_num_workers is -1"),
            ({"preprocessing_num_workers": 0}, None, r"data\.preprocessing_num_workers is 0"),
            ({"doc_stride": 384}, None, r"data\.doc_stride is 384.*between 0 and 379"),
            ({"doc_stride": 380}, None, r"data\.doc_stride is 380.*between 0 and 379"),
            ({"doc_stride": -1}, None, r"data\.doc_stride is -1"),
            ({"max_seq_length": 4, "doc_stride": 1}, None, r"Raise data\.max_seq_length"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, bert: Tokenizer, changes: dict[str, Any], limit: int | None, message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            qa.check_lengths(bert, settings(**changes), limit)

    def test_the_largest_stride_gets_ahead(self, bert: Tokenizer) -> None:
        qa.check_lengths(bert, settings(max_seq_length=20, doc_stride=15))
        features = qa.prepare_train_features(
            rows(answer("rome", 13)).map(lambda _: {"question": "w", "context": "a " * 40})[:],
            tokenizer=bert,
            max_seq_length=20,
            doc_stride=15,
        )
        assert len(features["input_ids"]) == 25  # 16 tokens at first, then one more a window.

    def test_slow_tokenizer(self) -> None:
        class Slow(transformers.PythonBackend):
            """A tokenizer in pure Python, as far as the check looks at it."""

            vocab_size = 0

            def get_vocab(self) -> dict[str, int]:
                return {}

        with pytest.raises(UserError, match=r"Slow.*hyperparameters\.use_fast"):
            qa.check_lengths(Slow(), settings())

    def test_padding_without_a_padding_token(self, gpt: Tokenizer) -> None:
        with pytest.raises(UserError, match=r"data\.pad_to_max_length"):
            qa.check_lengths(gpt, settings(pad_to_max_length=True))


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "longformer", "mpnet", "bert"])
def test_model_takes_as_many_tokens_as_it_says(family: str) -> None:
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    if family == "longformer":
        size["attention_window"] = 4
    config = transformers.AutoConfig.for_model(
        family,
        vocab_size=10,
        intermediate_size=8,
        max_position_embeddings=16,
        pad_token_id=1,
        **size,
    )
    model = transformers.AutoModel.from_config(config).eval()
    limit = tokenization.model_max_length(config)
    assert limit == (16 if family == "bert" else 14)
    model(input_ids=torch.full((1, limit), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, limit + 1), 5))


class TestRows:
    def test_good_rows_pass(self) -> None:
        qa.check_columns(rows(answer("paris", 3), {"text": [], "answer_start": []}), "train")

    def test_missing_columns(self) -> None:
        dataset = rows(answer("paris", 3)).rename_column("context", "text").remove_columns("id")
        with pytest.raises(UserError) as caught:
            qa.check_columns(dataset, "data.train_file (x.json)")
        message = str(caught.value)
        assert "data.train_file (x.json): the columns are text, question, answers" in message
        assert "needs id, context, question, answers; missing: id, context." in message

    def test_missing_text(self) -> None:
        dataset = rows(answer("a", 0), answer("b", 0), context=["x", None])
        with pytest.raises(UserError, match=r"no text in column context in 1 row \(row 2\)"):
            qa.check_columns(dataset, "train")

    def test_text_that_is_none(self) -> None:
        with pytest.raises(UserError, match=r"column question holds int64"):
            qa.check_columns(rows(answer("a", 0), question=[5]), "train")

    def test_ids_of_validation_rows_differ(self) -> None:
        """As in the reducer, but before the training; rows to train on may be there twice."""
        twice = {"train": rows(*[answer("in", 0)] * 3), "validation": rows(answer("in", 0))}
        twice["train"] = twice["train"].map(lambda _: {"id": "7"})
        qa.check_rows(twice, qa.QuestionAnsweringDataKwargs())
        twice["validation"] = twice["train"]
        with pytest.raises(UserError, match=r"has \('7'\) in 2 rows \(row 2, row 3\)\. Every"):
            qa.check_rows(twice, qa.QuestionAnsweringDataKwargs())

    def test_answers_that_are_none(self) -> None:
        with pytest.raises(
            UserError,
            match=r"wrong answers in 1 row \(row 1\)\. The first: id 'q0': answers are 5",
        ):
            qa.check_columns(rows(5), "validation")

    @pytest.mark.parametrize(
        "value",
        [
            {"text": ["paris", "in"], "answer_start": [3, 0]},
            [{"text": "paris", "answer_start": 3}, {"text": "in", "answer_start": 0}],
            "{'text': ['paris', 'in'], 'answer_start': [3, 0]}",
            '{"text": ["paris", "in"], "answer_start": [3, 0]}',
            '[{"text": "paris", "answer_start": 3}, {"text": "in", "answer_start": 0}]',
            {"text": ["paris", "in"], "answer_start": ["3", 0.0]},
        ],
    )
    def test_layouts_of_answers(self, value: Any) -> None:
        assert answers_of(value, "q") == (["paris", "in"], [3, 0])

    @pytest.mark.parametrize(
        "value", [None, [], "", "  ", {"text": [], "answer_start": []}, "{'text': []}", "[]"]
    )
    def test_no_answer(self, value: Any) -> None:
        assert answers_of(value, "q") == ([], [])

    def test_answers_of_unequal_keys_in_a_file(self, tmp_path: pathlib.Path) -> None:
        row: dict[str, Any] = {"id": "q", "context": "in paris", "question": "where?"}
        row["answers"] = [{"text": "paris", "answer_start": 3}]
        other = {**row, "answers": [{"text": "in", "answer_start": 0, "by": "x"}]}
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(r) + "\n" for r in (row, other)))
        loaded = files.load_file("data.train_file", str(file))
        qa.check_columns(loaded, "data.train_file")
        assert len(qa.drop_misaligned_answers(loaded)) == 2

    @pytest.mark.parametrize("value", ['{"text" is a key', '{"text"}', "{text}"])
    def test_bare_text_that_looks_like_an_object(self, value: str) -> None:
        assert answers_of([value], "q") == ([value], None)

    @pytest.mark.parametrize(
        "value",
        [
            "paris",
            ["paris"],
            {"text": "paris"},
            [{"text": "paris"}],
            {"text": ["paris"], "answer_start": [None]},
            [{"text": "paris", "answer_start": None}],
        ],
    )
    def test_bare_text_has_no_position(self, value: Any, bert: Tokenizer) -> None:
        assert answers_of(value, "q") == (["paris"], None)
        examples = {"id": ["q7"], "context": ["in paris"], "question": ["?"], "answers": [value]}
        length = {"max_seq_length": 30, "doc_stride": 2}
        # Enough to be compared with, not to be trained on.
        qa.prepare_validation_features(examples, tokenizer=bert, **length)
        with pytest.raises(UserError, match=r"id 'q7'.*without answer_start"):
            qa.prepare_train_features(examples, tokenizer=bert, **length)

    @pytest.mark.parametrize(
        "value",
        [
            {"text": ["a", "b"], "answer_start": [0]},
            {"text": [1]},
            "{'text': array([1])}",
            "{'text': {'a': 1}, 'answer_start': 0}",
            "{'text': 'a', 'answer_start': 3j}",
            '{"text":' * 5000,
            {"text": ["a"], "answer_start": ["abc"]},
            {"text": ["a"], "answer_start": [1.5]},
            {"text": ["a"], "answer_start": [True]},
            {"text": ["a"], "answer_start": [[1]]},
        ],
    )
    def test_answers_that_cannot_be_read(self, value: Any) -> None:
        with pytest.raises(UserError, match="id 'q'"):
            answers_of(value, "q")


class TestMisaligned:
    def test_left_out_with_one_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        dataset = rows(
            answer("paris", 3),
            answer("paris", 4),
            {"text": [], "answer_start": []},
            answer("rome", 99),
            answer("ro", -4),
            answer("rome", 13),
        )
        with caplog.at_level(logging.WARNING, logger="model_hub"):
            kept = qa.drop_misaligned_answers(dataset)
        assert kept["id"][:] == ["q0", "q2", "q5"]
        (record,) = caplog.records
        assert "3 of 6" in record.message
        assert (
            "'q1' has answer_start 4, where the context has 'aris ' and not the answer 'paris'"
            in record.message
        )

    def test_nothing_wrong_keeps_the_dataset_and_its_cache(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        dataset = rows(answer("paris", 3), answer("rome", 13))
        assert qa.drop_misaligned_answers(dataset) is dataset
        assert not caplog.records

    def test_nothing_left(self) -> None:
        with pytest.raises(UserError, match=r"2 of 2.*No row is left"):
            qa.drop_misaligned_answers(rows(answer("x", 0), answer("y", 0)))

    def test_no_position(self) -> None:
        loaded = datasets.Dataset.from_dict(
            {
                "id": ["a", "b", "c"],
                "context": ["in paris"] * 3,
                "answers": ['{"text": "paris", "answer_start": 3}', "paris", "rome"],
            }
        )
        message = r"^data\.train_file: .*in 2 rows \(row 2, row 3\)\. The first: id 'b'.*without"
        with pytest.raises(UserError, match=message):
            qa.drop_misaligned_answers(loaded)

    def test_looks_at_selected_rows_only(self) -> None:
        dataset = rows(answer("x", 0), answer("paris", 3), answer("rome", 13)).select([2, 1])
        assert qa.drop_misaligned_answers(dataset) is dataset


FEATURES = st.lists(
    st.lists(st.integers(4, 40), min_size=1, max_size=12), min_size=1, max_size=5
).map(
    lambda batch: [
        {
            "input_ids": ids,
            "token_type_ids": [token % 2 for token in ids],
            "attention_mask": [1] * len(ids),
        }
        for ids in batch
    ]
)


class TestCollator:
    @hypothesis.settings(max_examples=100, deadline=None)
    @hypothesis.given(features=FEATURES, multiple=st.sampled_from([None, 1, 8]))
    def test_pads_as_the_tokenizer_does(
        self,
        bert: Tokenizer,
        xlnet: Tokenizer,
        features: list[dict[str, list[int]]],
        multiple: int | None,
    ) -> None:
        # XLNet's models have a token type of their own for padding.
        other = pickle.loads(pickle.dumps(xlnet))
        other._pad_token_type_id = 3
        for tokenizer in (bert, other):
            batch = qa.QuestionAnsweringCollator(tokenizer, multiple)(features)
            expected = tokenizer.pad(features, return_tensors="pt", pad_to_multiple_of=multiple)
            assert set(batch) == set(expected)
            for name, values in batch.items():
                assert values.dtype == torch.int64
                assert torch.equal(values, expected[name]), name

    def test_positions_move_with_padding_on_the_left(
        self, left: Tokenizer, bert: Tokenizer
    ) -> None:
        examples = rows(
            answer("paris", 3), answer("rome", 8), context=["in paris", "here is rome in"]
        )
        length = {"max_seq_length": 40, "doc_stride": 2}
        for tokenizer in (left, bert):
            train = qa.prepare_train_features(examples[:], tokenizer=tokenizer, **length)
            stored = qa.prepare_validation_features(examples[:], tokenizer=tokenizer, **length)
            stored = {**stored, **train, "feature_id": [10, 11]}
            features = [{name: stored[name][row] for name in stored} for row in range(2)]
            batch = qa.QuestionAnsweringCollator(tokenizer)(features)
            assert "offset_mapping" not in batch and "example_id" not in batch
            assert all(values.dtype == torch.int64 for values in batch.values())
            assert batch["feature_id"].tolist() == [10, 11]
            longest = max(len(ids) for ids in stored["input_ids"])
            for row, feature in enumerate(features):
                missing = longest - len(feature["input_ids"])
                moved = missing if tokenizer.padding_side == "left" else 0
                assert batch["left_padding"][row] == moved
                for name in ("start_positions", "end_positions", "context_begin", "context_end"):
                    assert batch[name][row] == feature[name] + moved
                assert batch["input_ids"][row, batch["cls_index"][row]] == tokenizer.cls_token_id

    def test_works_without_padding_token_and_with_tensors(self, gpt: Tokenizer) -> None:
        features = [{"input_ids": torch.tensor([5, 6])}, {"input_ids": np.array([7])}]
        batch = qa.QuestionAnsweringCollator(gpt)(features)
        assert batch["input_ids"].tolist() == [[5, 6], [7, 0]]

    def test_pickles_and_is_quiet(
        self, bert: Tokenizer, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
    ) -> None:
        collator = pickle.loads(pickle.dumps(qa.QuestionAnsweringCollator(bert, 8)))
        with caplog.at_level(logging.WARNING):
            batch = collator([{"input_ids": [1, 2], "start_positions": 1}])
        assert batch["input_ids"].shape == (1, 8)
        assert batch["start_positions"].tolist() == [1]
        assert not caplog.records and not recwarn.list

    def test_pop_leaves_what_the_model_takes(self, bert: Tokenizer) -> None:
        stored = qa.prepare_validation_features(
            rows(answer("paris", 3))[:], tokenizer=bert, max_seq_length=40, doc_stride=2
        )
        feature = {name: values[0] for name, values in stored.items()}
        batch = qa.QuestionAnsweringCollator(bert)([{**feature, "feature_id": 0}])
        columns = qa.pop_feature_columns(batch)
        assert set(columns) == set(qa.FEATURE_COLUMNS)
        assert set(batch) == {"input_ids", "token_type_ids", "attention_mask"}
