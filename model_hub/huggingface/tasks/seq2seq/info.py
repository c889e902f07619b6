"""Summarization and translation, as other packages know them."""

from collections.abc import Mapping
from typing import Any

from model_hub.huggingface.tasks._common.info import TaskInfo
from model_hub.huggingface.tasks.seq2seq.predict import Seq2SeqPredictor
from model_hub.huggingface.tasks.seq2seq.settings import (
    Seq2SeqDataKwargs,
    SummarizationDataKwargs,
    TranslationDataKwargs,
)


def _card_tag(data: Mapping[str, Any]) -> str:
    return "translation" if data.get("target_lang") else "summarization"


SEQ2SEQ = TaskInfo(
    package="seq2seq",
    pipeline_tag="text2text-generation",
    auto_class="AutoModelForSeq2SeqLM",
    model_mode="seq2seq-lm",
    data_kwargs=(Seq2SeqDataKwargs, SummarizationDataKwargs, TranslationDataKwargs),
    predictors=(Seq2SeqPredictor,),
    card_tag=_card_tag,
)
