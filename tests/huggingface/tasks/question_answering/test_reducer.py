"""The reducer equals a plain definition, whatever the batches; its files; real data."""

import dataclasses
import functools
import itertools
import json
import math
import pathlib
import pickle
import random
from typing import Any

import datasets
import hypothesis
import pytest
import torch
import transformers
from hypothesis import strategies as st

from model_hub.errors import UserError
from model_hub.huggingface.tasks import question_answering as qa

Tokenizer = transformers.PreTrainedTokenizerFast
DATA = pathlib.Path(__file__).parents[5] / "shared" / "data"
WINDOW: dict[str, Any] = {"max_seq_length": 40, "doc_stride": 10}


def settings(**changes: Any) -> qa.QuestionAnsweringDataKwargs:
    return dataclasses.replace(qa.QuestionAnsweringDataKwargs(), **WINDOW, **changes)


@functools.cache
def examples() -> datasets.Dataset:
    places = ["paris", "rome", "the old town of york", "lima", "oslo"]
    rows = []
    for number, place in enumerate(places):
        context = f"he went to {place} in the year 19{number}9 " + "and then home again " * number
        # Every other question has no answer.
        answers = {"text": [place], "answer_start": [11]}
        rows.append(
            {
                "id": f"q{number}",
                "context": context,
                "question": "where?",
                "answers": answers if number % 2 == 0 else {"text": [], "answer_start": []},
            }
        )
    return datasets.Dataset.from_list(rows)


def features_of(tokenizer: Tokenizer, rows: datasets.Dataset, **window: int) -> datasets.Dataset:
    prepared = qa.prepare_validation_features(rows[:], tokenizer=tokenizer, **(window or WINDOW))
    return qa.number_features(datasets.Dataset.from_dict(prepared))


