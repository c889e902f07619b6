"""Question answering with XLNet's beam search: batches, spans, null score, metrics, files."""

import copy
import dataclasses
import functools
import json
import math
import pathlib
from typing import Any

import datasets
import hypothesis
import pytest
import torch
import transformers
from dealing import dealings, reduced, same
from hypothesis import strategies as st

from model_hub.huggingface.tasks import question_answering as qa

Tokenizer = transformers.PreTrainedTokenizerFast
WINDOW: dict[str, Any] = {"max_seq_length": 40, "doc_stride": 10}
STARTS, ENDS = 3, 4


@functools.cache
def examples() -> datasets.Dataset:
    places = ["paris", "rome", "the old town of york", "lima"]
    rows = []
    for number, place in enumerate(places):
        context = f"he went to {place} in the year 19{number}9 " + "and then home again " * number
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


def settings(**changes: Any) -> qa.QuestionAnsweringDataKwargs:
    defaults = {"n_best_size": 5, "max_answer_length": 8}
    return dataclasses.replace(qa.QuestionAnsweringDataKwargs(), **WINDOW, **defaults | changes)


@pytest.fixture(scope="module")
def xlnet(xlnet: Tokenizer) -> Tokenizer:
    """As the library loads it: it tells segments apart."""
    tokenizer = copy.deepcopy(xlnet)
    tokenizer.model_input_names = [*tokenizer.model_input_names, "token_type_ids"]
    return tokenizer


@pytest.fixture(scope="module")
def features(xlnet: Tokenizer) -> datasets.Dataset:
    prepared = qa.prepare_validation_features(examples()[:], tokenizer=xlnet, **WINDOW)
    return qa.number_features(datasets.Dataset.from_dict(prepared))


def batch_of(
    tokenizer: Tokenizer, features: datasets.Dataset, numbers: list[int]
) -> dict[str, torch.Tensor]:
    light = features.remove_columns(["example_id", "offset_mapping"])
    return qa.BeamSearchCollator(tokenizer)([light[number] for number in numbers])


@pytest.mark.parametrize("pad_to_max_length", [False, True])
def test_batches_are_as_the_model_was_pretrained(xlnet: Tokenizer, pad_to_max_length: bool) -> None:
    prepared = qa.prepare_train_features(
        examples()[:],
        tokenizer=xlnet,
        with_places=True,
        pad_to_max_length=pad_to_max_length,
        **WINDOW,
    )
    rows = datasets.Dataset.from_dict(prepared)
    assert len(rows) > len(examples())
    batch = qa.BeamSearchCollator(xlnet)(list(rows))
    pieces = [xlnet.convert_ids_to_tokens(ids) for ids in batch["input_ids"].tolist()]
    for number, tokens in enumerate(pieces):
        # Padding, context, separator, question, separator, CLS; their types, and what may be in an
        # answer: the context, and CLS for "no answer".
        padding = tokens.count("<pad>")
        first, second = (place for place, token in enumerate(tokens) if token == "<sep>")
        context, question = first - padding, second - first - 1
        assert tokens[-1] == "<cls>" and second == len(tokens) - 2
        # Of padding, to which nobody attends, the type does not matter.
        types = [0] * (context + 1) + [1] * (question + 1) + [2]
        assert batch["token_type_ids"][number, padding:].tolist() == types
        blocked = [1] * padding + [0] * context + [1] * (question + 2) + [0]
        assert batch["p_mask"][number].tolist() == blocked
        assert batch["attention_mask"][number].tolist() == [0] * padding + [1] * (
            len(tokens) - padding
        )
        start, end = batch["start_positions"][number], batch["end_positions"][number]
        assert batch["cls_index"][number] == len(tokens) - 1
        if batch["is_impossible"][number]:
            assert start == end == len(tokens) - 1
        else:
            answer = "".join(tokens[start : end + 1]).replace("▁", " ").strip()
            assert answer in ("paris", "the old town of york")
    assert batch["is_impossible"].dtype == torch.float32
    assert 0 < batch["is_impossible"].sum() < len(rows)


