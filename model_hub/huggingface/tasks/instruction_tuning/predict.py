"""Prediction with a chat model."""

import logging
from typing import Any

import datasets

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.predictor import InferenceSetup, Rows
from model_hub.huggingface.tasks.instruction_tuning import formats
from model_hub.huggingface.tasks.instruction_tuning.formats import ChatFormat, Conversation
from model_hub.huggingface.tasks.instruction_tuning.messages import ASSISTANT
from model_hub.huggingface.tasks.instruction_tuning.settings import InstructionTuningDataKwargs
from model_hub.huggingface.tasks.instruction_tuning.template import render_conversation
from model_hub.huggingface.tasks.language_modeling.predict import TextGenerationPredictor

logger = logging.getLogger("model_hub")


def _layout(setup: InferenceSetup, rows: datasets.Dataset, source: str) -> ChatFormat:
    """Return the format of the rows: that of the training, where they have its columns."""
    kwargs = setup.data_kwargs(InstructionTuningDataKwargs)
    column = kwargs.messages_column
    try:
        return formats.find_format(rows, source, column, kwargs.chat_format, with_answers=False)
    except UserError:
        if kwargs.chat_format is None:
            raise
        return formats.find_format(rows, source, column, with_answers=False)


class ChatPredictor(TextGenerationPredictor):
    """Predicts what the assistant says next in a conversation."""

    @classmethod
    def supports(cls, setup: InferenceSetup, rows: datasets.Dataset) -> bool:
        """Return whether the rows hold conversations and the tokenizer has a chat template.

        For other rows, which another class predicts, this logs that they are read as raw text.
        """
        if not setup.tokenizer.chat_template:
            return False
        kwargs = setup.data_kwargs(InstructionTuningDataKwargs)
        if kwargs.chat_format == formats.TEXT:
            return False
        try:
            if _layout(setup, rows, "--input").name != formats.TEXT:
                return True
        except UserError:
            if "messages_column" in setup.data or kwargs.chat_format is not None:
                raise
        logger.warning(
            "The rows have no column of conversations, so that text is read as raw text, which the "
            "model continues without its chat template. For the answers of an assistant, name the "
            "column 'prompt'."
        )
        return False

    def check_columns(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Check the messages of all rows; a last message of the assistant is left out."""
        self._format = _layout(self.setup, rows, source)
        for number, row in enumerate(formats.read_rows(rows, self._format), 1):
            try:
                _without_answer(formats.read_conversation(row, self._format))
            except UserError as error:
                raise UserError(f"{source}: row {number}, {error}") from None
        return rows

    def _generate(self, features: list[dict[str, Any]]) -> list[str]:
        # Some templates end a turn with line breaks and another token.
        return [text.rstrip() for text in super()._generate(features)]

    def _prompts(self, rows: Rows) -> list[list[int]]:
        tokenizer = self.setup.tokenizer
        conversations = [
            _without_answer(formats.read_conversation(row, self._format))
            for row in formats.rows_of(rows, self._format)
        ]
        texts = [
            render_conversation(
                conversation.messages, tokenizer, conversation.tools, add_generation_prompt=True
            )
            for conversation in conversations
        ]
        # The template writes the special tokens.
        encoded = tokenizer(texts, add_special_tokens=False, verbose=False)
        return [list(ids) for ids in encoded["input_ids"]]


def _without_answer(conversation: Conversation) -> Conversation:
    """Return the conversation without the messages of the assistant at its end."""
    count = len(conversation.messages)
    while count and conversation.messages[count - 1]["role"] == ASSISTANT:
        count -= 1
    if not count:
        raise UserError("all messages are the assistant's, so there is nothing to answer.")
    return Conversation(
        conversation.messages[:count], conversation.tools, conversation.learned[:count]
    )
