"""Answers to questions with a trained model, computed as the validation computes them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import (
    remove_unused_columns,
    rename_columns_of,
    require_columns,
    require_text,
)
from model_hub.huggingface.tasks._common.predictor import (
    InferenceSetup,
    Predictor,
    Rows,
    features_of_rows,
    map_by_length,
)
from model_hub.huggingface.tasks._common.tokenization import model_max_length
from model_hub.huggingface.tasks.question_answering.answers import (
    ChosenSpans,
    OffsetTable,
    best_spans,
    choose_spans,
    log_weights,
    without_blanks,
)
from model_hub.huggingface.tasks.question_answering.beam_search import (
    BeamSearchCollator,
    select_n_best_beams,
)
from model_hub.huggingface.tasks.question_answering.collator import (
    FEATURE_COLUMNS,
    QuestionAnsweringCollator,
    pop_feature_columns,
)
from model_hub.huggingface.tasks.question_answering.features import (
    number_features,
    prepare_validation_features,
)
from model_hub.huggingface.tasks.question_answering.settings import (
    QuestionAnsweringDataKwargs,
    check_lengths,
    cut_lengths,
)
from model_hub.huggingface.tasks.question_answering.spans import FeatureSpans, SpanCollector


class Answer(NamedTuple):
    """An answer to a question: ``context[start:end]``.

    Attributes:
        text: the answer; "" for "no answer".
        start: its first character in the context; 0 for "no answer".
        end: the character after its last; 0 for "no answer".
        score: start logit plus end logit.
        probability: softmax over the scores of the n best spans (and "no answer", if allowed).
    """

    text: str
    start: int
    end: int
    score: float
    probability: float


def answer_questions(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    questions: Sequence[str],
    contexts: Sequence[str],
    *,
    data_kwargs: QuestionAnsweringDataKwargs | None = None,
    batch_size: int = 16,
) -> list[Answer]:
    """Answer questions with the features and the choice of spans of the validation.

    It replaces ``pipeline("question-answering")``, which transformers 5.23 no longer has::

        folder = "runs/squad-20260102-030405/model"
        model = AutoModelForQuestionAnswering.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        (answer,) = answer_questions(model, tokenizer, ["Who was it?"], ["It was Ada."])

    Args:
        model: a question-answering model, on any device.
        tokenizer: its tokenizer, a fast one.
        questions: the questions.
        contexts: for each question the text that contains the answer, of any length.
        data_kwargs: section ``data`` of the training; None takes its defaults. A ``max_seq_length``
            above what tokenizer or model take is lowered to that, and ``doc_stride`` to at most a
            third of it.
        batch_size: windows of contexts that go through the model together.

    Returns:
        One answer per question. With ``version_2_with_negative`` it is "no answer" (the text "")
        if that is better by more than ``null_score_diff_threshold``; otherwise only if the context
        has no text.

    Raises:
        UserError: when questions and contexts differ in number, or the settings do not fit
            tokenizer and model.
    """
    _check_texts(questions, contexts, batch_size)
    limit = model_max_length(model.config)
    settings = cut_lengths(tokenizer, data_kwargs or QuestionAnsweringDataKwargs(), limit)
    check_lengths(tokenizer, settings, limit)
    if not questions:
        return []
    features = _make_features(tokenizer, questions, contexts, settings)
    spans = _find_spans(model, tokenizer, features, settings, batch_size)
    return _to_answers(_choose(spans, features, contexts, settings), contexts, settings)


def _check_texts(questions: Sequence[str], contexts: Sequence[str], batch_size: int) -> None:
    for name, texts in (("questions", questions), ("contexts", contexts)):
        if isinstance(texts, str):
            raise UserError(f"{name} is one text; write a list of texts, [{texts[:40]!r}].")
    if len(questions) != len(contexts):
        raise UserError(
            f"there are {len(questions)} questions and {len(contexts)} contexts; write one context "
            "for each question."
        )
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}, but should be at least 1.")


def _make_features(
    tokenizer: transformers.PreTrainedTokenizerBase,
    questions: Sequence[str],
    contexts: Sequence[str],
    settings: QuestionAnsweringDataKwargs,
) -> datasets.Dataset:
    """Return validation features, in which the number of a question is its id."""
    columns = prepare_validation_features(
        {"id": range(len(questions)), "question": questions, "context": contexts},
        tokenizer=tokenizer,
        max_seq_length=settings.max_seq_length,
        doc_stride=settings.doc_stride,
        pad_to_max_length=settings.pad_to_max_length,
    )
    return number_features(datasets.Dataset.from_dict(columns))


def _find_spans(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    features: datasets.Dataset,
    settings: QuestionAnsweringDataKwargs,
    batch_size: int,
) -> FeatureSpans:
    """Return the n best spans of all features."""
    spans = SpanCollector(settings.n_best_size, settings.max_answer_length)
    collator = QuestionAnsweringCollator(tokenizer)
    # The collator converts all columns, so leave out those that neither model nor spans need.
    rows = features.with_format(None)
    remove_unused_columns(model, rows, keep=FEATURE_COLUMNS)
    with torch.no_grad(), _eval_mode(model):
        for first in range(0, len(rows), batch_size):
            numbers = range(first, min(first + batch_size, len(rows)))
            batch = collator([rows[number] for number in numbers])
            for_spans = pop_feature_columns(batch)
            outputs = model(**{name: value.to(model.device) for name, value in batch.items()})
            spans.update(for_spans, outputs.start_logits, outputs.end_logits)
    return spans.collected()


@contextlib.contextmanager
def _eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode, and restore the mode of every module afterwards."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _choose(
    spans: FeatureSpans,
    features: datasets.Dataset,
    contexts: Sequence[str],
    settings: QuestionAnsweringDataKwargs,
) -> ChosenSpans:
    """Return the n best spans of each question."""
    chosen = choose_spans(
        FeatureSpans.joined([spans]),
        np.array([int(name) for name in features["example_id"][:]]),
        OffsetTable(features),
        settings.n_best_size,
    )
    return without_blanks(chosen, contexts)


def _to_answers(
    chosen: ChosenSpans, contexts: Sequence[str], settings: QuestionAnsweringDataKwargs
) -> list[Answer]:
    best = best_spans(chosen)
    no_answer = best.unanswered(settings) | np.isneginf(best.score)
    score = np.where(no_answer, chosen.null_score, best.score)
    with_null = no_answer | settings.version_2_with_negative
    weights = log_weights(chosen, with_null, settings.n_best_size)
    columns = (
        np.where(no_answer, 0, best.begin),
        np.where(no_answer, 0, best.end),
        score,
        np.exp(score - weights),
    )
    return [
        Answer(context[start:end], start, end, total, probability)
        for context, start, end, total, probability in zip(
            contexts, *(column.tolist() for column in columns), strict=True
        )
    ]


class QuestionAnsweringPredictor(Predictor):
    """Predicts the best answer in the context and its probability among the n best."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "answer": pa.string(),
        "score": pa.float64(),
        "start": pa.int64(),
        "end": pa.int64(),
    }

    def __init__(self, setup: InferenceSetup) -> None:
        super().__init__(setup)
        limit = model_max_length(setup.model.config)
        trained_with = setup.data_kwargs(QuestionAnsweringDataKwargs)
        self.id_column = trained_with.id_column or "id"
        self._settings = cut_lengths(setup.tokenizer, trained_with, limit)
        check_lengths(setup.tokenizer, self._settings, limit)

    def check_columns(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Check that every row has a question and a context; answers are not needed."""
        names = self._settings.column_names(("question", "context"))
        columns = [given or name for given, name in names.values()]
        require_columns(rows, columns, source, "question answering")
        require_text(rows, columns, source)
        return rename_columns_of(rows, names, source)

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """Return ``answer``, ``score`` (a probability), ``start`` and ``end`` (characters)."""
        pairs = list(zip(rows["question"], rows["context"], strict=True))
        # One call for all: windows of texts of similar length are then neighbours.
        lengths = [len(question) + len(context) for question, context in pairs]
        return map_by_length(pairs, lengths, max(1, len(pairs)), self._predict_pairs)

    def _predict_pairs(self, pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
        questions, contexts = map(list, zip(*pairs, strict=True))
        answers = answer_questions(
            self.setup.model,
            self.setup.tokenizer,
            questions,
            contexts,
            data_kwargs=self._settings,
            batch_size=self.setup.batch_size,
        )
        return [
            {"answer": a.text, "score": a.probability, "start": a.start, "end": a.end}
            for a in answers
        ]


class BeamSearchPredictor(QuestionAnsweringPredictor):
    """The predictor for models with a beam-search head (XLNet) and a "no answer" classifier."""

    @classmethod
    def supports(cls, setup: InferenceSetup, rows: datasets.Dataset) -> bool:
        """Return whether the head returns beams in place of start and end logits."""
        return "XLNetForQuestionAnswering" in (setup.model.config.architectures or [])

    @torch.no_grad()
    def _predict_pairs(self, pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
        setup, settings = self.setup, self._settings
        questions, contexts = map(list, zip(*pairs, strict=True))
        features = _make_features(setup.tokenizer, questions, contexts, settings)
        spans = SpanCollector(settings.n_best_size, settings.max_answer_length)
        collator = BeamSearchCollator.of(setup.tokenizer, setup.model.config)
        rows = features_of_rows(features.remove_columns(["example_id", "offset_mapping"])[:])
        for first in range(0, len(rows), setup.batch_size):
            batch = setup.to_device(collator(rows[first : first + setup.batch_size]))
            places = pop_feature_columns(batch)
            outputs = setup.model(**batch, cls_index=places["cls_index"])
            beams, start_log_prob, end_log_prob = select_n_best_beams(
                outputs,
                context_begin=places["context_begin"],
                context_end=places["context_end"],
                n_best_size=settings.n_best_size,
                max_answer_length=settings.max_answer_length,
            )
            spans.add(places, beams, start_log_prob, end_log_prob, outputs.cls_logits.float())
        chosen = _choose(spans.collected(), features, contexts, settings)
        best = best_spans(chosen, null_stands_alone=True)
        no_answer = best.unanswered(settings) | np.isneginf(best.score)
        weights = log_weights(chosen, np.zeros(len(no_answer), np.bool_), settings.n_best_size)
        # The probability of "no answer" is that of its classifier.
        null_probability = 1 / (1 + np.exp(-chosen.null_score))
        with np.errstate(invalid="ignore"):
            score = np.where(no_answer, null_probability, np.exp(best.score - weights))
        begins, ends = np.where(no_answer, 0, best.begin), np.where(no_answer, 0, best.end)
        return [
            {"answer": context[begin:end], "score": probability, "start": begin, "end": end}
            for context, probability, begin, end in zip(
                contexts, score.tolist(), begins.tolist(), ends.tolist(), strict=True
            )
        ]