def tiny_model(starts: int = STARTS, ends: int = ENDS) -> transformers.XLNetForQuestionAnswering:
    torch.manual_seed(0)
    config = transformers.XLNetConfig(
        vocab_size=120,
        d_model=16,
        n_layer=1,
        n_head=2,
        d_inner=24,
        initializer_range=0.5,
        start_n_top=starts,
        end_n_top=ends,
    )
    return transformers.XLNetForQuestionAnswering(config).eval()


@pytest.mark.parametrize(("starts", "ends"), [(3, 4), (4, 3), (1, 1), (30, 30)])
def test_spans_are_those_of_an_enumeration(
    xlnet: Tokenizer, features: datasets.Dataset, starts: int, ends: int
) -> None:
    """Every start and end compared, with the head's own parts called one by one."""
    model = tiny_model(starts, ends)
    numbers = list(range(len(features)))
    batch = batch_of(xlnet, features, numbers)
    places = qa.pop_feature_columns(batch)
    limit, n_best = 6, 20
    with torch.no_grad():
        outputs = model(**batch, cls_index=places["cls_index"])
        spans, start_log_prob, end_log_prob = qa.select_n_best_beams(
            outputs,
            context_begin=places["context_begin"],
            context_end=places["context_end"],
            n_best_size=n_best,
            max_answer_length=limit,
        )
        hidden = model.transformer(
            batch["input_ids"],
            attention_mask=batch["attention_mask"],
            token_type_ids=batch["token_type_ids"],
        )[0]
        p_mask = batch["p_mask"]
        log_start = model.start_logits(hidden, p_mask=p_mask).log_softmax(-1)
        log_end = torch.stack(
            [
                model.end_logits(
                    hidden, start_positions=torch.full((len(numbers),), start), p_mask=p_mask
                ).log_softmax(-1)
                for start in range(hidden.shape[1])
            ],
            dim=1,
        )
    for row in numbers:
        inside = range(int(places["context_begin"][row]), int(places["context_end"][row]))
        expected = []
        for start in log_start[row].argsort(descending=True)[:starts].tolist():
            for end in log_end[row, start].argsort(descending=True)[:ends].tolist():
                if start in inside and end in inside and 0 <= end - start < limit:
                    total = log_start[row, start] + log_end[row, start, end]
                    expected.append((float(total), start, end))
        expected = sorted(expected, reverse=True)[:n_best]
        count = len(expected)
        assert starts < 30 or count == n_best
        assert spans.score[row, count:].eq(-math.inf).all()
        assert spans.score[row, :count].tolist() == pytest.approx(
            [score for score, _, _ in expected], abs=1e-4
        )
        found = list(zip(spans.start[row].tolist(), spans.end[row].tolist(), strict=True))
        assert found[:count] == [(start, end) for _, start, end in expected]
        summed = (start_log_prob + end_log_prob)[row, :count]
        assert torch.equal(summed, spans.score[row, :count])


def test_windows_shorter_than_the_search_are_padded(xlnet: Tokenizer) -> None:
    """Of ten tokens the head cannot take the twelve best."""
    model = tiny_model(12, 13)
    row = {"id": ["q"], "question": ["where?"], "context": [""]}
    prepared = qa.prepare_validation_features(row, tokenizer=xlnet, **WINDOW)
    features = qa.number_features(datasets.Dataset.from_dict(prepared))
    light = features.remove_columns(["example_id", "offset_mapping"])
    batch = qa.BeamSearchCollator.of(xlnet, model.config)(list(light))
    assert batch["input_ids"].shape == (1, 13) and len(light[0]["input_ids"]) < 12
    places = qa.pop_feature_columns(batch)
    reducer = qa.BeamSearchReducer(
        datasets.Dataset.from_dict({**row, "answers": [{"text": [], "answer_start": []}]}),
        features,
        settings(version_2_with_negative=True),
    )
    with torch.no_grad():
        reducer.update(places, model(**batch, cls_index=places["cls_index"]))
    assert reducer.cross_slot_reduce([reducer.per_slot_reduce()])["total"] == 1


