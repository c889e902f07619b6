"""The baseline of language models: the frequencies of tokens, without any context."""

from collections.abc import Iterator

import datasets
import numpy as np
import pyarrow as pa

from model_hub.huggingface.tasks._common.reducers import log_baseline_metrics
from model_hub.huggingface.tasks._common.token_loss import perplexity

# Enough to estimate frequencies; a training set may have billions of tokens.
_MOST_TOKENS = 10_000_000
_ROWS_AT_A_TIME = 1000


def log_unigram_baseline(
    train: datasets.Dataset,
    validation: datasets.Dataset,
    vocabulary: int,
    *,
    next_token: bool = False,
) -> dict[str, float]:
    """Log what the frequencies of tokens in the training data score on the validation data.

    Args:
        train: prepared rows with ``input_ids``; if they have ``labels``, tokens labelled -100 are
            no targets, if they have ``special_tokens_mask``, special tokens are none.
        validation: the same for validation.
        vocabulary: number of tokens of the tokenizer.
        next_token: the first token of a row is no target.

    Returns:
        As :func:`unigram_metrics`.
    """
    counts = [token_counts(rows, vocabulary, next_token=next_token) for rows in (train, validation)]
    # Tokens whose numbers have gaps are fewer than the highest number.
    longest = max(map(len, counts))
    metrics = unigram_metrics(*(np.pad(c, (0, longest - len(c))) for c in counts))
    log_baseline_metrics("frequencies of tokens in the training data, no context", metrics)
    return metrics


def unigram_metrics(train: np.ndarray, validation: np.ndarray) -> dict[str, float]:
    """Return ``perplexity`` and ``token_accuracy`` of the unigram model on the validation tokens.

    Args:
        train: int ``[vocabulary]``, how often each token is a target; 1 is added to each (Laplace
            smoothing).
        validation: the same for the validation data.

    Returns:
        The metrics; the accuracy is that of always predicting the most frequent token.
    """
    total = int(validation.sum())
    if total == 0:
        return {"perplexity": float("nan"), "token_accuracy": float("nan")}
    log_probabilities = np.log(train + 1.0) - np.log(train.sum() + len(train))
    return {
        "perplexity": perplexity(float(-(validation * log_probabilities).sum() / total)),
        "token_accuracy": float(validation[int(train.argmax())] / total),
    }


def token_counts(
    rows: datasets.Dataset, vocabulary: int, *, next_token: bool = False
) -> np.ndarray:
    """Count the first 10 million targets or so by token, int64 ``[vocabulary]`` or longer."""
    counts = np.zeros(vocabulary, np.int64)
    for targets in _targets(rows, next_token):
        found = np.bincount(targets, minlength=len(counts))
        counts = found + np.pad(counts, (0, len(found) - len(counts)))
        if counts.sum() >= _MOST_TOKENS:
            break
    return counts


def _targets(rows: datasets.Dataset, next_token: bool) -> Iterator[np.ndarray]:
    names = [n for n in ("input_ids", "labels", "special_tokens_mask") if n in rows.column_names]
    for table in rows.with_format("arrow", columns=names).iter(batch_size=_ROWS_AT_A_TIME):
        column = table.column("input_ids").combine_chunks()
        ids = _values(column)
        is_target = np.ones(len(ids), bool)
        if "labels" in names:
            is_target &= _values(table.column("labels").combine_chunks()) >= 0
        if "special_tokens_mask" in names:
            is_target &= _values(table.column("special_tokens_mask").combine_chunks()) == 0
        if next_token:
            lengths = column.value_lengths().to_numpy(zero_copy_only=False)
            first = (np.cumsum(lengths) - lengths)[lengths > 0]
            is_target[first] = False
        yield ids[is_target]


def _values(column: pa.Array) -> np.ndarray:
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return values
