"""Answers, their probabilities and the loss: tokens with blanks, "no answer", unknown places."""

import logging
import math
from typing import Any

import datasets
import numpy as np
import pytest
import tiny
import tokenizers
import torch
import transformers

from model_hub.huggingface.tasks import question_answering as qa
from model_hub.huggingface.tasks.question_answering.answers import (
    ChosenSpans,
    best_spans,
    log_weights,
    nbest_lists,
    without_blanks,
)
from model_hub.huggingface.tasks.question_answering.predict import answer_questions
from model_hub.huggingface.tasks.question_answering.rows import check_columns

Tokenizer = transformers.PreTrainedTokenizerFast


def sentence_pieces(pieces: list[str], *, separate: bool) -> Tokenizer:
    """Marks blanks with U+2581. XLM-R's way (separate): before each word, with the place of its
    first character. Gemma's way: in place of the blank, which is in the token's place."""
    names = ["<unk>", "<s>", "</s>", "<pad>", "\u2581", *pieces]
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram([(n, -1.0) for n in names], unk_id=0))
    if separate:
        backend.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
            [tokenizers.pre_tokenizers.WhitespaceSplit(), tokenizers.pre_tokenizers.Metaspace()]
        )
    else:
        backend.normalizer = tokenizers.normalizers.Replace(" ", "\u2581")
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B </s>",
        special_tokens=[("<s>", 1), ("</s>", 2)],
    )
    return Tokenizer(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
    )


def test_a_blank_alone_at_the_edge_of_a_window() -> None:
    """The window that begins behind the blank has all of the answer's text."""
    tokenizer = sentence_pieces(list("abcdefgh"), separate=True)
    context = "ab cd ef gh"
    rows = {
        "id": ["q"],
        "question": ["a"],
        "context": [context],
        "answers": [{"text": ["ef"], "answer_start": [6]}],
    }
    # Of the context three tokens a window, two of them shared: every token begins one.
    made = qa.prepare_train_features(rows, tokenizer=tokenizer, max_seq_length=8, doc_stride=2)
    taught = []
    for ids, start, end in zip(
        made["input_ids"], made["start_positions"], made["end_positions"], strict=True
    ):
        tokens = tokenizer.convert_ids_to_tokens(ids)
        taught.append(("".join(tokens[4:-1]), "".join(tokens[start : end + 1])))
    expected = {"\u2581ef": "\u2581ef", "ef\u2581": "ef"}
    assert len(taught) > 8 and set(expected) < {window for window, _ in taught}
    assert all(answer == expected.get(window, "<s>") for window, answer in taught)


def scored(
    scores: list[float], null: float, texts: list[tuple[int, int]] | None = None
) -> ChosenSpans:
    """The spans of one question, best first."""
    places = texts or [(n, n + 1) for n in range(len(scores))]
    begin, end = (np.array(column, dtype=np.int64) for column in zip(*places, strict=True))
    numbers = np.array(scores, np.float32)
    zero = np.zeros(len(scores), np.int64)
    return ChosenSpans(
        np.array([0]), np.array([null]), zero, begin, end, numbers, numbers * 0, numbers
    )


@pytest.mark.parametrize("n_best_size", [1, 2, 3])
@pytest.mark.parametrize("null", [9.0, 4.5, 4.0, 3.5, 2.5, -1.0])
@pytest.mark.parametrize("with_null", [False, True])
def test_probabilities_are_those_of_the_n_best_list(
    n_best_size: int, null: float, with_null: bool
) -> None:
    chosen = scored([5.0, 4.0, 3.0][:n_best_size], null)
    (entries,) = nbest_lists(chosen, ["abc"], with_null, n_best_size)
    total = sum(math.exp(entry["score"]) for entry in entries)
    assert math.exp(log_weights(chosen, np.array([with_null]), n_best_size)[0]) == (
        pytest.approx(total)
    )
    assert sum(entry["probability"] for entry in entries) == pytest.approx(1)
    # The answer is among them, and so is "no answer" if it is allowed.
    texts = [entry["text"] for entry in entries]
    assert "a" in texts and ("" in texts) == with_null
    better = sum(score >= null for score in [5.0, 4.0, 3.0][:n_best_size])
    if n_best_size > 1 or not with_null:
        assert len(entries) == n_best_size + (with_null and better == n_best_size)
    assert [entry["score"] for entry in entries] == sorted(
        (entry["score"] for entry in entries), reverse=True
    )


def test_blanks_are_not_part_of_answers() -> None:
    context = " the  old\ttown \u3000"
    cut = [(0, 4), (4, 6), (5, 10), (9, 15), (14, 16), (6, 9)]
    chosen = without_blanks(scored([6, 5, 4, 3, 2, 1], 0.0, cut), [context])
    texts = [context[b:e] for b, e in zip(chosen.begin, chosen.end, strict=True)]
    assert texts == ["the", "", "old", "town", "", "old"]
    # A span of blanks is no answer.
    only = without_blanks(scored([6, 5], 0.0, [(4, 6), (6, 9)]), [context])
    assert best_spans(only).texts([context]) == ["old"]


