"""The tasks: one package each, and the facts about them that other packages need."""

from model_hub.huggingface.tasks._common.info import TaskInfo
from model_hub.huggingface.tasks.instruction_tuning.info import INSTRUCTION_TUNING
from model_hub.huggingface.tasks.language_modeling.info import CAUSAL, MASKED
from model_hub.huggingface.tasks.multiple_choice.info import MULTIPLE_CHOICE
from model_hub.huggingface.tasks.question_answering.info import QUESTION_ANSWERING
from model_hub.huggingface.tasks.seq2seq.info import SEQ2SEQ
from model_hub.huggingface.tasks.text_classification.info import TEXT_CLASSIFICATION
from model_hub.huggingface.tasks.token_classification.info import TOKEN_CLASSIFICATION

#: All tasks. Among tasks of the same pipeline tag, the predictors of earlier ones have precedence.
TASKS: tuple[TaskInfo, ...] = (
    QUESTION_ANSWERING,
    TEXT_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
    MULTIPLE_CHOICE,
    SEQ2SEQ,
    INSTRUCTION_TUNING,
    CAUSAL,
    MASKED,
)

#: For values of ``hyperparameters.model_mode``, why label smoothing does not apply.
UNSMOOTHED_MODES = {
    task.model_mode: task.smoothing_conflict for task in TASKS if task.smoothing_conflict
}
