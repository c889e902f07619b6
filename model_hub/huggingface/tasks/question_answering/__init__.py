"""Question answering on SQuAD-like data: settings, features, batches, metrics, prediction."""

from model_hub.huggingface.tasks.question_answering.beam_search import (
    BeamSearchCollator,
    BeamSearchReducer,
    select_n_best_beams,
)
from model_hub.huggingface.tasks.question_answering.collator import (
    FEATURE_COLUMNS,
    QuestionAnsweringCollator,
    pop_feature_columns,
)
from model_hub.huggingface.tasks.question_answering.data import (
    QuestionAnsweringDatasets,
    build_datasets,
    check_rows,
    load_rows,
)
from model_hub.huggingface.tasks.question_answering.features import (
    number_features,
    prepare_train_features,
    prepare_validation_features,
)
from model_hub.huggingface.tasks.question_answering.metrics import (
    squad_v1_metrics,
    squad_v2_metrics,
)
from model_hub.huggingface.tasks.question_answering.predict import Answer, answer_questions
from model_hub.huggingface.tasks.question_answering.reducer import QuestionAnsweringReducer
from model_hub.huggingface.tasks.question_answering.rows import (
    check_columns,
    drop_misaligned_answers,
)
from model_hub.huggingface.tasks.question_answering.settings import (
    QuestionAnsweringDataKwargs,
    check_lengths,
)
from model_hub.huggingface.tasks.question_answering.spans import SpanCandidates, select_n_best_spans

__all__ = [
    "FEATURE_COLUMNS",
    "Answer",
    "BeamSearchCollator",
    "BeamSearchReducer",
    "QuestionAnsweringCollator",
    "QuestionAnsweringDataKwargs",
    "QuestionAnsweringDatasets",
    "QuestionAnsweringReducer",
    "SpanCandidates",
    "answer_questions",
    "build_datasets",
    "check_columns",
    "check_lengths",
    "check_rows",
    "drop_misaligned_answers",
    "load_rows",
    "number_features",
    "pop_feature_columns",
    "prepare_train_features",
    "prepare_validation_features",
    "select_n_best_beams",
    "select_n_best_spans",
    "squad_v1_metrics",
    "squad_v2_metrics",
]
