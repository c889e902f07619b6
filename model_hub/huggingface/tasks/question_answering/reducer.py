"""SQuAD metrics as a Determined reducer, and the files with the predictions."""

import contextlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import torch
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common import json_files
from model_hub.huggingface.tasks.question_answering.answers import (
    BestSpans,
    OffsetTable,
    best_spans,
    by_examples,
    choose_spans,
    nbest_json,
)
from model_hub.huggingface.tasks.question_answering.metrics import (
    squad_v1_metrics,
    squad_v2_metrics,
)
from model_hub.huggingface.tasks.question_answering.rows import answers_of
from model_hub.huggingface.tasks.question_answering.settings import QuestionAnsweringDataKwargs
from model_hub.huggingface.tasks.question_answering.spans import FeatureSpans, SpanCollector


class _Answers(NamedTuple):
    """By name of the example, in the order of the rows.

    Attributes:
        texts: the best answer that is not empty, "" if there is none.
        golds: the right answers.
        null_odds: by how much "no answer" is better.
        predictions: the answer, "" where that is better.
    """

    texts: dict[str, str]
    golds: dict[str, list[str]]
    null_odds: dict[str, float]
    predictions: dict[str, str]

    def add(
        self,
        names: Sequence[str],
        texts: Sequence[str],
        golds: Sequence[list[str]],
        best: BestSpans,
        settings: QuestionAnsweringDataKwargs,
    ) -> None:
        """Takes the answers of some more examples."""
        self.texts.update(zip(names, texts, strict=True))
        self.golds.update(zip(names, golds, strict=True))
        self.null_odds.update(zip(names, best.null_odds.tolist(), strict=True))
        unanswered = best.unanswered(settings).tolist()
        for name, text, empty in zip(names, texts, unanswered, strict=True):
            self.predictions[name] = "" if empty else text


# Examples whose answers are read at a time to see that they are as they should be.
_ROWS_AT_A_TIME = 1000


def _golds(table: pa.Table, names: Sequence[str]) -> list[list[str]]:
    answers = zip(table.column("answers").to_pylist(), names, strict=True)
    return [answers_of(value, name)[0] for value, name in answers]


