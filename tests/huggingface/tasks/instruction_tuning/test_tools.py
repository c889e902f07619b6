"""Conversations with tool calls and with contents in parts: what is learned, what is refused."""

import json
import pathlib
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest
import text_models
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks import instruction_tuning as sft

_TOOLS = "{% if tools %}{{ '<|im_start|>tools\\n' ~ tools | tojson ~ '<|im_end|>\\n' }}{% endif %}"
_CALLS = (
    "{% for c in m.tool_calls or [] %}{{ '[' ~ c.function.name ~ ' ' ~ c.function.arguments | "
    "tojson ~ ']' }}{% endfor %}"
)
# ChatML with tools; the second one tells by itself what the assistant says.
PLAIN = (
    f"{_TOOLS}{{% for m in messages %}}{{{{ '<|im_start|>' ~ m.role ~ '\\n' }}}}"
    f"{{{{ m.content }}}}{_CALLS}{{{{ '<|im_end|>\\n' }}}}{{% endfor %}}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MARKED = (
    f"{_TOOLS}{{% for m in messages %}}{{{{ '<|im_start|>' ~ m.role ~ '\\n' }}}}"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    f"{_CALLS}{{{{ '<|im_end|>' }}}}{{% endgeneration %}}{{% else %}}"
    "{{ m.content ~ '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
)
WITHOUT = PLAIN.replace(_CALLS, "").replace(_TOOLS, "")
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "One and?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "two"},
    {"role": "assistant", "content": "Two."},
]
ANSWERS = '[add {"a": 1}]<|im_end|>Two.<|im_end|>'
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"a": {"type": "int"}}}}]


def tokenizer_with(template: str) -> transformers.PreTrainedTokenizerFast:
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    tokenizer = text_models.byte_level_tokenizer(["One and two"] * 3, 280, special)
    tokenizer.chat_template = template
    return tokenizer


def learned(template: str, **columns: list[Any]) -> list[tuple[str, str]]:
    """The whole text of each conversation, and what of it is learned."""
    tokenizer = tokenizer_with(template)
    rows = sft.tokenize_conversations(
        columns, tokenizer=tokenizer, column="messages", max_seq_length=400
    )
    return [
        (tokenizer.decode(ids), tokenizer.decode([label for label in labels if label != -100]))
        for ids, labels in zip(rows["input_ids"], rows["labels"], strict=True)
    ]


@pytest.mark.parametrize("template", [PLAIN, MARKED])
def test_calls_are_learned_and_what_tools_answer_is_not(template: str) -> None:
    ((text, answers),) = learned(template, messages=[TALK], tools=[TOOLS])
    assert answers == ANSWERS
    assert text.startswith("<|im_start|>tools\n") and '"parameters"' in text
    # Arguments as text, as logs of an API have them, are the same; so are tools in JSON.
    call = {"function": {**CALL["function"], "arguments": '{"a": 1}'}, "type": "function"}
    talk = [TALK[0], {**TALK[1], "tool_calls": [call]}, *TALK[2:]]
    assert learned(template, messages=[json.dumps(talk)], tools=[json.dumps(TOOLS)]) == [
        (text, answers)
    ]


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_rows_of_a_file(kind: str, tmp_path: pathlib.Path) -> None:
    """Arrow gives all mappings the keys of the others, with null; templates do not see these."""
    other = {"type": "function", "function": {"name": "say", "arguments": {"word": "two"}}}
    second = [TALK[0], {"role": "assistant", "content": "Hm ", "tool_calls": [other]}]
    rows = [
        {"messages": TALK, "tools": TOOLS},
        {"messages": second, "tools": []},
        {"messages": [TALK[0], TALK[3]]},
    ]
    file = tmp_path / f"talks.{kind}"
    if kind == "json":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), file)
    loaded = datasets.load_dataset(kind, data_files=str(file))["train"]
    sft.check_conversations(loaded, "file", "messages")
    found = learned(PLAIN, **loaded[:])
    expected = [ANSWERS, 'Hm [say {"word": "two"}]<|im_end|>', "Two.<|im_end|>"]
    assert [answers for _, answers in found] == expected
    assert ["tools" in text for text, _ in found] == [True, False, False]


