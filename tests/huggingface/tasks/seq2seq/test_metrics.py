"""ROUGE, BLEU and chrF of counts are those of rouge-score and sacrebleu on the whole."""

import math
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
import sacrebleu
import torch
from dealing import dealings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from model_hub.errors import UserError
from model_hub.huggingface.tasks.seq2seq.metrics import (
    bleu,
    bleu_counts,
    bleu_scorer,
    chrf,
    chrf_counts,
    rouge_metrics,
    rouge_scorer,
    rouge_sums,
    split_sentences,
)
from model_hub.huggingface.tasks.seq2seq.scripts import ScriptTokenizer

WORDS = "The the cat cats sat. running ran, on 3.5 Ünïcödé, e\u0301 mat! dogs' (a) — ½ € ?".split()
TEXTS = st.lists(st.sampled_from([*WORDS, "\n"]), max_size=12).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8)


def dealt(data: st.DataObject, pairs: list[tuple[str, str]]) -> list[tuple[list[str], list[str]]]:
    """Batches of texts and references, in any order."""
    slots = data.draw(dealings(len(pairs)))
    return [
        ([pairs[row][0] for row in batch], [pairs[row][1] for row in batch])
        for batches in slots
        for batch in batches
    ]


def added(parts: list[torch.Tensor]) -> np.ndarray:
    assert all(part.dtype == torch.int64 for part in parts)
    return torch.stack(parts).sum(0).numpy()


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(data=st.data(), pairs=PAIRS)
def test_rouge_is_that_of_rouge_score(data: st.DataObject, pairs: list[tuple[str, str]]) -> None:
    scorer = rouge_scorer()
    sums = added([rouge_sums(scorer, *batch) for batch in dealt(data, pairs)])
    metrics = rouge_metrics(sums, len(pairs))

    plain = RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"], use_stemmer=True)
    rows = [
        plain.score(split_sentences(reference), split_sentences(text)) for text, reference in pairs
    ]
    assert list(metrics) == ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    for name, value in metrics.items():
        expected = 100 * sum(row[name].fmeasure for row in rows) / len(rows)
        assert value == pytest.approx(expected, abs=1e-4)
    whole = rouge_sums(scorer, *(list(side) for side in zip(*pairs, strict=True)))
    assert torch.equal(whole, torch.from_numpy(sums))


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(data=st.data(), pairs=PAIRS)
def test_bleu_and_chrf_are_those_of_sacrebleu(
    data: st.DataObject, pairs: list[tuple[str, str]]
) -> None:
    scorer = bleu_scorer()
    batches = dealt(data, pairs)
    texts, references = (list(side) for side in zip(*pairs, strict=True))
    found = bleu(scorer, added([bleu_counts(scorer, *batch) for batch in batches]))
    assert found == sacrebleu.corpus_bleu(texts, [references]).score
    found = chrf(added([chrf_counts(*batch) for batch in batches]))
    assert found == pytest.approx(sacrebleu.corpus_chrf(texts, [references]).score, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("私は猫です。", list("私は猫です")),
        ("我爱 Python 3", ["我", "爱", "python", "3"]),
        ("Привет, Мир-2!", ["привет", "мир", "2"]),
        ("한국어 텍스트", ["한국어", "텍스트"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("بِسْمِ ٱللَّهِ", ["بِسْمِ", "ٱللَّهِ"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("Ελλάδα naïve cats", ["ελλάδα", "na", "ve", "cat"]),
        ("\u0301 \u093f!", []),
        ("", []),
    ],
)
def test_scripts(text: str, tokens: list[str]) -> None:
    plain = DefaultTokenizer(use_stemmer=True)
    assert ScriptTokenizer(plain).tokenize(text) == tokens


@pytest.mark.parametrize(
    ("text", "reference", "rouge1", "rouge2"),
    [
        ("猫が好き", "猫が好き", 100, 100),
        ("猫が好き", "犬が好き", 75, 200 / 3),
        ("добрый день", "добрый вечер", 50, 0),
        ("добрый день", "мир", 0, 0),
    ],
)
def test_rouge_beyond_latin(text: str, reference: str, rouge1: float, rouge2: float) -> None:
    metrics = rouge_metrics(rouge_sums(rouge_scorer(), [text], [reference]).numpy(), 1)
    assert metrics["rouge1"] == pytest.approx(rouge1, abs=1e-4)
    assert metrics["rouge2"] == pytest.approx(rouge2, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("  a line\n\n another. one ", ["a line", "another.", "one"]),
        (
            'He said "no." She left. 3.5 is a number.',
            ['He said "no."', "She left.", "3.5 is a number."],
        ),
        ("(It was.) Then", ["(It was.)", "Then"]),
        ("今日は。「明日！」と言う。", ["今日は。", "「明日！」", "と言う。"]),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text).split("\n") == (sentences or [""])


def test_rouge_lsum_takes_sentences_apart() -> None:
    """With the same sentences in another order, only the longest common part of all differs."""
    sums = rouge_sums(rouge_scorer(), ["A cat sat. Dogs run fast."], ["Dogs run fast. A cat sat."])
    metrics = rouge_metrics(sums.numpy(), 1)
    assert metrics["rougeLsum"] == pytest.approx(100)
    assert metrics["rougeL"] == pytest.approx(50)


def test_nothing() -> None:
    empty = rouge_metrics(np.zeros(4, dtype=np.int64), 0)
    assert all(math.isnan(value) for value in empty.values())
    assert chrf(np.zeros((6, 3), dtype=np.int64)) == 0.0


@pytest.mark.parametrize(
    ("make", "module", "package"),
    [
        (rouge_scorer, "rouge_score.rouge_scorer", "rouge-score"),
        (bleu_scorer, "sacrebleu.metrics", "sacrebleu"),
    ],
)
def test_a_missing_package_is_told(
    make: object, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=f"pip install {package}"):
        make()  # type: ignore[operator]


def test_only_who_scores_needs_the_packages() -> None:
    script = (
        "import sys\n"
        "for name in ('rouge_score', 'sacrebleu', 'nltk'): sys.modules[name] = None\n"
        "import model_hub.huggingface, model_hub.huggingface.tasks.seq2seq\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
