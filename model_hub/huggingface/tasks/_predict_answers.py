"""Predictions of question answering, with a model of either kind of head."""

from collections.abc import Mapping
from typing import Any, ClassVar

import datasets
import numpy as np
import pyarrow as pa
import torch

from model_hub.huggingface.tasks import _answers
from model_hub.huggingface.tasks._ask import answer_questions
from model_hub.huggingface.tasks._batches import pop_feature_columns
from model_hub.huggingface.tasks._beams import BeamSearchCollator, select_n_best_beams
from model_hub.huggingface.tasks._feature_spans import SpanCollector
from model_hub.huggingface.tasks._lengths import model_max_length
from model_hub.huggingface.tasks._predictor import (
    Asked,
    Predictor,
    Rows,
    check_texts,
    features_of,
    in_batches,
)
from model_hub.huggingface.tasks._squad_settings import (
    QuestionAnsweringDataKwargs,
    check_lengths,
    cut_lengths,
)
from model_hub.huggingface.tasks._windows import number_features, prepare_validation_features


class QuestionAnsweringPredictor(Predictor):
    """The best answer in the context, and its probability among the n best."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "answer": pa.string(),
        "score": pa.float64(),
        "start": pa.int64(),
        "end": pa.int64(),
    }

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        limit = model_max_length(asked.model.config)
        wanted = asked.data_kwargs(QuestionAnsweringDataKwargs)
        self._settings = cut_lengths(asked.tokenizer, wanted, limit)
        check_lengths(asked.tokenizer, self._settings, limit)

    def check(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Every row has a question and a context; answers are not read."""
        check_texts(rows, source, ("question", "context"), "question answering")
        return rows

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """``answer``, ``score`` (a probability), ``start`` and ``end`` (characters)."""
        pairs = list(zip(rows["question"], rows["context"], strict=True))
        # One batch for all: the windows of texts of similar length then stand together.
        lengths = [len(question) + len(context) for question, context in pairs]
        return in_batches(pairs, lengths, max(1, len(pairs)), self._asked_for)

    def _asked_for(self, pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
        questions, contexts = map(list, zip(*pairs, strict=True))
        answers = answer_questions(
            self.asked.model,
            self.asked.tokenizer,
            questions,
            contexts,
            data_kwargs=self._settings,
            batch_size=self.asked.batch_size,
        )
        return [
            {"answer": a.text, "score": a.probability, "start": a.start, "end": a.end}
            for a in answers
        ]


class BeamSearchPredictor(QuestionAnsweringPredictor):
    """The same with a beam-search head (XLNet), whose "no answer" is a classifier of its own."""

    @torch.no_grad()
    def _asked_for(self, pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
        settings = self._settings
        questions, contexts = map(list, zip(*pairs, strict=True))
        columns = prepare_validation_features(
            {"id": range(len(pairs)), "question": questions, "context": contexts},
            tokenizer=self.asked.tokenizer,
            max_seq_length=settings.max_seq_length,
            doc_stride=settings.doc_stride,
            pad_to_max_length=settings.pad_to_max_length,
        )
        features = number_features(datasets.Dataset.from_dict(columns))
        spans = SpanCollector(settings.n_best_size, settings.max_answer_length)
        collator = BeamSearchCollator.of(self.asked.tokenizer, self.asked.model.config)
        rows = features_of(features.remove_columns(["example_id", "offset_mapping"])[:])
        for first in range(0, len(rows), self.asked.batch_size):
            batch = self.asked.to_device(collator(rows[first : first + self.asked.batch_size]))
            places = pop_feature_columns(batch)
            outputs = self.asked.model(**batch, cls_index=places["cls_index"])
            found, start_log_prob, end_log_prob = select_n_best_beams(
                outputs,
                context_begin=places["context_begin"],
                context_end=places["context_end"],
                n_best_size=settings.n_best_size,
                max_answer_length=settings.max_answer_length,
            )
            spans.add(places, found, start_log_prob, end_log_prob, outputs.cls_logits.float())
        chosen = _answers.choose_spans(
            spans.collected(),
            np.array([int(name) for name in columns["example_id"]]),
            _answers.OffsetTable(features),
            settings.n_best_size,
        )
        best = _answers.best_spans(chosen, null_stands_alone=True)
        empty = best.unanswered(settings) | np.isneginf(best.score)
        weights = _answers.log_weights(chosen, np.zeros(len(empty), np.bool_))
        # Of "no answer" it is the classifier's own.
        null = 1 / (1 + np.exp(-chosen.null_score))
        with np.errstate(invalid="ignore"):
            score = np.where(empty, null, np.exp(best.score - weights))
        begins, ends = np.where(empty, 0, best.begin), np.where(empty, 0, best.end)
        return [
            {"answer": context[begin:end], "score": probability, "start": begin, "end": end}
            for context, probability, begin, end in zip(
                contexts, score.tolist(), begins.tolist(), ends.tolist(), strict=True
            )
        ]