def logits_of(features: datasets.Dataset, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Per feature logits of its own length, coarse enough for ties."""
    generator = torch.Generator().manual_seed(seed)
    return [
        tuple(torch.randint(-6, 7, (2, len(ids)), generator=generator).half() / 2)
        for ids in features["input_ids"][:]
    ]


def feed(
    reducer: qa.QuestionAnsweringReducer,
    tokenizer: Tokenizer,
    features: datasets.Dataset,
    logits: list[tuple[torch.Tensor, torch.Tensor]],
    batches: list[list[int]],
) -> Any:
    """What a slot does with its batches of feature numbers."""
    reducer.reset()
    light = features.remove_columns(["example_id", "offset_mapping"])
    collator = qa.QuestionAnsweringCollator(tokenizer)
    for numbers in batches:
        batch = collator([light[number] for number in numbers])
        columns = qa.pop_feature_columns(batch)
        padded = torch.full((2, *batch["input_ids"].shape), 50.0, dtype=torch.float16)
        for place, number in enumerate(numbers):
            left, length = columns["left_padding"][place], len(logits[number][0])
            padded[0, place, left : left + length] = logits[number][0]
            padded[1, place, left : left + length] = logits[number][1]
        reducer.update(columns, padded[0], padded[1])
    return pickle.loads(pickle.dumps(reducer.per_slot_reduce()))


def plain_answers(
    rows: datasets.Dataset,
    features: datasets.Dataset,
    logits: list[tuple[torch.Tensor, torch.Tensor]],
    data_kwargs: qa.QuestionAnsweringDataKwargs,
) -> tuple[dict[str, list[tuple[float, str]]], dict[str, float]]:
    """Per example its n best (score, text), and the lowest null score: every pair compared."""
    best: dict[str, list[tuple[float, str]]] = {}
    null: dict[str, float] = {}
    contexts = dict(zip(rows["id"][:], rows["context"][:], strict=True))
    spans: dict[str, list[tuple[float, int, int, int]]] = {name: [] for name in contexts}
    for number, feature in enumerate(features):
        name = feature["example_id"]
        start, end = (values.float().tolist() for values in logits[number])
        cls_index = feature["cls_index"]
        null[name] = min(null.get(name, math.inf), start[cls_index] + end[cls_index])
        inside = range(feature["context_begin"], feature["context_end"])
        spans[name] += [
            (-(start[first] + end[last]), number, first, last)
            for first in inside
            for last in inside
            if 0 <= last - first < data_kwargs.max_answer_length
        ]
    for name, found in spans.items():
        best[name] = []
        for score, number, first, last in sorted(found)[: data_kwargs.n_best_size]:
            offsets = features[number]["offset_mapping"]
            text = contexts[name][offsets[first][0] : offsets[last][1]]
            best[name].append((-score, text.strip()))
    return best, null


@st.composite
def dealings(draw: st.DrawFn) -> dict[str, int]:
    return {name: draw(st.integers(0, 2**16)) for name in ("logits", "order", "batches")}


def deal(numbers: list[int], seed: int, slots: int) -> list[list[list[int]]]:
    """Batches of random sizes for every slot; a slot may get none, and some features come twice."""
    choose = random.Random(seed)
    numbers = numbers + choose.sample(numbers, k=len(numbers) // 3)
    choose.shuffle(numbers)
    dealt: list[list[list[int]]] = [[] for _ in range(slots)]
    while numbers:
        size = choose.randint(1, 5)
        choose.choice(dealt).append(numbers[:size])
        numbers = numbers[size:]
    return dealt


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(
    seeds=st.tuples(st.integers(0, 2**16), st.integers(0, 2**16)),
    slots=st.integers(1, 4),
    version_2=st.booleans(),
    n_best_size=st.sampled_from([1, 3, 20]),
)
def test_equals_the_definition_for_any_batches(
    tokenizer: Tokenizer,
    tmp_path_factory: pytest.TempPathFactory,
    seeds: tuple[int, int],
    slots: int,
    version_2: bool,
    n_best_size: int,
) -> None:
    folder = tmp_path_factory.mktemp("predictions")
    data_kwargs = settings(
        version_2_with_negative=version_2,
        n_best_size=n_best_size,
        max_answer_length=8,
        null_score_diff_threshold=-1.0,
        output_dir=str(folder),
    )
    features = features_of(tokenizer, examples())
    logits = logits_of(features, seeds[0])
    reducer = qa.QuestionAnsweringReducer(examples(), features, data_kwargs, write_files=True)
    numbers = list(range(len(features)))
    parts = [
        feed(reducer, tokenizer, features, logits, batches)
        for batches in deal(numbers, seeds[1], slots)
    ]
    metrics = reducer.cross_slot_reduce(parts)
    assert metrics.pop("validation_loss") > 0

    best, null = plain_answers(examples(), features, logits, data_kwargs)
    # Without text among the n best there is no answer.
    nothing = (0.0, "")
    top = {n: next((pair for pair in spans if pair[1]), nothing) for n, spans in best.items()}
    difference = {name: null[name] - score for name, (score, _) in top.items()}
    texts = {name: text for name, (_, text) in top.items()}
    references = {
        name: answers["text"]
        for name, answers in zip(examples()["id"][:], examples()["answers"][:], strict=True)
    }
    nbest = json.loads((folder / "nbest_predictions.json").read_text("utf-8"))
    predictions = json.loads((folder / "predictions.json").read_text("utf-8"))
    if version_2:
        assert metrics == qa.squad_v2_metrics(texts, references, difference, -1.0)
        assert json.loads((folder / "null_odds.json").read_text("utf-8")) == difference
        expected = {name: "" if difference[name] > -1.0 else text for name, text in texts.items()}
        assert predictions == expected
        # The official evaluation of the file gives the same.
        final = qa.squad_v2_metrics(predictions, references)
        assert {name: metrics[name] for name in final} == final
    else:
        assert metrics == qa.squad_v1_metrics(texts, references)
        assert predictions == texts
        assert not (folder / "null_odds.json").exists()
    for name, entries in nbest.items():
        assert sum(entry["probability"] for entry in entries) == pytest.approx(1.0)
        scores = [entry["score"] for entry in entries]
        assert scores == sorted(scores, reverse=True)
        for left, right in itertools.pairwise(entries):
            ratio = math.exp(right["score"] - left["score"])
            assert right["probability"] == pytest.approx(left["probability"] * ratio)
        listed = best[name]
        if version_2:
            # "No answer" stands where its score puts it; behind the n best, it is one more.
            listed = sorted([*listed, (null[name], "")], key=lambda span: -span[0])
            place = listed.index((null[name], ""))
            if n_best_size > 1:  # Else the best answer is there, too.
                listed = listed[:n_best_size] + listed[place : place + 1] * (place >= n_best_size)
        assert [(entry["score"], entry["text"]) for entry in entries] == listed


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(seed=st.integers(0, 2**16), data=st.data())
def test_a_part_of_the_features_is_scored_over_their_examples(
    bert: Tokenizer, seed: int, data: st.DataObject
) -> None:
    features = features_of(bert, examples())
    some = data.draw(st.sets(st.sampled_from(range(len(features))), min_size=1))
    logits = logits_of(features, seed)
    data_kwargs = settings(version_2_with_negative=True)
    reducer = qa.QuestionAnsweringReducer(examples(), features, data_kwargs)
    metrics = reducer.cross_slot_reduce((feed(reducer, bert, features, logits, [sorted(some)]),))
    assert metrics["total"] == len({features["example_id"][number] for number in some})
    # The same as if nothing else had been there.
    fewer = features.select(sorted(some)).remove_columns("feature_id")
    alone = qa.QuestionAnsweringReducer(examples(), qa.number_features(fewer), data_kwargs)
    part = feed(
        alone,
        bert,
        qa.number_features(fewer),
        [logits[number] for number in sorted(some)],
        [list(range(len(some)))],
    )
    assert alone.cross_slot_reduce([part]) == metrics


@pytest.mark.parametrize("version_2", [False, True])
def test_nothing_seen(bert: Tokenizer, tmp_path: pathlib.Path, version_2: bool) -> None:
    features = features_of(bert, examples())
    data_kwargs = settings(version_2_with_negative=version_2, output_dir=str(tmp_path))
    reducer = qa.QuestionAnsweringReducer(examples(), features, data_kwargs, write_files=True)
    metrics = reducer.cross_slot_reduce([reducer.per_slot_reduce(), reducer.per_slot_reduce()])
    assert math.isnan(metrics["f1"])
    assert json.loads((tmp_path / "predictions.json").read_text()) == {}


def test_reset_forgets(bert: Tokenizer) -> None:
    features = features_of(bert, examples())
    reducer = qa.QuestionAnsweringReducer(examples(), features, settings())
    feed(reducer, bert, features, logits_of(features, 0), [[0, 1]])
    reducer.reset()
    assert len(reducer.per_slot_reduce().feature_id) == 0


def test_no_span_at_all_is_an_empty_answer(bert: Tokenizer, tmp_path: pathlib.Path) -> None:
    """A model that has diverged, and a context without a token."""
    rows = datasets.Dataset.from_list(
        [{**examples()[0], "id": "nan"}, {**examples()[0], "id": "empty", "context": " \x00 "}]
    )
    features = features_of(bert, rows)
    for version_2 in (False, True):
        data_kwargs = settings(version_2_with_negative=version_2, output_dir=str(tmp_path))
        reducer = qa.QuestionAnsweringReducer(rows, features, data_kwargs, write_files=True)
        logits = [tuple(torch.full((2, len(ids)), math.nan)) for ids in features["input_ids"][:]]
        numbers = list(range(len(features)))
        metrics = reducer.cross_slot_reduce([feed(reducer, bert, features, logits, [numbers])])
        assert metrics["f1"] == 0.0
        for file in tmp_path.iterdir():
            text = file.read_text("utf-8")
            assert "NaN" not in text and "Infinity" not in text
        assert json.loads((tmp_path / "predictions.json").read_text()) == {"nan": "", "empty": ""}
        nbest = json.loads((tmp_path / "nbest_predictions.json").read_text())
        assert [entry["text"] for entry in nbest["empty"]] == [""]


def test_files_are_whole_readable_and_replaced(bert: Tokenizer, tmp_path: pathlib.Path) -> None:
    rows = examples().select([0]).map(lambda _: {"context": "à “paris” 😀"})
    features = features_of(bert, rows)
    folder = tmp_path / "new" / "folder"
    reducer = qa.QuestionAnsweringReducer(
        rows, features, settings(output_dir=str(folder)), write_files=True
    )
    for seed in (1, 2):
        logits = logits_of(features, seed)
        reducer.cross_slot_reduce([feed(reducer, bert, features, logits, [[0]])])
        names = sorted(path.name for path in folder.iterdir())
        assert names == ["nbest_predictions.json", "predictions.json"]
    text = (folder / "nbest_predictions.json").read_text("utf-8")
    assert "“" in text and "\\u" not in text
    # Written for others to read, not like a temporary file.
    assert (folder / "predictions.json").stat().st_mode & 0o044 == 0o044


@pytest.mark.parametrize("changes", [{}, {"output_dir": "out"}])
def test_no_files_unless_told(
    bert: Tokenizer,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    monkeypatch.chdir(tmp_path)
    features = features_of(bert, examples())
    write_files = not changes
    reducer = qa.QuestionAnsweringReducer(
        examples(), features, settings(**changes), write_files=write_files
    )
    reducer.cross_slot_reduce([feed(reducer, bert, features, logits_of(features, 0), [[0]])])
    assert not list(tmp_path.iterdir())


def test_ids_must_differ(bert: Tokenizer) -> None:
    rows = examples().map(lambda _: {"id": "same"})
    with pytest.raises(UserError, match=r"an id that an earlier row has \('same'\) in"):
        qa.QuestionAnsweringReducer(rows, features_of(bert, rows), settings())


def test_selected_rows_and_hidden_columns(bert: Tokenizer) -> None:
    """Datasets with an index mapping, several chunks and a narrow format."""
    data_kwargs = settings()
    features = features_of(bert, examples())
    logits = logits_of(features, 3)
    numbers = list(range(len(features)))
    plain = qa.QuestionAnsweringReducer(examples(), features, data_kwargs)
    expected = plain.cross_slot_reduce([feed(plain, bert, features, logits, [numbers])])

    halves = [features.select(numbers[:3]), features.select(numbers[3:])]
    chunked = datasets.concatenate_datasets(halves)
    backwards = examples().select(range(len(examples()) - 1, -1, -1))
    hidden = chunked.with_format("torch", columns=["input_ids"])
    other = qa.QuestionAnsweringReducer(backwards, hidden, data_kwargs)
    part = feed(other, bert, chunked, logits, [numbers])
    assert other.cross_slot_reduce([part]) == pytest.approx(expected)


def test_update_never_waits_for_the_device(bert: Tokenizer) -> None:
    features = features_of(bert, examples())
    reducer = qa.QuestionAnsweringReducer(examples(), features, settings())
    columns = {
        name: torch.zeros(4, dtype=torch.int64, device="meta") for name in qa.FEATURE_COLUMNS
    }
    logits = torch.zeros(4, 40, dtype=torch.float16, device="meta", requires_grad=True)
    # On "meta" there are no values to wait for; whatever asks for one fails.
    reducer.update(columns, logits, logits)


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder with the small public datasets is absent")
@pytest.mark.parametrize("name", ["squad", "squad_v2"])
def test_right_logits_give_full_marks_on_real_data(
    gpt: Tokenizer, xlnet: Tokenizer, name: str
) -> None:
    """From the labels of the training features to the metrics of the validation features."""
    rows = datasets.Dataset.from_json(str(DATA / name / "validation.json"), keep_in_memory=True)
    version_2 = name == "squad_v2"
    qa.check_columns(rows, "data.validation_file")
    assert qa.drop_misaligned_answers(rows) is rows
    for tokenizer in (gpt, xlnet):
        window = {"max_seq_length": 384, "doc_stride": 128}
        train = qa.prepare_train_features(rows[:], tokenizer=tokenizer, **window)
        features = features_of(tokenizer, rows, **window)
        data_kwargs = settings(version_2_with_negative=version_2, max_answer_length=384)
        reducer = qa.QuestionAnsweringReducer(rows, features, data_kwargs)
        logits = []
        for ids, start, end, cls_index in zip(
            features["input_ids"][:],
            train["start_positions"],
            train["end_positions"],
            features["cls_index"][:],
            strict=True,
        ):
            # A window without the answer is less sure that there is none than one that has it is.
            sure = 10.0 if start != cls_index or version_2 else 5.0
            both = torch.zeros(2, len(ids))
            both[0, start] = both[1, end] = sure
            logits.append(tuple(both))
        numbers = list(range(len(features)))
        batches = [numbers[first : first + 16] for first in range(0, len(numbers), 16)]
        metrics = reducer.cross_slot_reduce([feed(reducer, tokenizer, features, logits, batches)])
        assert metrics["exact" if version_2 else "exact_match"] == 100.0, metrics
        assert metrics["f1"] == 100.0