def made_up_outputs(
    batch: dict[str, torch.Tensor], places: dict[str, torch.Tensor], seed: int
) -> dict[str, torch.Tensor]:
    """Outputs of a search that follow from the feature alone; coarse, so that there are ties."""
    parts = []
    for row, feature in enumerate(places["feature_id"].tolist()):
        generator = torch.Generator().manual_seed(seed + feature)
        left = int(places["left_padding"][row])
        length = batch["input_ids"].shape[1] - left

        def some(count: int, generator: torch.Generator = generator) -> torch.Tensor:
            return torch.randint(0, 5, (count,), generator=generator) / 4

        start = torch.randperm(length, generator=generator)[:STARTS]
        ends = [torch.randperm(length, generator=generator)[:ENDS] for _ in range(STARTS)]
        parts.append(
            {
                "start_top_log_probs": some(STARTS),
                "start_top_index": start + left,
                "end_top_log_probs": some(STARTS * ENDS),
                "end_top_index": torch.stack(ends, dim=1).flatten() + left,
                "cls_logits": torch.randint(-4, 5, (), generator=generator) / 2,
            }
        )
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(data=st.data(), seed=st.integers(0, 2**16), version_2=st.booleans())
def test_metrics_and_files_follow_the_definition_for_any_batches(
    xlnet: Tokenizer,
    features: datasets.Dataset,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    seed: int,
    version_2: bool,
) -> None:
    folder = tmp_path_factory.mktemp("predictions")
    threshold = 0.5
    kwargs = settings(
        version_2_with_negative=version_2,
        null_score_diff_threshold=threshold,
        output_dir=str(folder),
    )

    def update(reducer: qa.BeamSearchReducer, numbers: list[int]) -> None:
        batch = batch_of(xlnet, features, numbers)
        places = qa.pop_feature_columns(batch)
        reducer.update(places, made_up_outputs(batch, places, seed))

    def make() -> qa.BeamSearchReducer:
        return qa.BeamSearchReducer(examples(), features, kwargs, write_files=True)

    dealt = data.draw(dealings(len(features)))
    metrics = reduced(make, update, dealt)
    assert same(metrics, reduced(make, update, [[list(range(len(features)))]]))

    spans: dict[str, list[tuple[float, int, int, int, str]]] = {}
    null: dict[str, float] = {}
    contexts = dict(zip(examples()["id"], examples()["context"], strict=True))
    for number, feature in enumerate(features):
        name = feature["example_id"]
        batch = batch_of(xlnet, features, [number])
        outputs = made_up_outputs(batch, qa.pop_feature_columns(batch), seed)
        null[name] = min(null.get(name, math.inf), float(outputs["cls_logits"]))
        end_index = outputs["end_top_index"].reshape(ENDS, STARTS)
        end_probability = outputs["end_top_log_probs"].reshape(ENDS, STARTS)
        for i in range(STARTS):
            for j in range(ENDS):
                start, end = int(outputs["start_top_index"][0, i]), int(end_index[j, i])
                product = float(outputs["start_top_log_probs"][0, i] * end_probability[j, i])
                inside = range(feature["context_begin"], feature["context_end"])
                if product and start in inside and end in inside and 0 <= end - start < 8:
                    offsets = feature["offset_mapping"]
                    text = contexts[name][offsets[start][0] : offsets[end][1]]
                    spans.setdefault(name, []).append((-product, number, start, end, text))
    # Scores are compared in float32, so that products that are equal here may differ there.
    best = {
        name: min(found, key=lambda span: (round(span[0], 9), *span[1:]))[4]
        for name, found in spans.items()
    }
    texts = {name: best.get(name, "") for name in contexts}
    references = {
        name: answers["text"]
        for name, answers in zip(examples()["id"], examples()["answers"], strict=True)
    }
    predictions = json.loads((folder / "predictions.json").read_text("utf-8"))
    nbest = json.loads((folder / "nbest_predictions.json").read_text("utf-8"))
    products = {name: sorted((-s[0] for s in found), reverse=True) for name, found in spans.items()}
    for name, entries in nbest.items():
        if name not in spans:
            assert [entry["text"] for entry in entries] == [""]
            continue
        scores = [math.exp(entry["score"]) for entry in entries]
        assert scores == pytest.approx(products[name][:5], rel=1e-5)
        for entry in entries:
            assert entry["start_log_prob"] + entry["end_log_prob"] == pytest.approx(entry["score"])
    ties = any(p[1:] and p[0] == pytest.approx(p[1]) for p in products.values())
    if version_2:
        assert json.loads((folder / "null_odds.json").read_text("utf-8")) == null
        assert {name for name in null if null[name] > threshold} <= {
            name for name, text in predictions.items() if text == ""
        }
        if not ties:
            assert metrics == qa.squad_v2_metrics(texts, references, null, threshold)
    else:
        assert not (folder / "null_odds.json").exists()
        if not ties:
            assert metrics == qa.squad_v1_metrics(texts, references)
            assert predictions == texts


