"""Windows and their labels, against the definition: one window after another, token by token."""

import functools
import pickle
from typing import Any

import datasets
import hypothesis
import numpy as np
import pytest
import transformers
from hypothesis import strategies as st

from model_hub.errors import UserError
from model_hub.huggingface.tasks import question_answering as qa
from model_hub.huggingface.tasks.question_answering.labels import _find_tokens

Tokenizer = transformers.PreTrainedTokenizerFast

# Characters that tokenizers drop, split, merge or cover together with others.
ALPHABET = "abist the.- \t\n\xa0é½ﬁ中😀\u200b\x00"
TEXT = st.text(alphabet=ALPHABET, max_size=60)


def row(
    context: str, question: str = "is it?", text: str | None = None, start: int = 0
) -> dict[str, list[Any]]:
    texts, starts = ([], []) if text is None else ([text], [start])
    return {
        "id": ["q1"],
        "context": [context],
        "question": [question],
        "answers": [{"text": texts, "answer_start": starts}],
    }


def reference(
    tokenizer: Tokenizer, example: dict[str, list[Any]], max_seq_length: int, doc_stride: int
) -> list[tuple[list[tuple[int, int]], tuple[int, int] | None]]:
    """Per window the offsets of its context tokens and the answer's tokens among them.

    From the encoding of the whole pair, which no window has cut.
    """
    question, context = example["question"][0].lstrip(), example["context"][0]
    question_first = tokenizer.padding_side == "right"
    pair = (question, context) if question_first else (context, question)
    # As a batch of one: a single pair with an empty second text would be taken for one text.
    whole = tokenizer(*([text] for text in pair), verbose=False).encodings[0]
    tokens = [
        offset
        for offset, part in zip(whole.offsets, whole.sequence_ids, strict=True)
        if part == int(question_first)
    ]
    texts = [
        token
        for token, part in zip(whole.tokens, whole.sequence_ids, strict=True)
        if part == int(question_first)
    ]
    characters: set[int] = set()
    room = max_seq_length - (len(whole) - len(tokens))
    answer: list[int] = []
    if example["answers"][0]["text"]:
        text, start = example["answers"][0]["text"][0], example["answers"][0]["answer_start"][0]
        # All but the blanks at either end.
        characters = {
            start + place
            for place in range(len(text))
            if text[: place + 1].strip() and text[place:].strip()
        }
        answer = [
            number
            for number, (begin, end) in enumerate(tokens)
            if characters.intersection(range(begin, end))
        ]
    windows = []
    first = 0
    while True:
        inside = tokens[first : first + room]
        begin = answer[0] if answer else 0
        # A token without text before the answer's first character need not be there.
        behind = begin + 1 == first < len(tokens) and not texts[begin].strip("\u2581\u0120")
        if behind and tokens[first][0] <= min(characters):
            begin = first
        whole_answer = answer and first <= begin <= answer[-1] < first + room
        windows.append((inside, (begin - first, answer[-1] - first) if whole_answer else None))
        if first + room >= len(tokens):
            return windows
        first += room - doc_stride


@st.composite
def answered_rows(draw: st.DrawFn) -> tuple[dict[str, list[Any]], int, int]:
    context = draw(TEXT)
    begin = draw(st.integers(0, len(context)))
    end = draw(st.integers(begin, len(context)))
    question = draw(st.sampled_from(["is it?", "  who", "中?", ""]))
    doc_stride = draw(st.integers(0, 6))
    # Byte-level tokens of the longest question, special tokens, and something to move on.
    return (
        row(context, question, context[begin:end], begin),
        doc_stride + draw(st.integers(12, 40)),
        doc_stride,
    )


