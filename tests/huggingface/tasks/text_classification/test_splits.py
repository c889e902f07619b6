"""Data of the Hub whose validation splits have other names than ``validation``."""

from collections.abc import Callable
from typing import Any

import datasets
import pytest
import tiny

from model_hub.errors import UserError
from model_hub.huggingface.tasks import (
    instruction_tuning,
    language_modeling,
    multiple_choice,
    question_answering,
    seq2seq,
    text_classification,
    token_classification,
)

BUILDERS: dict[str, Callable[[Any], Any]] = {
    "question answering": lambda splits: question_answering.build_datasets(
        splits, tiny.word_tokenizer(), question_answering.QuestionAnsweringDataKwargs()
    ),
    "text classification": lambda splits: text_classification.find_task(splits, None),
    "token classification": lambda splits: token_classification.read_tagging(
        splits, token_classification.TokenClassificationDataKwargs()
    ),
    "multiple choice": lambda splits: multiple_choice.build_datasets(
        splits, tiny.word_tokenizer(), multiple_choice.MultipleChoiceDataKwargs()
    ),
    "language modeling": lambda splits: language_modeling.build_datasets(
        splits, tiny.word_tokenizer(), language_modeling.LanguageModelingDataKwargs()
    ),
    "instruction tuning": lambda splits: instruction_tuning.build_datasets(
        splits, tiny.word_tokenizer(), instruction_tuning.InstructionTuningDataKwargs()
    ),
    "seq2seq": lambda splits: seq2seq.build_datasets(
        splits, tiny.word_tokenizer(), seq2seq.SummarizationDataKwargs()
    ),
}


@pytest.mark.parametrize("task", BUILDERS)
def test_what_to_write_is_said(task: str) -> None:
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
    splits = dict.fromkeys(("train", "validation_near", "validation_far"), rows)
    said = r"no split 'validation', only .*validation_near.*data\.validation_file, or data\.valid"
    with pytest.raises(UserError, match=said):
        BUILDERS[task](splits)
