"""Instruction tuning, as other packages know it."""

from model_hub.huggingface.tasks._common.info import TaskInfo
from model_hub.huggingface.tasks.instruction_tuning.data import build_datasets
from model_hub.huggingface.tasks.instruction_tuning.predict import ChatPredictor
from model_hub.huggingface.tasks.instruction_tuning.settings import InstructionTuningDataKwargs

INSTRUCTION_TUNING = TaskInfo(
    package="instruction_tuning",
    pipeline_tag="text-generation",
    auto_class="AutoModelForCausalLM",
    model_mode="causal-lm",
    data_kwargs=(InstructionTuningDataKwargs,),
    predictors=(ChatPredictor,),
    build_datasets=build_datasets,
)