class SquadReducer(pytorch.MetricReducer):
    """SQuAD metrics over all slots, from the n best spans of every feature.

    A subclass has an ``update`` that reduces a batch on its device to the n best spans; they stay
    there until the end of the validation. The result does not depend on how features are dealt into
    batches and slots; a feature that was evaluated twice counts once. Metrics are over those
    examples of which at least one feature was evaluated; if there is none, they are NaN.

    Args:
        examples: the flat validation rows that the features were made of.
        features: the features of all of them, with ``example_id`` and ``offset_mapping``; their row
            number is the ``feature_id`` of the batches.
        data_kwargs: section ``data``.
        write_files: write the prediction files, if ``data.output_dir`` says where; for one process
            only.

    Attributes:
        summands: what the n-best file calls the two summands of a span's score.
        null_stands_alone: the null score is not on the scale of the spans' scores: "no answer" is
            given where it is above the threshold by itself, and does not stand in the n-best lists.

    Raises:
        UserError: when two examples have the same id.
    """

    summands: ClassVar[tuple[str, str]] = ("start_logit", "end_logit")
    null_stands_alone: ClassVar[bool] = False

    def __init__(
        self,
        examples: datasets.Dataset,
        features: datasets.Dataset,
        data_kwargs: QuestionAnsweringDataKwargs,
        *,
        write_files: bool = False,
    ) -> None:
        self._settings = data_kwargs
        self._write_files = write_files and data_kwargs.output_dir is not None
        # The texts stay where they lie; they are read for a few examples at a time.
        self._rows = examples.with_format("arrow", columns=["context", "answers"])
        names = examples.with_format("arrow", columns=["id"])[:].column(0)
        self._names = [str(name) for name in names.to_pylist()]
        answers = examples.with_format("arrow", columns=["answers"])
        for begin in range(0, len(self._names), _ROWS_AT_A_TIME):
            rows = slice(begin, begin + _ROWS_AT_A_TIME)
            _golds(answers[rows], self._names[rows])
        row_of = {name: row for row, name in enumerate(self._names)}
        if len(row_of) < len(self._names):
            name = next(n for row, n in enumerate(self._names) if row_of[n] != row)
            raise UserError(
                f"validation data: the id {name!r} stands in several rows; every question needs an "
                "id of its own."
            )
        example_ids = features.with_format("arrow", columns=["example_id"])[:].column(0)
        self._example_of_feature = np.array(
            [row_of[name] for name in example_ids.to_pylist()], dtype=np.int64
        )
        self._offsets = OffsetTable(features)
        self.reset()

    def reset(self) -> None:
        """Forgets all features seen."""
        self._spans = SpanCollector(self._settings.n_best_size, self._settings.max_answer_length)

    def per_slot_reduce(self) -> FeatureSpans:
        """The spans of this slot's features as numpy arrays, a few hundred bytes a feature."""
        return self._spans.collected()

    def cross_slot_reduce(self, per_slot_metrics: Sequence[FeatureSpans]) -> dict[str, float]:
        """Chooses every example's answer and computes the metrics of SQuAD v1.1 or v2.0.

        Args:
            per_slot_metrics: what :meth:`per_slot_reduce` gave on each slot.

        Returns:
            As :func:`squad_v1_metrics`, or with ``version_2_with_negative`` as
            :func:`squad_v2_metrics`, where the score of "no answer" is the null score minus that of
            the best span (if it does not stand alone).
        """
        settings = self._settings
        with contextlib.ExitStack() as files:
            add_list = None
            if self._write_files:
                add_list = files.enter_context(
                    json_files.json_object(self._path("nbest_predictions"))
                )
            answers = self._choose(FeatureSpans.joined(per_slot_metrics), add_list)
        if self._write_files:
            json_files.write_json(self._path("predictions"), answers.predictions)
            if settings.version_2_with_negative:
                json_files.write_json(self._path("null_odds"), answers.null_odds)
        if settings.version_2_with_negative:
            threshold = settings.null_score_diff_threshold
            return squad_v2_metrics(answers.texts, answers.golds, answers.null_odds, threshold)
        return squad_v1_metrics(answers.texts, answers.golds)

    def _choose(
        self, all_spans: FeatureSpans, add_list: Callable[[str, str], None] | None
    ) -> _Answers:
        """The answers of all examples; ``add_list`` takes each one's n best as JSON, if wanted."""
        settings = self._settings
        answers = _Answers({}, {}, {}, {})
        for spans in by_examples(all_spans, self._example_of_feature):
            chosen = choose_spans(
                spans, self._example_of_feature, self._offsets, settings.n_best_size
            )
            best = best_spans(chosen, self.null_stands_alone)
            rows = chosen.examples.tolist()
            names = [self._names[row] for row in rows]
            contexts, golds = self._texts(rows)
            answers.add(names, best.texts(contexts), golds, best, settings)
            if add_list is not None:
                with_null = settings.version_2_with_negative and not self.null_stands_alone
                lists = nbest_json(chosen, contexts, with_null, settings.n_best_size, self.summands)
                for name, entries in zip(names, lists, strict=True):
                    add_list(name, entries)
        return answers

    def _path(self, name: str) -> pathlib.Path:
        return pathlib.Path(str(self._settings.output_dir)).expanduser() / f"{name}.json"

    def _texts(self, rows: list[int]) -> tuple[list[str], list[list[str]]]:
        """Contexts and gold answers of some examples."""
        table = self._rows[rows]
        names = [self._names[row] for row in rows]
        return table.column("context").to_pylist(), _golds(table, names)


class QuestionAnsweringReducer(SquadReducer):
    """The reducer for models that give every token a start logit and an end logit.

    Every batch is reduced on its device to the n best spans.
    """

    def update(
        self,
        batch_columns: Mapping[str, torch.Tensor],
        start_logits: torch.Tensor,
        end_logits: torch.Tensor,
    ) -> None:
        """Takes the n best spans of a batch; without waiting for the device.

        Args:
            batch_columns: what :func:`pop_feature_columns` gave, each int ``[batch]``.
            start_logits: any float type, ``[batch, length]``.
            end_logits: the same.
        """
        self._spans.update(batch_columns, start_logits, end_logits)
