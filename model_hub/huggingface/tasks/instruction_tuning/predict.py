"""Prediction with a chat model."""

from typing import Any

import datasets

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.predictor import InferenceSetup, Rows
from model_hub.huggingface.tasks.instruction_tuning.features import render_conversation
from model_hub.huggingface.tasks.instruction_tuning.rows import (
    ASSISTANT,
    TOOLS,
    messages_of,
    read_conversations,
    tools_of,
)
from model_hub.huggingface.tasks.language_modeling.predict import TextGenerationPredictor


def _messages_column(setup: InferenceSetup) -> str:
    return str(setup.data.get("messages_column") or "messages")


class ChatPredictor(TextGenerationPredictor):
    """Predicts what the assistant says next in a conversation."""

    @classmethod
    def supports(cls, setup: InferenceSetup, rows: datasets.Dataset) -> bool:
        """Return whether the rows hold conversations and the tokenizer has a chat template."""
        return _messages_column(setup) in rows.column_names and bool(setup.tokenizer.chat_template)

    def check_columns(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Check the messages of all rows; a last message of the assistant is left out."""
        self._column = _messages_column(self.setup)
        for number, (value, _) in enumerate(read_conversations(rows, self._column), 1):
            try:
                _without_answer(value)
            except UserError as error:
                where = f"{source}: row {number}, column {self._column!r}"
                raise UserError(f"{where}: {error}") from None
        return rows

    def _prompts(self, rows: Rows) -> list[list[int]]:
        tokenizer = self.setup.tokenizer
        values = rows[self._column]
        texts = [
            render_conversation(
                _without_answer(value), tokenizer, tools_of(tools), add_generation_prompt=True
            )
            for value, tools in zip(values, rows.get(TOOLS, [None] * len(values)), strict=True)
        ]
        # The template writes the special tokens.
        encoded = tokenizer(texts, add_special_tokens=False, verbose=False)
        return [list(ids) for ids in encoded["input_ids"]]


def _without_answer(value: Any) -> list[dict[str, Any]]:
    messages = messages_of(value)
    while messages and messages[-1]["role"] == ASSISTANT:
        messages.pop()
    if not messages:
        raise UserError("all messages are the assistant's, so there is nothing to answer.")
    return messages
