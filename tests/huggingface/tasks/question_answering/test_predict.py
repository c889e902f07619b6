"""Asking a model gives what the reducer gives, and what comparing every pair of tokens gives."""

import copy
import dataclasses
import json
import math
import pathlib
from typing import Any

import datasets
import pytest
import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks import question_answering as qa

Tokenizer = transformers.PreTrainedTokenizerFast
# transformers leaves open what the parts of a model are.
Model = Any

QUESTIONS = ["where was he?", "who is it", "what is the capital of france?", "in which year?"]
CONTEXTS = [
    "he went to the old town of york and was home again in the year 1969, and then to paris " * 2,
    "it is ed",
    "the capital of france is paris; " + "what was it " * 12 + "rome is not in france",
    "1969 was the year in which he went to rome and then to lima, oslo and paris",
]
WINDOW: dict[str, Any] = {"max_seq_length": 40, "doc_stride": 9}


def settings(**changes: Any) -> qa.QuestionAnsweringDataKwargs:
    return qa.QuestionAnsweringDataKwargs(**{**WINDOW, **changes})


def tiny_model(tokenizer: Tokenizer, max_positions: int = 64) -> Model:
    """A random model that suits the tokenizer; XLNet's and GPT-2's are of their own kind."""
    torch.manual_seed(0)
    small: dict[str, Any] = {"vocab_size": len(tokenizer), "initializer_range": 1.0}
    if isinstance(tokenizer, transformers.XLNetTokenizer):
        config: Any = transformers.XLNetConfig(d_model=16, n_layer=1, n_head=2, d_inner=16, **small)
    elif tokenizer.cls_token is None:
        config = transformers.GPT2Config(
            n_embd=16, n_layer=1, n_head=2, n_positions=max_positions, **small
        )
    else:
        config = transformers.BertConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=max_positions,
            **small,
        )
    # Dropout stays as it is by default: answers are only right if it is off.
    return transformers.AutoModelForQuestionAnswering.from_config(config).train()


def reduced(
    model: Model,
    tokenizer: Tokenizer,
    data_kwargs: qa.QuestionAnsweringDataKwargs,
    batch_size: int,
) -> tuple[dict[str, str], dict[str, list[dict[str, Any]]]]:
    """What the reducer writes: predictions and n-best lists, by number of the question."""
    rows = datasets.Dataset.from_dict(
        {
            "id": [str(number) for number in range(len(QUESTIONS))],
            "question": QUESTIONS,
            "context": CONTEXTS,
            "answers": [{"text": ["paris"], "answer_start": [0]}] * len(QUESTIONS),
        }
    )
    prepared = qa.prepare_validation_features(rows[:], tokenizer=tokenizer, **WINDOW)
    features = qa.number_features(datasets.Dataset.from_dict(prepared))
    reducer = qa.QuestionAnsweringReducer(rows, features, data_kwargs, write_files=True)
    collator = qa.QuestionAnsweringCollator(tokenizer)
    model.eval()
    for first in range(0, len(features), batch_size):
        numbers = range(first, min(first + batch_size, len(features)))
        batch = collator([features[number] for number in numbers])
        columns = qa.pop_feature_columns(batch)
        with torch.no_grad():
            outputs = model(**batch)
        reducer.update(columns, outputs.start_logits, outputs.end_logits)
    reducer.cross_slot_reduce([reducer.per_slot_reduce()])
    folder = pathlib.Path(str(data_kwargs.output_dir))
    texts = [(folder / name).read_text() for name in ("predictions.json", "nbest_predictions.json")]
    predictions, nbest = map(json.loads, texts)
    return predictions, nbest


