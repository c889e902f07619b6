"""Prediction with a chat model."""

from typing import Any

import datasets

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.predictor import Rows
from model_hub.huggingface.tasks.instruction_tuning.features import render_conversation
from model_hub.huggingface.tasks.instruction_tuning.rows import (
    ASSISTANT,
    TOOLS,
    messages_of,
    tools_of,
)
from model_hub.huggingface.tasks.language_modeling.predict import (
    _ROWS_AT_A_TIME,
    TextGenerationPredictor,
)


class ChatPredictor(TextGenerationPredictor):
    """What the assistant says next in a conversation."""

    def check(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Every row has messages; an answer at the end, as in training data, is left out."""
        self._column = str(self.asked.data.get("messages_column") or "messages")
        number = 0
        for part in rows.select_columns([self._column]).iter(batch_size=_ROWS_AT_A_TIME):
            for value in part[self._column]:
                number += 1
                try:
                    _without_answer(value)
                except UserError as error:
                    where = f"{source}: row {number}, column {self._column!r}"
                    raise UserError(f"{where}: {error}") from None
        return rows

    def _prompts(self, rows: Rows) -> list[list[int]]:
        tokenizer = self.asked.tokenizer
        values = rows[self._column]
        texts = [
            render_conversation(_without_answer(value), tokenizer, tools_of(tools), ask=True)
            for value, tools in zip(values, rows.get(TOOLS, [None] * len(values)), strict=True)
        ]
        # Special tokens stand in the template.
        encoded = tokenizer(texts, add_special_tokens=False, verbose=False)
        return [list(ids) for ids in encoded["input_ids"]]


def _without_answer(value: Any) -> list[dict[str, Any]]:
    messages = messages_of(value)
    while messages and messages[-1]["role"] == ASSISTANT:
        messages.pop()
    if not messages:
        raise UserError("there are messages of the assistant alone, so that nothing is asked.")
    return messages
