"""Generation and its metrics: any batches, any slots, three families; the file with the texts."""

import functools
import json
import math
import pathlib
from typing import Any

import datasets
import hypothesis
import pytest
import sacrebleu
import tiny_seq2seq
import torch
import transformers
from dealing import dealings, reduced, same

from model_hub.huggingface.tasks import seq2seq as s2s
from model_hub.huggingface.tasks._common.reducers import from_fixed_point

FAMILIES = ("t5", "bart", "marian")
PAIRS = [
    ("the cat sat on the mat", "a cat sat"),
    ("dogs run fast in the park today", "dogs run"),
    ("where is the house", "the house is there. it is old"),
    ("x", "y"),
    ("one two three four five six", "four five six"),
]
REDUCERS = (s2s.SummarizationReducer, s2s.TranslationReducer)


@functools.cache
def tokenizer() -> transformers.PreTrainedTokenizerFast:
    return tiny_seq2seq.trained_tokenizer([text for pair in PAIRS for text in pair], 300)


@functools.cache
def model_of(family: str) -> Any:
    torch.manual_seed(1)
    config = tiny_seq2seq.config(family, len(tokenizer()), width=16)
    return transformers.AutoModelForSeq2SeqLM.from_config(config).eval()


def references() -> datasets.Dataset:
    return datasets.Dataset.from_list([{"text": text, "summary": short} for text, short in PAIRS])


def batch_of(family: str, rows: list[int]) -> dict[str, torch.Tensor]:
    chosen = references().select(rows)
    prepared = s2s.prepare_features(
        chosen[:],
        tokenizer=tokenizer(),
        source_column="text",
        target_column="summary",
        max_source_length=20,
        max_target_length=12,
    )
    collator = s2s.seq2seq_collator(tokenizer(), model_of(family))
    return collator(list(datasets.Dataset.from_dict(prepared)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("beams", [None, 3])
def test_generation_of_a_batch_is_that_of_each_row(family: str, beams: int | None) -> None:
    model, kwargs = model_of(family), s2s.Seq2SeqDataKwargs(max_target_length=9, num_beams=beams)
    rows = list(range(len(PAIRS)))
    together = s2s.generate(model, batch_of(family, rows), tokenizer(), kwargs)
    losses = 0.0
    for row in rows:
        batch = batch_of(family, [row])
        alone = s2s.generate(model, batch, tokenizer(), kwargs)
        assert alone.texts == [together.texts[row]]
        assert alone.lengths.item() == together.lengths[row]
        expected = model.generate(
            batch["input_ids"], max_length=9, num_beams=beams or 1, do_sample=False
        )
        assert alone.texts == [tokenizer().decode(expected[0], skip_special_tokens=True).strip()]
        assert alone.lengths.item() == expected.shape[1] - 1
        with torch.no_grad():
            loss = model(**batch).loss.item()
        labels = (batch["labels"] != -100).sum().item()
        assert alone.label_tokens == labels
        assert from_fixed_point(alone.loss_sum.item()) == pytest.approx(loss * labels, rel=1e-4)
        losses += loss * labels
    assert from_fixed_point(together.loss_sum.item()) == pytest.approx(losses, rel=1e-4)
    assert not any("<" in text for text in together.texts)


def test_a_text_ends_where_the_model_ends_it() -> None:
    """Padding behind the end is neither counted nor decoded."""
    model = model_of("t5")

    class Ending(torch.nn.Module):
        generation_config = model.generation_config

        def forward(self, **batch: torch.Tensor) -> Any:
            return model(**batch)

        def generate(self, **arguments: Any) -> torch.Tensor:
            cat = tokenizer()("cat", add_special_tokens=False)["input_ids"]
            row = [0, *cat, 1]
            return torch.tensor([[*row, 0, 0], [0, 1] + [0] * len(row)])

    generated = s2s.generate(Ending(), batch_of("t5", [0, 1]), tokenizer(), s2s.Seq2SeqDataKwargs())
    cat = len(tokenizer()("cat", add_special_tokens=False)["input_ids"])
    assert generated.texts == ["cat", ""]
    assert generated.lengths.tolist() == [cat + 1, 1]


def made_up(rows: list[int]) -> s2s.Generated:
    """Texts, lengths and losses that follow from the rows alone."""
    texts = ["a cat sat", "dogs run", "house is the. there", "", "four five"]
    return s2s.Generated(
        [texts[row] for row in rows],
        torch.tensor([row + 1 for row in rows]),
        torch.tensor(sum(2**24 * (row + 1) for row in rows)),
        torch.tensor(sum(row + 2 for row in rows)),
    )


@pytest.mark.parametrize("reducer_class", REDUCERS)
@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(slots=dealings(len(PAIRS)))
def test_metrics_do_not_depend_on_batches_and_slots(
    reducer_class: type[s2s.Seq2SeqReducer], slots: list[list[list[int]]]
) -> None:
    def make() -> s2s.Seq2SeqReducer:
        return reducer_class(references(), "summary", s2s.Seq2SeqDataKwargs())

    def update(reducer: s2s.Seq2SeqReducer, rows: list[int]) -> None:
        reducer.update(torch.tensor(rows), made_up(rows))

    metrics = reduced(make, update, slots)
    assert same(metrics, reduced(make, update, [[list(range(len(PAIRS)))], []]))
    assert metrics["gen_len"] == 3.0
    assert metrics["validation_loss"] == pytest.approx(15 / 20)
    expected = [summary for _, summary in PAIRS]
    texts = made_up(list(range(len(PAIRS)))).texts
    assert metrics["chrf"] == pytest.approx(sacrebleu.corpus_chrf(texts, [expected]).score)
    if reducer_class is s2s.TranslationReducer:
        assert metrics["bleu"] == sacrebleu.corpus_bleu(texts, [expected]).score > 0
    else:
        assert metrics["rouge1"] == pytest.approx(
            100 * (1 + 1 + 4 * 2 / 11 + 0 + 0.8) / 5, abs=1e-4
        )


@pytest.mark.parametrize("reducer_class", REDUCERS)
def test_nothing_seen(reducer_class: type[s2s.Seq2SeqReducer]) -> None:
    reducer = reducer_class(references(), "summary", s2s.Seq2SeqDataKwargs())
    metrics = reducer.cross_slot_reduce([reducer.per_slot_reduce()] * 2)
    assert len(metrics) >= 4 and all(math.isnan(value) for value in metrics.values())


@pytest.mark.parametrize("write_files", [False, True])
def test_file_with_the_texts(write_files: bool, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "new"
    kwargs = s2s.Seq2SeqDataKwargs(output_dir=str(folder))
    parts = []
    for rows in ([[4, 0]], [[2], [1]], []):
        reducer = s2s.SummarizationReducer(references(), "summary", kwargs, write_files=write_files)
        for batch in rows:
            reducer.update(torch.tensor(batch), made_up(batch))
        parts.append(reducer.per_slot_reduce())
    reducer.cross_slot_reduce(parts)
    if not write_files:
        assert not folder.exists()
        return
    content = json.loads((folder / "predictions.json").read_text("utf-8"))
    assert list(content) == ["0", "1", "2", "4"]
    assert content["4"] == {"prediction": "four five", "reference": "four five six"}
    # Without the key nothing is kept of a text.
    reducer = s2s.SummarizationReducer(references(), "summary", s2s.Seq2SeqDataKwargs())
    reducer.update(torch.tensor([0]), made_up([0]))
    assert reducer.per_slot_reduce()[1] == {}
