"""Text classification, as other packages know it."""

from model_hub.huggingface.tasks._common.info import TaskInfo
from model_hub.huggingface.tasks.text_classification.predict import (
    RegressionPredictor,
    TextClassificationPredictor,
)
from model_hub.huggingface.tasks.text_classification.settings import (
    TextClassificationDataKwargs,
    XNLIDataKwargs,
)

TEXT_CLASSIFICATION = TaskInfo(
    package="text_classification",
    pipeline_tag="text-classification",
    auto_class="AutoModelForSequenceClassification",
    model_mode="sequence-classification",
    data_kwargs=(TextClassificationDataKwargs, XNLIDataKwargs),
    predictors=(RegressionPredictor, TextClassificationPredictor),
    texts_per_sequence=1,
)
