"""The reducer of the SQuAD metrics, which also writes the prediction files."""

import contextlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import torch
from determined import pytorch

from model_hub.huggingface.tasks._common import json_files
from model_hub.huggingface.tasks.question_answering.answers import (
    BestSpans,
    OffsetTable,
    best_spans,
    by_examples,
    choose_spans,
    nbest_lists,
    without_blanks,
)
from model_hub.huggingface.tasks.question_answering.metrics import (
    squad_v1_metrics,
    squad_v2_metrics,
)
from model_hub.huggingface.tasks.question_answering.rows import answers_of, check_ids
from model_hub.huggingface.tasks.question_answering.settings import QuestionAnsweringDataKwargs
from model_hub.huggingface.tasks.question_answering.spans import FeatureSpans, SpanCollector

# Examples whose answers are checked at a time.
_ROWS_AT_A_TIME = 1000


class _Answers(NamedTuple):
    """Answers by the id of the example, in the order of the rows.

    Attributes:
        texts: the best answer other than "no answer", "" if there is none.
        golds: the gold answers.
        null_odds: how much better "no answer" is.
        predictions: the final answer, "" if "no answer" is better.
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
        self.texts.update(zip(names, texts, strict=True))
        self.golds.update(zip(names, golds, strict=True))
        self.null_odds.update(zip(names, best.null_odds.tolist(), strict=True))
        unanswered = best.unanswered(settings).tolist()
        for name, text, empty in zip(names, texts, unanswered, strict=True):
            self.predictions[name] = "" if empty else text


class SquadReducer(pytorch.MetricReducer):
    """SQuAD metrics over all slots, from the n best spans of every feature.

    The ``update`` of a subclass reduces a batch on its device to the n best spans, which stay there
    until the end of the validation. The result does not depend on how features are divided into
    batches and slots; a feature that was evaluated twice counts once. Metrics are over the examples
    with at least one evaluated feature; if there is none, they are NaN.

    Args:
        examples: the flat validation rows that the features were made of.
        features: the features of all of them, with ``example_id`` and ``offset_mapping``; their row
            number is the ``feature_id`` of the batches.
        data_kwargs: section ``data``.
        write_files: write the prediction files if ``data.output_dir`` is set; true in one process.

    Attributes:
        summands: names of the two summands of a span's score in the n-best file.
        null_stands_alone: the null score is not on the scale of the spans' scores: it is compared
            with the threshold directly, and "no answer" is not in the n-best lists.

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
        # The texts stay in Arrow's files; they are read for a few examples at a time.
        self._rows = examples.with_format("arrow", columns=["context", "answers"])
        names = examples.with_format("arrow", columns=["id"])[:].column(0)
        self._names = [str(name) for name in names.to_pylist()]
        answers = examples.with_format("arrow", columns=["answers"])
        for begin in range(0, len(self._names), _ROWS_AT_A_TIME):
            rows = slice(begin, begin + _ROWS_AT_A_TIME)
            _golds(answers[rows], self._names[rows])
        check_ids(examples, "validation data")
        row_of = {name: row for row, name in enumerate(self._names)}
        example_ids = features.with_format("arrow", columns=["example_id"])[:].column(0)
        self._example_of_feature = np.array(
            [row_of[name] for name in example_ids.to_pylist()], dtype=np.int64
        )
        self._offsets = OffsetTable(features)
        self.reset()

    def reset(self) -> None:
        """Forget all features."""
        self._spans = SpanCollector(self._settings.n_best_size, self._settings.max_answer_length)

    def per_slot_reduce(self) -> FeatureSpans:
        """Return the spans of this slot's features, a few hundred bytes a feature."""
        return self._spans.collected()

    def cross_slot_reduce(self, per_slot_metrics: Sequence[FeatureSpans]) -> dict[str, float]:
        """Choose every example's answer and compute the metrics of SQuAD v1.1 or v2.0.

        Args:
            per_slot_metrics: what :meth:`per_slot_reduce` returned on each slot.

        Returns:
            As :func:`squad_v1_metrics`, or with ``version_2_with_negative`` as
            :func:`squad_v2_metrics`, where the score of "no answer" is the null score minus that of
            the best span (or the null score itself, see ``null_stands_alone``). And
            ``validation_loss``, the mean over the windows whose answer's position is known, if
            there are such.
        """
        settings = self._settings
        with contextlib.ExitStack() as files:
            add_list = None
            if self._write_files:
                add_list = files.enter_context(
                    json_files.json_object(self._path("nbest_predictions"))
                )
            spans = FeatureSpans.joined(per_slot_metrics)
            answers = self._choose(spans, add_list)
        if self._write_files:
            json_files.write_json(self._path("predictions"), answers.predictions)
            if settings.version_2_with_negative:
                json_files.write_json(self._path("null_odds"), answers.null_odds)
        if settings.version_2_with_negative:
            threshold = settings.null_score_diff_threshold
            metrics = squad_v2_metrics(answers.texts, answers.golds, answers.null_odds, threshold)
        else:
            metrics = squad_v1_metrics(answers.texts, answers.golds)
        known = spans.loss[~(spans.loss < 0)]
        if len(known):
            metrics["validation_loss"] = float(known.mean(dtype=np.float64))
        return metrics

    def _choose(
        self, all_spans: FeatureSpans, add_list: Callable[[str, Any], None] | None
    ) -> _Answers:
        """Return the answers of all examples, and pass each one's n best to ``add_list``."""
        settings = self._settings
        answers = _Answers({}, {}, {}, {})
        for spans in by_examples(all_spans, self._example_of_feature):
            chosen = choose_spans(
                spans, self._example_of_feature, self._offsets, settings.n_best_size
            )
            rows = chosen.examples.tolist()
            names = [self._names[row] for row in rows]
            table = self._rows[rows]
            contexts = table.column("context").to_pylist()
            chosen = without_blanks(chosen, contexts)
            best = best_spans(chosen, self.null_stands_alone)
            answers.add(names, best.texts(contexts), _golds(table, names), best, settings)
            if add_list is not None:
                with_null = settings.version_2_with_negative and not self.null_stands_alone
                lists = nbest_lists(
                    chosen, contexts, with_null, settings.n_best_size, self.summands
                )
                for name, entries in zip(names, lists, strict=True):
                    add_list(name, entries)
        return answers

    def _path(self, name: str) -> pathlib.Path:
        return pathlib.Path(str(self._settings.output_dir)).expanduser() / f"{name}.json"


def _golds(table: pa.Table, names: Sequence[str]) -> list[list[str]]:
    answers = zip(table.column("answers").to_pylist(), names, strict=True)
    return [answers_of(value, name)[0] for value, name in answers]


class QuestionAnsweringReducer(SquadReducer):
    """The reducer for models with a start logit and an end logit for every token."""

    def update(
        self,
        batch_columns: Mapping[str, torch.Tensor],
        start_logits: torch.Tensor,
        end_logits: torch.Tensor,
    ) -> None:
        """Add the n best spans of a batch, without synchronizing with the device.

        Args:
            batch_columns: what :func:`pop_feature_columns` returned, each int ``[batch]``.
            start_logits: any float type, ``[batch, length]``.
            end_logits: the same.
        """
        self._spans.update(batch_columns, start_logits, end_logits)
