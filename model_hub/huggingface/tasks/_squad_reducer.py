"""SQuAD metrics as a Determined reducer, and the files with the predictions."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

import datasets
import numpy as np
import torch
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.tasks import _answers
from model_hub.huggingface.tasks._feature_spans import FeatureSpans, SpanCollector
from model_hub.huggingface.tasks._squad_metrics import squad_v1_metrics, squad_v2_metrics
from model_hub.huggingface.tasks._squad_rows import answers_of
from model_hub.huggingface.tasks._squad_settings import QuestionAnsweringDataKwargs


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
        table = examples.with_format("arrow", columns=["id", "context", "answers"])[:]
        self._names = [str(name) for name in table.column("id").to_pylist()]
        self._contexts: list[str] = table.column("context").to_pylist()
        self._references = [
            answers_of(value, name)[0]
            for value, name in zip(table.column("answers").to_pylist(), self._names, strict=True)
        ]
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
        self._offsets = _answers.OffsetTable(features)
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
        chosen = _answers.choose_spans(
            FeatureSpans.joined(per_slot_metrics),
            self._example_of_feature,
            self._offsets,
            settings.n_best_size,
        )
        best = _answers.best_spans(chosen, self.null_stands_alone)
        rows = chosen.examples.tolist()
        names = [self._names[row] for row in rows]
        references = {self._names[row]: self._references[row] for row in rows}
        texts = dict(zip(names, best.texts(chosen, self._contexts), strict=True))
        null_odds = dict(zip(names, best.null_odds.tolist(), strict=True))
        if self._write_files:
            unanswered = dict(zip(names, best.unanswered(settings).tolist(), strict=True))
            predictions = {name: "" if unanswered[name] else texts[name] for name in names}
            self._write(chosen, predictions, null_odds)
        if settings.version_2_with_negative:
            return squad_v2_metrics(
                texts, references, null_odds, settings.null_score_diff_threshold
            )
        return squad_v1_metrics(texts, references)

    def _write(
        self,
        chosen: _answers.ChosenSpans,
        predictions: Mapping[str, str],
        null_odds: Mapping[str, float],
    ) -> None:
        folder = pathlib.Path(str(self._settings.output_dir)).expanduser()
        version_2 = self._settings.version_2_with_negative
        if version_2:
            _answers.write_json(folder / "null_odds.json", null_odds)
        lists = _answers.nbest_json(
            chosen,
            self._contexts,
            version_2 and not self.null_stands_alone,
            self._settings.n_best_size,
            self.summands,
        )
        _answers.write_json(folder / "predictions.json", predictions)
        _answers.write_json(
            folder / "nbest_predictions.json", dict(zip(predictions, lists, strict=True)), str
        )


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
