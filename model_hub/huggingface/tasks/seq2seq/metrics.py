"""ROUGE, BLEU and chrF from sums over texts, which add up over batches and slots in any order."""

import collections
import importlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.reducers import from_fixed_point, ratio, to_fixed_point
from model_hub.huggingface.tasks.seq2seq.scripts import ScriptTokenizer

#: Types of ROUGE, in the order of :func:`rouge_sums`.
ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")

_BLEU_ORDERS = 4
_CHRF_ORDERS = 6
_CHRF_BETA = 2
# A sentence ends with a mark and closing quotes or brackets, followed by a blank; full-width marks
# need none.
_SENTENCE_END = re.compile(
    r"(?<=[.!?。！？])[\"'”’)\]]*\s+|(?<=[。！？])[”’」』）)\]]*(?=[^\s”’」』）)\]。！？])"
)


def optional_package(module: str, package: str, metric: str) -> Any:
    """Import a module of a package that only one metric needs.

    Raises:
        UserError: when it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{metric} needs the package {package}, which cannot be imported ({error}). Install "
            f"it: pip install {package}"
        ) from error


def split_sentences(text: str) -> str:
    """Return the text with a line for each sentence, as ROUGE-Lsum needs it; lines stay lines.

    Sentences are split at marks followed by blanks, also after abbreviations: nltk's splitter,
    which is more common, needs a download.
    """
    lines = (line.strip() for line in text.splitlines())
    sentences = (_SENTENCE_END.sub(lambda end: end[0].rstrip() + "\n", line) for line in lines)
    return "\n".join(sentence for sentence in sentences if sentence)


def rouge_scorer() -> Any:
    """Return the scorer of the package rouge-score, with Porter's stemmer, for all scripts.

    Latin text is tokenized as rouge-score does it; see :class:`ScriptTokenizer` for other scripts.

    Raises:
        UserError: when the package is not installed.
    """
    module = optional_package("rouge_score.rouge_scorer", "rouge-score", "ROUGE")
    tokenizers = optional_package("rouge_score.tokenizers", "rouge-score", "ROUGE")
    tokenizer = ScriptTokenizer(tokenizers.DefaultTokenizer(use_stemmer=True))
    return module.RougeScorer(list(ROUGE_TYPES), tokenizer=tokenizer)


def rouge_sums(scorer: Any, texts: Sequence[str], references: Sequence[str]) -> torch.Tensor:
    """Return the sums of F1 (0 to 1) over texts, as :func:`to_fixed_point`.

    Args:
        scorer: of :func:`rouge_scorer`.
        texts: generated texts.
        references: the reference of each.

    Returns:
        int64 ``[4]``, in the order of :data:`ROUGE_TYPES`.
    """
    rows = []
    for text, reference in zip(texts, references, strict=True):
        scores = scorer.score(split_sentences(reference), split_sentences(text))
        rows.append([scores[name].fmeasure for name in ROUGE_TYPES])
    values = torch.tensor(rows, dtype=torch.float64).reshape(-1, len(ROUGE_TYPES))
    return to_fixed_point(values).sum(0)


def rouge_metrics(sums: np.ndarray, rows: int) -> dict[str, float]:
    """Return the mean F1 of each type in per cent; NaN if there are no rows."""
    return {
        name: 100 * ratio(from_fixed_point(total), rows)
        for name, total in zip(ROUGE_TYPES, sums.tolist(), strict=True)
    }


def bleu_scorer() -> Any:
    """Return BLEU of the package sacrebleu with its default settings (tokenization 13a).

    Raises:
        UserError: when the package is not installed.
    """
    return optional_package("sacrebleu.metrics", "sacrebleu", "BLEU").BLEU(force=True)


def bleu_counts(scorer: Any, texts: Sequence[str], references: Sequence[str]) -> torch.Tensor:
    """Return the counts from which BLEU is computed.

    Args:
        scorer: of :func:`bleu_scorer`.
        texts: generated texts, at least one.
        references: the reference of each.

    Returns:
        int64 ``[10]``: length of the texts and of the references in tokens, matched n-grams (n = 1
        to 4), n-grams (n = 1 to 4).
    """
    score = scorer.corpus_score(list(texts), [list(references)])
    return torch.tensor([score.sys_len, score.ref_len, *score.counts, *score.totals])


def bleu(scorer: Any, counts: np.ndarray) -> float:
    """Return BLEU (0 to 100) of sums of :func:`bleu_counts`, as ``sacrebleu.corpus_bleu``."""
    length, reference_length, *ngrams = counts.tolist()
    score = scorer.compute_bleu(
        correct=ngrams[:_BLEU_ORDERS],
        total=ngrams[_BLEU_ORDERS:],
        sys_len=length,
        ref_len=reference_length,
        smooth_method=scorer.smooth_method,
    )
    return float(score.score)


def chrf_counts(texts: Sequence[str], references: Sequence[str]) -> torch.Tensor:
    """Return the counts from which chrF is computed: n-grams of characters, without blanks.

    Args:
        texts: generated texts.
        references: the reference of each.

    Returns:
        int64 ``[6, 3]``: for n = 1 to 6 n-grams of the texts, of the references, and in common. A
        text's n-grams do not count where its reference has none, as in sacrebleu.
    """
    counts = np.zeros((_CHRF_ORDERS, 3), dtype=np.int64)
    for text, reference in zip(texts, references, strict=True):
        for order, row in enumerate(counts, start=1):
            of_text, expected = (_character_ngrams(t, order) for t in (text, reference))
            if expected:
                row += (of_text.total(), expected.total(), (of_text & expected).total())
    return torch.from_numpy(counts)


def chrf(counts: np.ndarray) -> float:
    """Return chrF2 (0 to 100) of sums of :func:`chrf_counts`.

    As defined by Popović 2015 (https://aclanthology.org/W15-3049), with averages over those n that
    texts and references have, as in sacrebleu.
    """
    of_texts, expected, common = (counts[:, column].astype(float) for column in range(3))
    both = (of_texts > 0) & (expected > 0)
    if not both.any():
        return 0.0
    precision = float(np.mean(common[both] / of_texts[both]))
    recall = float(np.mean(common[both] / expected[both]))
    beta = _CHRF_BETA**2
    return 100 * (1 + beta) * precision * recall / (beta * precision + recall) if recall else 0.0


def _character_ngrams(text: str, order: int) -> collections.Counter[str]:
    bare = "".join(text.split())
    return collections.Counter(bare[i : i + order] for i in range(len(bare) - order + 1))
