"""Question answering, as other packages know it."""

from model_hub.huggingface.tasks._common.info import TaskInfo
from model_hub.huggingface.tasks.question_answering.predict import (
    BeamSearchPredictor,
    QuestionAnsweringPredictor,
)
from model_hub.huggingface.tasks.question_answering.settings import QuestionAnsweringDataKwargs

QUESTION_ANSWERING = TaskInfo(
    package="question_answering",
    pipeline_tag="question-answering",
    auto_class="AutoModelForQuestionAnswering",
    model_mode="question-answering",
    data_kwargs=(QuestionAnsweringDataKwargs,),
    predictors=(BeamSearchPredictor, QuestionAnsweringPredictor),
    # The Auto class lists another class of these families.
    architectures=(
        "XLNetForQuestionAnswering",
        "FlaubertForQuestionAnswering",
        "XLMForQuestionAnswering",
    ),
    texts_per_sequence=2,
    smoothing_conflict="the labels of question answering are positions in a text, not classes",
)
