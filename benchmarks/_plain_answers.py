"""Answers of question answering in plain Python, as the community's scripts find them.

Imports nothing of the library that it is compared with.
"""

import collections
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt

N_BEST = 20
LONGEST_ANSWER = 30
# What the scripts answer where they find nothing.
NO_SPAN = "empty"


def write_answers(
    examples: datasets.Dataset,
    features: datasets.Dataset,
    start_logits: npt.NDArray[np.float32],
    end_logits: npt.NDArray[np.float32],
    folder: pathlib.Path,
    *,
    no_answer: bool = False,
    all_pairs: bool = False,
) -> None:
    """Writes predictions.json, nbest_predictions.json and with ``no_answer`` null_odds.json.

    Goes through examples, their windows, and pairs of tokens, one by one. Equal scores stand in the
    order of window, start, end, as ours do; the scripts leave it open.

    Args:
        examples: flat SQuAD rows.
        features: their windows; tokens outside of the context have no offsets.
        start_logits: ``[windows, tokens]``.
        end_logits: the same.
        folder: where to write.
        no_answer: SQuAD v2.0: "no answer" may be the best.
        all_pairs: all allowed pairs instead of those of the 20 best starts and ends.
    """
    windows_of = collections.defaultdict(list)
    for number, name in enumerate(features["example_id"]):
        windows_of[name].append(number)
    predictions: dict[str, str] = {}
    n_best: dict[str, list[dict[str, Any]]] = {}
    null_odds: dict[str, float] = {}
    for example in examples:
        null: dict[str, Any] | None = None
        candidates: list[dict[str, Any]] = []
        for number in windows_of[example["id"]]:
            starts, ends = start_logits[number], end_logits[number]
            offsets = features[number]["offset_mapping"]
            score = starts[0] + ends[0]
            if null is None or score < null["score"]:
                null = {"offsets": (0, 0), "score": score, "text": ""}
            enumerated = every_pair if all_pairs else best_tokens
            for start, end in enumerated(starts, ends):
                if (
                    start >= len(offsets)
                    or end >= len(offsets)
                    or offsets[start] is None
                    or offsets[end] is None
                ):
                    continue
                if end < start or end - start + 1 > LONGEST_ANSWER:
                    continue
                candidates.append(
                    {
                        "offsets": (offsets[start][0], offsets[end][1]),
                        "score": starts[start] + ends[end],
                        "start_logit": starts[start],
                        "end_logit": ends[end],
                        "place": (number, start, end),
                    }
                )
        candidates.sort(key=lambda candidate: (-candidate["score"], candidate["place"]))
        candidates = candidates[:N_BEST]
        for candidate in candidates:
            begin, end = candidate["offsets"]
            candidate["text"] = example["context"][begin:end]
        if not candidates:
            # No pair of the best starts and ends is a span of the context.
            zeros = dict.fromkeys(("score", "start_logit", "end_logit"), 0.0)
            candidates.append({"text": NO_SPAN, **zeros})
        best = candidates[0]
        assert null is not None
        if no_answer:
            place = sum(candidate["score"] >= null["score"] for candidate in candidates)
            if place < N_BEST:
                candidates = candidates[: N_BEST - 1]
            candidates.insert(place, null)
        scores = np.array([candidate["score"] for candidate in candidates], np.float64)
        weights = np.exp(scores - scores.max())
        for candidate, probability in zip(candidates, weights / weights.sum(), strict=True):
            candidate["probability"] = float(probability)
        odds = float(null["score"]) - float(best["score"])
        predictions[example["id"]] = "" if no_answer and odds > 0 else best["text"]
        null_odds[example["id"]] = odds
        n_best[example["id"]] = [
            {
                name: float(value) if isinstance(value, np.floating) else value
                for name, value in candidate.items()
                if name not in ("offsets", "place")
            }
            for candidate in candidates
        ]
    folder.mkdir(exist_ok=True)
    files = {"predictions": predictions, "nbest_predictions": n_best}
    if no_answer:
        files["null_odds"] = null_odds
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=4), encoding="utf-8")


def best_tokens(
    start_logits: npt.NDArray[np.float32], end_logits: npt.NDArray[np.float32]
) -> Iterator[tuple[int, int]]:
    """Pairs of one of the best starts and one of the best ends."""
    ends = np.argsort(end_logits)[: -N_BEST - 1 : -1].tolist()
    for start in np.argsort(start_logits)[: -N_BEST - 1 : -1].tolist():
        for end in ends:
            yield start, end


def every_pair(
    start_logits: npt.NDArray[np.float32], end_logits: npt.NDArray[np.float32]
) -> Iterator[tuple[int, int]]:
    """All pairs that are not too long."""
    for start in range(len(start_logits)):
        for end in range(start, min(len(end_logits), start + LONGEST_ANSWER)):
            yield start, end