def test_answers_of_a_tokenizer_whose_tokens_hold_blanks() -> None:
    tokenizer = sentence_pieces(["he", "\u2581is", "\u2581Ed"], separate=False)
    model = model_that_answers(tokenizer, "\u2581Ed")
    (answer,) = answer_questions(model, tokenizer, ["he"], ["he is Ed"])
    assert (answer.text, answer.start, answer.end) == ("Ed", 6, 8)


def model_that_answers(tokenizer: Tokenizer, token: str) -> Any:
    """A model whose start and end logits are highest at this token."""
    config = tiny.bert_config(vocab_size=len(tokenizer), max_position_embeddings=64)
    model = transformers.BertForQuestionAnswering(config).eval()
    number = tokenizer.convert_tokens_to_ids(token)
    with torch.no_grad():
        # Its final vector points elsewhere than those of all others.
        model.bert.encoder.layer = torch.nn.ModuleList()
        model.bert.embeddings.word_embeddings.weight.zero_()
        model.bert.embeddings.position_embeddings.weight.zero_()
        model.bert.embeddings.token_type_embeddings.weight.zero_()
        model.bert.embeddings.word_embeddings.weight[number, 0] = 1.0
        model.qa_outputs.weight.zero_()
        model.qa_outputs.weight[:, 0] = 5.0
    return model


@pytest.mark.parametrize("answered", [True, False])
def test_unanswerable_questions_are_told(answered: bool, caplog: pytest.LogCaptureFixture) -> None:
    empty = {"text": [], "answer_start": []}
    some = {"text": ["a"], "answer_start": [0]}
    rows = datasets.Dataset.from_dict(
        {
            "id": ["q1", "q2", "q3"],
            "context": ["a"] * 3,
            "question": ["b"] * 3,
            "answers": [some, *([some] * 2 if answered else [empty] * 2)],
        }
    )
    caplog.set_level(logging.WARNING, logger="model_hub")
    check_columns(rows, "data.train_file", version_2_with_negative=True)
    assert not caplog.text
    check_columns(rows, "data.train_file", version_2_with_negative=False)
    if answered:
        assert not caplog.text
    else:
        assert (
            "2 of 3 questions have no answer" in caplog.text
            and "the first of them in row 2" in caplog.text
        )
        assert "data.version_2_with_negative: true" in caplog.text


@pytest.mark.parametrize("slots", [1, 3])
def test_loss_is_the_models(slots: int, tokenizer: Tokenizer) -> None:
    """The mean over all windows with a known answer, however they are dealt."""
    rows = datasets.Dataset.from_dict(
        {
            "id": ["q1", "q2", "q3"],
            "question": ["who is it?"] * 3,
            "context": ["it is ed " * 9, "he went to paris", "it is ed"],
            "answers": [
                {"text": ["ed"], "answer_start": [6]},
                {"text": [], "answer_start": []},
                {"text": ["ed"], "answer_start": None},
            ],
        }
    )
    window = {"max_seq_length": 24, "doc_stride": 4}
    made = qa.prepare_validation_features(rows[:], tokenizer=tokenizer, **window)
    features = qa.number_features(datasets.Dataset.from_dict(made))
    light = features.remove_columns(["example_id", "offset_mapping"])
    generator = torch.Generator().manual_seed(5)
    longest = max(map(len, features["input_ids"][:]))
    logits = torch.randn(2, len(features), longest, generator=generator)
    settings = qa.QuestionAnsweringDataKwargs(version_2_with_negative=True, **window)
    parts = []
    for slot in range(slots):
        reducer = qa.QuestionAnsweringReducer(rows, features, settings)
        for first in range(slot, len(features), 2 * slots):
            numbers = list(range(first, len(features), slots))[:2]
            batch = qa.QuestionAnsweringCollator(tokenizer, min_length=longest)(
                [light[number] for number in numbers]
            )
            columns = qa.pop_feature_columns(batch)
            reducer.update(columns, logits[0, numbers], logits[1, numbers])
        parts.append(reducer.per_slot_reduce())
    found = reducer.cross_slot_reduce(parts)["validation_loss"]

    train = qa.prepare_train_features(rows.select([0, 1])[:], tokenizer=tokenizer, **window)
    batch = qa.QuestionAnsweringCollator(tokenizer, min_length=longest)(
        [dict(zip(train, values, strict=True)) for values in zip(*train.values(), strict=True)]
    )
    count = len(batch["start_positions"])
    losses = [
        torch.nn.functional.cross_entropy(logits[side, :count], batch[name])
        for side, name in enumerate(("start_positions", "end_positions"))
    ]
    assert count < len(features)
    assert found == pytest.approx(sum(loss.item() for loss in losses) / 2, rel=1e-5)