def test_what_is_no_span_is_left_out() -> None:
    """Ends before their start, outside the context, too long, impossible or not a number."""
    probabilities = torch.tensor([[0.5, 0.5]])
    outputs = {
        "start_top_log_probs": probabilities,
        "start_top_index": torch.tensor([[2, 5]]),
        # Ends of the first start: 1, 9, 6, 3, 4; of the second: 5, 0, 7, 8, 6.
        "end_top_index": torch.tensor([[1, 5, 9, 0, 6, 7, 3, 8, 4, 6]]),
        "end_top_log_probs": torch.tensor(
            [[0.9, 0.2, 0.9, 0.9, 0.9, 0.9, math.nan, 0.9, 0.0, 0.1]]
        ),
    }
    spans, start, end = qa.select_n_best_beams(
        outputs,
        context_begin=torch.tensor([1]),
        context_end=torch.tensor([7]),
        n_best_size=12,
        max_answer_length=4,
    )
    assert list(zip(spans.start[0, :2].tolist(), spans.end[0, :2].tolist(), strict=True)) == [
        (5, 5),
        (5, 6),
    ]
    assert spans.score[0, :2].exp().tolist() == pytest.approx([0.1, 0.05])
    assert start.shape == end.shape == spans.score.shape == (1, 12)
    assert spans.score[0, 2:].eq(-math.inf).all()


def test_update_never_waits_for_the_device(features: datasets.Dataset) -> None:
    reducer = qa.BeamSearchReducer(examples(), features, settings())
    columns = {
        name: torch.zeros(4, dtype=torch.int64, device="meta") for name in qa.FEATURE_COLUMNS
    }
    shapes = {
        "start_top_log_probs": (4, STARTS),
        "end_top_log_probs": (4, STARTS * ENDS),
        "cls_logits": (4,),
    }
    outputs = {name: torch.zeros(shape, device="meta") for name, shape in shapes.items()}
    outputs["start_top_index"] = torch.zeros(4, STARTS, dtype=torch.int64, device="meta")
    outputs["end_top_index"] = torch.zeros(4, STARTS * ENDS, dtype=torch.int64, device="meta")
    # On "meta" there are no values to wait for; whatever asks for one fails.
    reducer.update(columns, outputs)


def test_nothing_seen(features: datasets.Dataset, tmp_path: pathlib.Path) -> None:
    kwargs = settings(output_dir=str(tmp_path))
    reducer = qa.BeamSearchReducer(examples(), features, kwargs, write_files=True)
    assert math.isnan(reducer.cross_slot_reduce([reducer.per_slot_reduce()])["f1"])
    assert json.loads((tmp_path / "predictions.json").read_text()) == {}
