"""Language modeling, as other packages know it."""

from model_hub.huggingface.tasks._common.info import TaskInfo
from model_hub.huggingface.tasks.language_modeling.data import build_datasets
from model_hub.huggingface.tasks.language_modeling.predict import (
    FillMaskPredictor,
    TextGenerationPredictor,
)
from model_hub.huggingface.tasks.language_modeling.settings import (
    LanguageModelingDataKwargs,
    MaskedLanguageModelingDataKwargs,
    PermutationLanguageModelingDataKwargs,
)

CAUSAL = TaskInfo(
    package="language_modeling",
    pipeline_tag="text-generation",
    auto_class="AutoModelForCausalLM",
    model_mode="causal-lm",
    data_kwargs=(LanguageModelingDataKwargs, PermutationLanguageModelingDataKwargs),
    predictors=(TextGenerationPredictor,),
    build_datasets=build_datasets,
)
MASKED = TaskInfo(
    package="language_modeling",
    pipeline_tag="fill-mask",
    auto_class="AutoModelForMaskedLM",
    model_mode="masked-lm",
    data_kwargs=(MaskedLanguageModelingDataKwargs,),
    predictors=(FillMaskPredictor,),
)