@pytest.mark.parametrize("version_2", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_equals_the_reducer(
    tokenizer: Tokenizer, tmp_path: pathlib.Path, version_2: bool, batch_size: int
) -> None:
    model = tiny_model(tokenizer)
    data_kwargs = settings(version_2_with_negative=version_2, output_dir=str(tmp_path))
    if version_2:
        # A threshold between the questions' own: some have an answer, some do not.
        reduced(model, tokenizer, data_kwargs, batch_size)
        odds = sorted(json.loads((tmp_path / "null_odds.json").read_text()).values())
        middle = (odds[1] + odds[2]) / 2
        data_kwargs = dataclasses.replace(data_kwargs, null_score_diff_threshold=middle)
    predictions, nbest = reduced(model, tokenizer, data_kwargs, batch_size)
    answers = qa.answer_questions(
        model, tokenizer, QUESTIONS, CONTEXTS, data_kwargs=data_kwargs, batch_size=batch_size
    )
    assert [answer.text for answer in answers] == list(predictions.values())
    assert ("" in predictions.values()) == version_2
    for answer, entries in zip(answers, nbest.values(), strict=True):
        (score,) = {entry["score"] for entry in entries if entry["text"] == answer.text} & {
            answer.score
        }
        assert score == answer.score


def spans_by_hand(
    model: Model,
    tokenizer: Tokenizer,
    question: str,
    context: str,
    data_kwargs: qa.QuestionAnsweringDataKwargs,
) -> tuple[list[tuple[float, int, int]], float]:
    """Every span of every window as (score, first character, end), and the lowest null score.

    Best first, equal ones in the order of window, first token, last token. Each window goes through
    the model alone, without padding.
    """
    right = tokenizer.padding_side == "right"
    encoded = tokenizer(
        question if right else context,
        context if right else question,
        truncation="only_second" if right else "only_first",
        max_length=data_kwargs.max_seq_length,
        stride=data_kwargs.doc_stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    found = []
    null = math.inf
    model.eval()
    for number, ids in enumerate(encoded["input_ids"]):
        arguments = {"input_ids": ids, "attention_mask": [1] * len(ids)}
        if "token_type_ids" in encoded:
            arguments["token_type_ids"] = encoded["token_type_ids"][number]
        with torch.no_grad():
            outputs = model(**{key: torch.tensor([row]) for key, row in arguments.items()})
        start, end = outputs.start_logits[0].tolist(), outputs.end_logits[0].tolist()
        cls_index = ids.index(tokenizer.cls_token_id) if tokenizer.cls_token else 0
        null = min(null, start[cls_index] + end[cls_index])
        parts = encoded.sequence_ids(number)
        inside = [place for place, part in enumerate(parts) if part == int(right)]
        offsets = encoded["offset_mapping"][number]
        found += [
            (-(start[first] + end[last]), number, first, offsets[first][0], offsets[last][1])
            for first in inside
            for last in inside
            if 0 <= last - first < data_kwargs.max_answer_length
        ]
    return [(-span[0], *span[3:]) for span in sorted(found)], null


@pytest.mark.parametrize("version_2", [False, True])
def test_equals_comparing_every_pair(tokenizer: Tokenizer, version_2: bool) -> None:
    model = tiny_model(tokenizer)
    data_kwargs = settings(
        version_2_with_negative=version_2, n_best_size=7, null_score_diff_threshold=1.0
    )
    # BERT counts its positions from the left, padding included: only alone a window is the same.
    moves = model.config.model_type == "bert" and tokenizer.padding_side == "left"
    answers = qa.answer_questions(
        model,
        tokenizer,
        QUESTIONS,
        CONTEXTS,
        data_kwargs=data_kwargs,
        batch_size=1 if moves else 3,
    )
    assert len(answers) == len(QUESTIONS)
    for question, context, answer in zip(QUESTIONS, CONTEXTS, answers, strict=True):
        spans, null = spans_by_hand(model, tokenizer, question, context, data_kwargs)
        score, start, end = spans[0]
        if version_2 and null - score > 1.0:
            score, start, end = null, 0, 0
        # The entries of the n-best list: the seven best, and "no answer" in any case.
        kept = 7 - (version_2 and null > spans[6][0])
        scores = [span[0] for span in spans[:kept]] + [null] * version_2
        if (answer.start, answer.end) != (start, end):
            # Two spans whose scores differ by less than a batch of another shape rounds.
            other = max(span[0] for span in spans if span[1:] == (answer.start, answer.end))
            assert other == pytest.approx(score, abs=1e-5)
            start, end = answer.start, answer.end
        assert answer.text == context[start:end]
        assert answer.score == pytest.approx(score, abs=1e-5)
        share = math.exp(score) / sum(math.exp(other) for other in scores)
        assert answer.probability == pytest.approx(share, rel=1e-4)


def test_threshold_decides_about_no_answer(bert: Tokenizer) -> None:
    model = tiny_model(bert)

    def ask(threshold: float) -> list[qa.Answer]:
        data_kwargs = settings(version_2_with_negative=True, null_score_diff_threshold=threshold)
        return qa.answer_questions(model, bert, QUESTIONS, CONTEXTS, data_kwargs=data_kwargs)

    assert all(answer.text for answer in ask(math.inf))
    never = ask(-math.inf)
    assert {answer[:3] for answer in never} == {("", 0, 0)}
    assert all(0 < answer.probability < 1 for answer in never)


@pytest.mark.parametrize("limited", ["model", "tokenizer"])
def test_default_lengths_are_cut(bert: Tokenizer, limited: str) -> None:
    """Windows of 384 tokens are too long here; a model would fail at its position 40."""
    tokenizer = copy.deepcopy(bert)
    model = tiny_model(tokenizer, max_positions=40 if limited == "model" else 512)
    tokenizer.model_max_length = 40 if limited == "tokenizer" else 512
    expected = qa.answer_questions(
        model,
        tokenizer,
        QUESTIONS,
        CONTEXTS,
        data_kwargs=qa.QuestionAnsweringDataKwargs(max_seq_length=40, doc_stride=13),
    )
    assert qa.answer_questions(model, tokenizer, QUESTIONS, CONTEXTS) == expected
    # What fits stays.
    short = settings(doc_stride=2)
    assert qa.answer_questions(model, tokenizer, QUESTIONS, CONTEXTS, data_kwargs=short) != expected


def test_every_part_of_the_model_keeps_its_mode(bert: Tokenizer) -> None:
    model = tiny_model(bert)
    model.bert.embeddings.eval()
    before = [module.training for module in model.modules()]
    assert len(set(before)) == 2
    first = qa.answer_questions(model, bert, QUESTIONS, CONTEXTS, data_kwargs=settings())
    assert [module.training for module in model.modules()] == before
    # Dropout was off.
    assert first == qa.answer_questions(model, bert, QUESTIONS, CONTEXTS, data_kwargs=settings())

    def fail(*_: Any) -> None:
        raise RuntimeError("broken")

    model.bert.encoder.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="broken"):
        qa.answer_questions(model, bert, QUESTIONS, CONTEXTS, data_kwargs=settings())
    assert [module.training for module in model.modules()] == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_model_on_a_gpu(bert: Tokenizer) -> None:
    model = tiny_model(bert)
    expected = qa.answer_questions(model, bert, QUESTIONS, CONTEXTS, data_kwargs=settings())
    answers = qa.answer_questions(model.cuda(), bert, QUESTIONS, CONTEXTS, data_kwargs=settings())
    assert [answer.text for answer in answers] == [answer.text for answer in expected]


def test_model_in_half_precision(bert: Tokenizer) -> None:
    model = tiny_model(bert).bfloat16()
    answers = qa.answer_questions(model, bert, QUESTIONS, CONTEXTS, data_kwargs=settings())
    assert all(
        answer.text and answer.text == context[answer.start : answer.end]
        for context, answer in zip(CONTEXTS, answers, strict=True)
    )


class WithoutTokenTypes(transformers.BertForQuestionAnswering):
    """Many models in transformers take any argument and ignore it; others may not."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return super().forward(input_ids=input_ids, attention_mask=attention_mask)


def test_columns_that_the_model_does_not_take(bert: Tokenizer) -> None:
    assert "token_type_ids" in bert("paris")
    model = WithoutTokenTypes(tiny_model(bert).config)
    answers = qa.answer_questions(model, bert, QUESTIONS, CONTEXTS, data_kwargs=settings())
    assert len(answers) == len(QUESTIONS)


@pytest.mark.parametrize("version_2", [False, True])
def test_context_without_text(bert: Tokenizer, version_2: bool) -> None:
    data_kwargs = settings(version_2_with_negative=version_2)
    contexts = [" \x00 ", "he was in paris"]
    empty, other = qa.answer_questions(
        tiny_model(bert), bert, ["where?", "where?"], contexts, data_kwargs=data_kwargs
    )
    assert empty[:3] == ("", 0, 0)
    assert empty.probability == 1.0 and math.isfinite(empty.score)
    assert other.text in contexts[1]


def test_no_question(bert: Tokenizer) -> None:
    assert qa.answer_questions(tiny_model(bert), bert, [], []) == []


@pytest.mark.parametrize(
    ("questions", "contexts", "changes", "message"),
    [
        ("where?", ["in paris"], {}, r"questions is one text; write a list of texts, \['where"),
        (["where?"], "in paris", {}, r"contexts is one text"),
        (["where?"], ["in paris", "in rome"], {}, r"1 questions and 2 contexts"),
        (["where?"], ["in paris"], {"batch_size": 0}, r"batch_size is 0"),
        (["where?"], ["in paris"], {"data_kwargs": settings(doc_stride=-1)}, r"doc_stride is -1"),
        (["who " * 40], ["in paris " * 40], {"data_kwargs": settings()}, r"question of row 0 has"),
    ],
)
def test_what_cannot_be_asked(
    bert: Tokenizer, questions: Any, contexts: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        qa.answer_questions(tiny_model(bert), bert, questions, contexts, **changes)
