"""The formats of conversations: how they are found, read, and what is said of wrong ones."""

import json
from typing import Any

import datasets
import pytest

from model_hub.errors import UserError
from model_hub.huggingface.tasks import instruction_tuning as sft

USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
SYSTEM = {"role": "system", "content": "Be brief."}
HUMAN, GPT = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}
CALL = {"name": "add", "arguments": {"a": 1}}


def read(row: dict[str, Any], **settings: Any) -> tuple[str, sft.Conversation]:
    dataset = datasets.Dataset.from_list([row])
    found = sft.check_conversations(dataset, "a.jsonl", "messages", **settings)
    return found.name, sft.read_conversation(dataset[0], found)


@pytest.mark.parametrize(
    ("row", "name", "messages"),
    [
        ({"messages": [USER, ANSWER], "prompt": "x"}, "messages", [USER, ANSWER]),
        ({"conversations": [USER, ANSWER]}, "messages", [USER, ANSWER]),
        ({"conversations": [HUMAN, GPT], "text": "x"}, "sharegpt", [USER, ANSWER]),
        ({"conversations": json.dumps([HUMAN, GPT])}, "sharegpt", [USER, ANSWER]),
        ({"conversations": [HUMAN, GPT], "system": "Be brief."}, "sharegpt",
         [SYSTEM, USER, ANSWER]),
        ({"instruction": "Hi", "output": "Hello", "text": "x"}, "alpaca", [USER, ANSWER]),
        ({"instruction": "Hi", "input": None, "output": "Hello"}, "alpaca", [USER, ANSWER]),
        ({"instruction": "Add.", "input": "1, 2", "output": "Hello"}, "alpaca",
         [{"role": "user", "content": "Add.\n\n1, 2"}, ANSWER]),
        ({"instruction": "Hi", "input": " ", "output": "Hello", "system": "Be brief.",
          "history": [["Hi", "Hello"]]}, "alpaca", [SYSTEM, USER, ANSWER, USER, ANSWER]),
        ({"prompt": "Hi", "completion": "Hello"}, "prompt_completion", [USER, ANSWER]),
        ({"prompt": [SYSTEM, USER], "completion": [ANSWER]}, "prompt_completion",
         [SYSTEM, USER, ANSWER]),
        ({"prompt": json.dumps([USER]), "completion": "Hello"}, "prompt_completion",
         [USER, ANSWER]),
    ],
)  # fmt: skip
def test_all_formats_become_the_same(
    row: dict[str, Any], name: str, messages: list[dict[str, Any]]
) -> None:
    found, conversation = read(row)
    assert (found, conversation.messages) == (name, messages)
    assert conversation.learned == [m["role"] == "assistant" for m in messages]
    assert read(row, chat_format=name)[1] == conversation


def test_calls_of_functions_in_sharegpt() -> None:
    items = [
        HUMAN,
        {"from": "function_call", "value": json.dumps(CALL)},
        {"from": "observation", "value": "2"},
        {**GPT, "weight": 0},
    ]
    row = {"conversations": items, "tools": json.dumps([{"name": "add"}])}
    _, conversation = read(row)
    assert conversation.tools == [{"name": "add"}]
    assert conversation.messages == [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "2"},
        ANSWER,
    ]
    assert conversation.learned == [False, True, False, False]


def test_only_the_completion_is_learned() -> None:
    row = {"prompt": [USER, ANSWER, USER], "completion": [ANSWER, USER, ANSWER]}
    assert read(row)[1].learned == [False, False, False, True, False, True]


@pytest.mark.parametrize(
    ("row", "settings", "said"),
    [
        ({"question": "Hi"}, {}, r"columns are 'question'.*\"from\".*data\.messages_column"),
        ({"instruction": "Hi", "output": "A", "prompt": "Hi", "completion": "A"}, {},
         "may be alpaca or prompt_completion. Write which as data.chat_format"),
        ({"text": "Hi"}, {"chat_format": "alpaca"}, "'instruction' and 'output' is missing"),
        ({"text": "Hi"}, {"chat_format": "sharegtp"}, "did you mean sharegpt"),
        ({"conversations": [{**HUMAN, "from": "humann"}]}, {},
         "row 1, column 'conversations': there is no role 'humann'.*did you mean human"),
        ({"conversations": [HUMAN, {"from": "function_call", "value": "add"}]}, {},
         "tool_calls of a message are 'add'"),
        ({"instruction": 3, "output": "Hello"}, {}, "column 'instruction': found 3, but"),
        ({"prompt": "Hi", "completion": None}, {}, "column 'completion': found None, but"),
        ({"text": None}, {}, "row 1, column 'text': found None, but should be text"),
    ],
)  # fmt: skip
def test_what_is_said(row: dict[str, Any], settings: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=f"(?s){said}"):
        read(row, **settings)


def test_rows_to_predict_need_no_answers() -> None:
    rows = datasets.Dataset.from_list([{"prompt": "Hi"}])
    found = sft.find_format(rows, "a.jsonl", with_answers=False)
    assert found.name == "prompt_completion"
    assert sft.read_conversation(rows[0], found).messages == [USER]
