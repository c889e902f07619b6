"""Questions to a trained model, answered as the validation answers them."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import datasets
import numpy as np
import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface import _data
from model_hub.huggingface.tasks import _answers
from model_hub.huggingface.tasks._batches import (
    FEATURE_COLUMNS,
    QuestionAnsweringCollator,
    pop_feature_columns,
)
from model_hub.huggingface.tasks._feature_spans import FeatureSpans, SpanCollector
from model_hub.huggingface.tasks._lengths import model_max_length
from model_hub.huggingface.tasks._squad_settings import (
    QuestionAnsweringDataKwargs,
    check_lengths,
    cut_lengths,
)
from model_hub.huggingface.tasks._windows import number_features, prepare_validation_features


class Answer(NamedTuple):
    """An answer to a question: ``context[start:end]``.

    Attributes:
        text: the answer; "" for "no answer".
        start: its first character in the context; 0 for "no answer".
        end: the character after its last; 0 for "no answer".
        score: start logit plus end logit.
        probability: share of this answer in the sum of exp(score) over the n best spans (and "no
            answer", if that may be one).
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
    """Asks a model, with the features and the choice of spans that the metrics rest on.

    It takes the place of ``pipeline("question-answering")``, which transformers 5.23 has no more::

        folder = "runs/squad-20260102-030405/model"
        model = AutoModelForQuestionAnswering.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        (answer,) = answer_questions(model, tokenizer, ["Who was it?"], ["It was Ada."])

    Args:
        model: a question-answering model, on any device.
        tokenizer: its tokenizer, a fast one.
        questions: the questions.
        contexts: for each question the text that its answer stands in, of any length.
        data_kwargs: section ``data`` of the training; without it, its defaults. If
            ``max_seq_length`` is more than tokenizer or model take, it becomes what they take, and
            ``doc_stride`` at most a third of it.
        batch_size: windows of contexts that go through the model together.

    Returns:
        One answer per question. With ``version_2_with_negative`` it is "no answer" (the text "")
        where that is better by more than ``null_score_diff_threshold``; without, only where the
        context has no text.

    Raises:
        UserError: when questions and contexts do not match, or the settings do not fit tokenizer
            and model.
    """
    _check_texts(questions, contexts, batch_size)
    limit = model_max_length(model.config)
    settings = cut_lengths(tokenizer, data_kwargs or QuestionAnsweringDataKwargs(), limit)
    check_lengths(tokenizer, settings, limit)
    if not questions:
        return []
    columns = prepare_validation_features(
        {"id": range(len(questions)), "question": questions, "context": contexts},
        tokenizer=tokenizer,
        max_seq_length=settings.max_seq_length,
        doc_stride=settings.doc_stride,
        pad_to_max_length=settings.pad_to_max_length,
    )
    features = number_features(datasets.Dataset.from_dict(columns))
    chosen = _answers.choose_spans(
        FeatureSpans.joined([_find_spans(model, tokenizer, features, settings, batch_size)]),
        np.array([int(name) for name in columns["example_id"]]),
        _answers.OffsetTable(features),
        settings.n_best_size,
    )
    return _as_answers(chosen, contexts, settings)


def _check_texts(questions: Sequence[str], contexts: Sequence[str], batch_size: int) -> None:
    for name, texts in (("questions", questions), ("contexts", contexts)):
        if isinstance(texts, str):
            raise UserError(f"{name} is one text; write a list of texts, [{texts[:40]!r}].")
    if len(questions) != len(contexts):
        raise UserError(
            f"there are {len(questions)} questions and {len(contexts)} contexts; write for each "
            "question the context of its own."
        )
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}, but should be at least 1.")


def _find_spans(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    features: datasets.Dataset,
    settings: QuestionAnsweringDataKwargs,
    batch_size: int,
) -> FeatureSpans:
    """Sends all features through the model."""
    spans = SpanCollector(settings.n_best_size, settings.max_answer_length)
    collator = QuestionAnsweringCollator(tokenizer)
    # The collator reads rows; what the model does not take and the spans do not need stays out.
    rows = features.with_format(None)
    _data.remove_unused_columns(model, rows, keep=FEATURE_COLUMNS)
    with torch.no_grad(), _evaluating(model):
        for first in range(0, len(rows), batch_size):
            numbers = range(first, min(first + batch_size, len(rows)))
            batch = collator([rows[number] for number in numbers])
            for_spans = pop_feature_columns(batch)
            outputs = model(**{name: value.to(model.device) for name, value in batch.items()})
            spans.update(for_spans, outputs.start_logits, outputs.end_logits)
    return spans.collected()


@contextlib.contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Puts the model into evaluation mode, and every part of it back into its own afterwards."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _as_answers(
    chosen: _answers.ChosenSpans, contexts: Sequence[str], settings: QuestionAnsweringDataKwargs
) -> list[Answer]:
    best = _answers.best_spans(chosen)
    no_answer = best.unanswered(settings) | np.isneginf(best.score)
    score = np.where(no_answer, chosen.null_score, best.score)
    log_weights = _answers.log_weights(chosen, no_answer | settings.version_2_with_negative)
    columns = (
        np.where(no_answer, 0, best.begin),
        np.where(no_answer, 0, best.end),
        score,
        np.exp(score - log_weights),
    )
    return [
        Answer(context[start:end], start, end, total, probability)
        for context, start, end, total, probability in zip(
            contexts, *(column.tolist() for column in columns), strict=True
        )
    ]
