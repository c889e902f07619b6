"""Multiple choice, as other packages know it."""

from model_hub.huggingface.tasks._common.info import TaskInfo
from model_hub.huggingface.tasks.multiple_choice.predict import MultipleChoicePredictor
from model_hub.huggingface.tasks.multiple_choice.settings import MultipleChoiceDataKwargs

MULTIPLE_CHOICE = TaskInfo(
    package="multiple_choice",
    pipeline_tag="multiple-choice",
    auto_class="AutoModelForMultipleChoice",
    model_mode="multiple-choice",
    data_kwargs=(MultipleChoiceDataKwargs,),
    predictors=(MultipleChoicePredictor,),
    texts_per_sequence=2,
)
