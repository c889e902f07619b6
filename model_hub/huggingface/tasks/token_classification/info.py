"""Token classification, as other packages know it."""

from model_hub.huggingface.tasks._common.info import TaskInfo
from model_hub.huggingface.tasks.token_classification.predict import TokenClassificationPredictor
from model_hub.huggingface.tasks.token_classification.settings import TokenClassificationDataKwargs

TOKEN_CLASSIFICATION = TaskInfo(
    package="token_classification",
    pipeline_tag="token-classification",
    auto_class="AutoModelForTokenClassification",
    model_mode="token-classification",
    data_kwargs=(TokenClassificationDataKwargs,),
    predictors=(TokenClassificationPredictor,),
    texts_per_sequence=1,
)