def test_parts_become_one_text() -> None:
    parts = [{"type": "text", "text": "Two", "image": None}, {"type": "text", "text": "."}, " So."]
    talk = [{"role": "user", "content": [{"type": "text", "text": "One and?"}]}]
    talk += [{"role": "assistant", "content": parts}]
    ((text, answers),) = learned(WITHOUT, messages=[talk])
    assert answers == "Two. So.<|im_end|>" and "One and?" in text
    assert sft.messages_of(talk)[1] == {"role": "assistant", "content": "Two. So."}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"messages": [TALK]}, "leaves out the assistant's tool_calls .*begins with 'One and?"),
        ({"messages": [[TALK[0], TALK[3]]], "tools": [TOOLS]}, "leaves out the tools of the colu"),
    ],
)
def test_templates_that_know_no_tools(columns: dict[str, list[Any]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        learned(WITHOUT, **columns)


@pytest.mark.parametrize(
    ("condition", "changes", "said"),
    [
        ("m.role != 'system'", {0: {"role": "system"}}, "content of message 1, .*'system'"),
        ("m.role != 'tool'", {}, "content of message 3, with the role 'tool'"),
        ("m.role != 'critic'", {2: {"role": "user"}, 0: {"role": "critic"}}, "of message 1"),
        ("true", {0: {"role": "critic"}}, "message 1: there is no role 'critic'; the roles are"),
        ("true", {3: {"reasoning_content": "Hm"}}, "the reasoning_content of message 4"),
        ("true", {3: {"thinking": "Hm"}}, "the reasoning_content of message 4"),
        ("true", {1: {"tool_calls": [CALL, CALL]}}, "tool_calls .number 2 of message 2"),
    ],
)
def test_what_the_template_leaves_out(
    condition: str, changes: dict[int, dict[str, Any]], said: str
) -> None:
    """The row is named where the data set is prepared."""
    first_call = _CALLS.replace("m.tool_calls or []", "(m.tool_calls or [])[:1]")
    template = PLAIN.replace(_CALLS, first_call).replace(
        "{% for m in messages %}", f"{{% for m in messages if {condition} %}}"
    )
    talk = [{**message, **changes.get(n, {})} for n, message in enumerate(TALK)]
    rows = datasets.Dataset.from_dict({"messages": [json.dumps(TALK[::3]), json.dumps(talk)]})
    raw = {"train": rows.select([0]), "validation": rows}
    with pytest.raises(UserError, match=f"in validation.jsonl: row 2, .*{said}"):
        sft.build_datasets(
            raw,
            tokenizer_with(template),
            sft.InstructionTuningDataKwargs(),
            sources={"validation": "in validation.jsonl"},
        )


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"content": [{"type": "image", "url": "x"}]}, r"row 2.*a part of the type 'image'"),
        ({"content": [3]}, r"has the part 3, but should have texts"),
        ({"content": None, "tool_calls": [{"id": "a"}]}, r"tool_calls of a message are .*add"),
        ({"content": None, "tool_calls": []}, "its content should be text"),
    ],
)
def test_what_is_refused(message: dict[str, Any], said: str) -> None:
    talks = [json.dumps(TALK), json.dumps([TALK[0], {"role": "assistant", **message}])]
    with pytest.raises(UserError, match=said):
        sft.check_conversations(datasets.Dataset.from_dict({"messages": talks}), "f", "messages")
    rows = datasets.Dataset.from_dict({"messages": [json.dumps(TALK)], "tools": ["add"]})
    with pytest.raises(UserError, match="the tools are 'add', but should be a list"):
        sft.check_conversations(rows, "f", "messages")