@hypothesis.settings(max_examples=400, deadline=None)
@hypothesis.given(case=answered_rows())
def test_windows_and_labels_are_those_of_the_definition(
    tokenizer: Tokenizer, case: tuple[dict[str, list[Any]], int, int]
) -> None:
    example, max_seq_length, doc_stride = case
    settings = {"max_seq_length": max_seq_length, "doc_stride": doc_stride}
    train = qa.prepare_train_features(example, tokenizer=tokenizer, **settings)
    validation = qa.prepare_validation_features(example, tokenizer=tokenizer, **settings)
    expected = reference(tokenizer, example, **settings)
    assert validation["input_ids"] == train["input_ids"]
    assert len(train["input_ids"]) == len(expected)
    for number, (tokens, answer) in enumerate(expected):
        begin, end = validation["context_begin"][number], validation["context_end"][number]
        offsets = [tuple(pair) for pair in validation["offset_mapping"][number]]
        assert len(offsets) == len(train["input_ids"][number]) <= max_seq_length
        assert offsets[begin:end] == tokens
        positions = (train["start_positions"][number], train["end_positions"][number])
        if answer is None:
            assert positions == (validation["cls_index"][number],) * 2
        else:
            assert positions == (begin + answer[0], begin + answer[1])


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(
    words=st.lists(st.sampled_from(["paris", "is", "the", "x", "1999"]), min_size=1, max_size=30),
    data=st.data(),
)
def test_labelled_tokens_are_the_answer(
    tokenizer: Tokenizer, words: list[str], data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    answer = " ".join(words[first : last + 1])
    context = " ".join(words)
    start = len(" ".join([*words[:first], ""]))
    example = row(context, text=answer, start=start)
    settings = {"tokenizer": tokenizer, "max_seq_length": 500, "doc_stride": 10}
    train = qa.prepare_train_features(example, **settings)
    (offsets,) = qa.prepare_validation_features(example, **settings)["offset_mapping"]
    begin, _ = offsets[train["start_positions"][0]]
    _, end = offsets[train["end_positions"][0]]
    # Byte-level tokens begin with the blank before their word.
    assert context[begin:end].lstrip() == answer


def test_windows_from_the_right(bert: Tokenizer) -> None:
    """A tokenizer that truncates on the left gives the windows in reverse order."""
    other = pickle.loads(pickle.dumps(bert))
    other.truncation_side = "left"
    words = [f"w{number}" for number in range(40)]
    context = " ".join(words)
    example = row(context, text="w20 w21", start=context.index("w20"))
    settings = {"max_seq_length": 40, "doc_stride": 12}
    train = qa.prepare_train_features(example, tokenizer=other, **settings)
    validation = qa.prepare_validation_features(example, tokenizer=other, **settings)
    covered = []
    for offsets, start, end, cls_index in zip(
        validation["offset_mapping"],
        train["start_positions"],
        train["end_positions"],
        validation["cls_index"],
        strict=True,
    ):
        if start != cls_index:
            covered.append(context[offsets[start][0] : offsets[end][1]])
    assert covered and set(covered) == {"w20 w21"}


@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_unanswerable_points_at_cls(tokenizer: Tokenizer, text: str | None) -> None:
    train = qa.prepare_train_features(
        row("a  \n b", text=text, start=1), tokenizer=tokenizer, max_seq_length=30, doc_stride=2
    )
    ids, (position,) = train["input_ids"][0], train["start_positions"]
    assert train["end_positions"] == [position]
    if tokenizer.cls_token_id is None:
        assert position == 0
    else:
        assert ids[position] == tokenizer.cls_token_id


def test_cls_written_in_the_text_is_not_cls(bert: Tokenizer, xlnet: Tokenizer) -> None:
    for tokenizer, expected in ((bert, 0), (xlnet, -1)):
        name = tokenizer.cls_token
        example = row(f"{name} x {name}", question=f"{name}?")
        settings = {"tokenizer": tokenizer, "max_seq_length": 30, "doc_stride": 2}
        features = qa.prepare_validation_features(example, **settings)
        length = len(features["input_ids"][0])
        assert features["cls_index"] == [expected % length]


def test_without_cls_the_first_token_that_is_no_padding(gpt: Tokenizer) -> None:
    tokenizer = pickle.loads(pickle.dumps(gpt))
    tokenizer.pad_token, tokenizer.padding_side = "!", "left"
    example = row("no answer here")
    features = qa.prepare_train_features(
        example, tokenizer=tokenizer, max_seq_length=40, doc_stride=2, pad_to_max_length=True
    )
    (ids,), (position,) = features["input_ids"], features["start_positions"]
    padding = tokenizer.pad_token_id
    assert 0 < position == next(place for place, token in enumerate(ids) if token != padding)


def test_tokens_without_characters_are_no_part_of_an_answer() -> None:
    # Some tokenizers give tokens that they put in themselves the offsets (0, 0), anywhere.
    offsets = [[(0, 0), (0, 2), (0, 0), (2, 5)], [(0, 0), (6, 8), (0, 0)], [(0, 3)]]
    contexts = np.array([0, 0, 1])
    spans = np.array([[2, 8], [0, 3]])
    assert _find_tokens(offsets, contexts, spans) == ([3, 7], [5, 7])
    # Characters 5 to 6 have no token.
    first, last = _find_tokens(offsets, contexts, np.array([[5, 6], [1, 2]]))
    assert first[0] > last[0]
    assert first[1] == last[1] == 7


def test_blanks_before_a_question_do_not_count(tokenizer: Tokenizer) -> None:
    settings = {"tokenizer": tokenizer, "max_seq_length": 40, "doc_stride": 4}
    plain = qa.prepare_train_features(row("the context", question="who?"), **settings)
    blank = qa.prepare_train_features(
        row("the context", question=" \n\t" * 99 + "who?"), **settings
    )
    assert blank == plain


def test_question_stands_on_the_side_of_no_padding(bert: Tokenizer, left: Tokenizer) -> None:
    settings = {"max_seq_length": 40, "doc_stride": 4}
    example = row("ccc", question="qq")
    texts = [
        tokenizer.decode(
            qa.prepare_train_features(example, tokenizer=tokenizer, **settings)["input_ids"][0]
        )
        for tokenizer in (bert, left)
    ]
    assert texts == ["[CLS] qq [SEP] ccc [SEP]", "[CLS] ccc [SEP] qq [SEP]"]


def test_stored_padding_moves_the_positions(bert: Tokenizer, left: Tokenizer) -> None:
    example = row("where paris is the capital", text="paris", start=6)
    for tokenizer in (bert, left):
        settings: dict[str, Any] = {"tokenizer": tokenizer, "max_seq_length": 60, "doc_stride": 4}
        settings["examples"] = example
        short = {
            **qa.prepare_train_features(**settings),
            **qa.prepare_validation_features(**settings),
        }
        settings["pad_to_max_length"] = True
        long = {
            **qa.prepare_train_features(**settings),
            **qa.prepare_validation_features(**settings),
        }
        (ids,) = long["input_ids"]
        assert len(ids) == len(long["offset_mapping"][0]) == 60
        moved = ids.index(tokenizer.cls_token_id)
        assert (moved > 0) == (tokenizer.padding_side == "left")
        for name in (
            "start_positions",
            "end_positions",
            "context_begin",
            "context_end",
            "cls_index",
        ):
            assert long[name] == [short[name][0] + moved], name


def test_columns_and_types(tokenizer: Tokenizer) -> None:
    settings = {"tokenizer": tokenizer, "max_seq_length": 30, "doc_stride": 4}
    example = row(
        "the context is longer than one window takes, so there are several", text="is", start=12
    )
    given = {name for name in tokenizer.model_input_names if name != "attention_mask"}
    train = qa.prepare_train_features(example, **settings)
    assert set(train) == {*given, "attention_mask", "start_positions", "end_positions"}
    validation = qa.prepare_validation_features({**example, "id": [7]}, **settings)
    assert set(validation) == {
        *given,
        "attention_mask",
        "example_id",
        "offset_mapping",
        "context_begin",
        "context_end",
        "cls_index",
        "answer_begin",
        "answer_end",
    }
    # The labels are those of training; questions that are only asked have none.
    assert validation["answer_begin"] == train["start_positions"]
    assert validation["answer_end"] == train["end_positions"]
    asked = {name: column for name, column in example.items() if name != "answers"}
    assert "answer_begin" not in qa.prepare_validation_features(asked, **settings)
    assert len(validation["input_ids"]) > 1
    assert set(validation["example_id"]) == {"7"}
    assert all(0 not in mask for mask in train["attention_mask"])


@pytest.mark.parametrize("question", ["x " * 40, "é " * 40, "x " * 26])
def test_question_longer_than_the_window_names_the_row(tokenizer: Tokenizer, question: str) -> None:
    example = row("the context is long enough to need windows, " * 4, question=question)
    example["id"] = ["the-long-one"]
    with pytest.raises(
        UserError, match=r"the-long-one.*data\.max_seq_length 32.*data\.doc_stride 5"
    ):
        qa.prepare_train_features(example, tokenizer=tokenizer, max_seq_length=32, doc_stride=5)


def test_longest_question(bert: Tokenizer) -> None:
    """It leaves room for the stride and one new token; one token more is too much."""
    settings = {"max_seq_length": 32, "doc_stride": 8}
    context = "a " * 60
    fits = row(context, question="x " * 20)
    features = qa.prepare_train_features(fits, tokenizer=bert, **settings)
    assert len(features["input_ids"]) == 60 - 8
    with pytest.raises(UserError, match=r"has 21 tokens.*at most 20 leave room"):
        qa.prepare_train_features(row(context, question="x " * 21), tokenizer=bert, **settings)


def test_long_question_with_a_short_context_is_fine(bert: Tokenizer) -> None:
    example = row("x", question="x " * 20, text="x", start=0)
    settings = {"tokenizer": bert, "max_seq_length": 32, "doc_stride": 10}
    features = qa.prepare_train_features(example, **settings)
    assert features["start_positions"] == [22]


def test_through_dataset_map_in_processes(bert: Tokenizer) -> None:
    contexts = [f"the capital number {number} is paris " * 5 for number in range(7)]
    examples = datasets.Dataset.from_list(
        [
            {
                "id": str(number),
                "context": context,
                "question": "what?",
                "answers": {"text": ["paris"], "answer_start": [context.index("paris")]},
            }
            for number, context in enumerate(contexts)
        ]
    )
    function = functools.partial(
        qa.prepare_validation_features, tokenizer=bert, max_seq_length=40, doc_stride=10
    )
    expected = function(examples[:])
    for num_proc in (None, 2):
        mapped = examples.map(
            function,
            batched=True,
            batch_size=3,
            remove_columns=examples.column_names,
            num_proc=num_proc,
            load_from_cache_file=False,
        )
        numbered = qa.number_features(mapped)
        assert numbered["feature_id"][:] == list(range(len(expected["input_ids"])))
        assert mapped["input_ids"][:] == expected["input_ids"]
        assert mapped["offset_mapping"][0] == [list(pair) for pair in expected["offset_mapping"][0]]
