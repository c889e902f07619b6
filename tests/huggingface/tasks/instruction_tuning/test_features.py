"""Which tokens are the assistant's, what is cut and left out, what is said of bad data."""

import copy
import pathlib
from typing import Any

import datasets
import hypothesis
import pytest
import text_models
import transformers
from hypothesis import strategies as st
from tokenizers import processors

from model_hub.errors import UserError
from model_hub.huggingface.tasks import instruction_tuning as sft

Tokenizer = transformers.PreTrainedTokenizerFast
# ChatML; the second one tells by itself what the assistant says.
PLAIN = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MARKED = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}"
    "{{ m.content + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
)
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Name a river, ü.\n"},
    {"role": "assistant", "content": "The Rhine"},
    {"role": "user", "content": "A sea?"},
    {"role": "assistant", "content": "\nThe North Sea "},
]
ANSWERS = "The Rhine<|im_end|>\nThe North Sea <|im_end|>"


def chat_tokenizer(template: str | dict[str, str] | None = PLAIN) -> Tokenizer:
    texts = [message["content"] for message in TALK] * 3
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    tokenizer = text_models.byte_level_tokenizer(texts, 300, special)
    tokenizer.chat_template = template
    return tokenizer


def prepared(
    talks: list[Any], tokenizer: Tokenizer, max_seq_length: int = 200
) -> dict[str, list[Any]]:
    return sft.tokenize_conversations(
        {"messages": talks}, tokenizer=tokenizer, column="messages", max_seq_length=max_seq_length
    )


def learned(tokenizer: Tokenizer, labels: list[int]) -> str:
    return tokenizer.decode([label for label in labels if label != -100])


@pytest.mark.parametrize("template", [PLAIN, MARKED])
def test_the_assistants_tokens_are_the_labels(template: str) -> None:
    tokenizer = chat_tokenizer(template)
    assert sft.marks_answers(tokenizer) is (template == MARKED)
    rows = prepared([TALK], tokenizer)
    (ids,), (labels,) = rows["input_ids"], rows["labels"]
    assert ids == tokenizer.apply_chat_template(TALK, return_dict=True)["input_ids"]
    assert all(label in (-100, token) for token, label in zip(ids, labels, strict=True))
    assert learned(tokenizer, labels) == ANSWERS
    assert rows["whole_length"] == [len(ids)]


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(data=st.data())
def test_an_answer_continues_the_tokens_of_its_prompt(
    tokenizer: transformers.PreTrainedTokenizerFast, data: st.DataObject
) -> None:
    """Whatever the prompt ends with: the tokens before the answer are those of prediction."""
    tokenizer = copy.copy(tokenizer)
    header = data.draw(st.sampled_from(["assistant: ", "assistant:", "assistant\n", "<eos>a\n"]))
    header = header.replace("<eos>", tokenizer.eos_token or "[SEP]")
    end = data.draw(st.sampled_from(["!\n", "\n", "<eos>", "<eos>\n"]))
    end = end.replace("<eos>", tokenizer.eos_token or "[SEP]")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ (H if m.role == 'assistant' else 'user: ') + m.content + E }}"
        "{% endfor %}{% if add_generation_prompt %}{{ H }}{% endif %}"
    )
    kwargs = sft.InstructionTuningDataKwargs(chat_template_kwargs={"H": header, "E": end})
    sft.set_chat_template(tokenizer, kwargs)
    # Blanks that belong to the next word, characters of several bytes or none.
    words = st.sampled_from(["the", "Paris", "an", " ", "\n", "ü", "日", "🙂", "\u0301", "."])
    roles = ["user", *data.draw(st.lists(st.sampled_from(["user", "assistant"]), max_size=4))]
    talk = [
        {"role": role, "content": "Paris".join(data.draw(st.lists(words, min_size=2, max_size=8)))}
        for role in [*roles, "assistant"]
    ]
    try:
        rows = prepared([talk], tokenizer, 1000)
    except UserError as error:  # XLNet's tokenizer begins each text with a blank.
        assert "generation prompt does not end in a blank" in str(error)
        return
    prompts = [
        tokenizer.apply_chat_template(talk[:n], add_generation_prompt=True, return_dict=True)
        for n, message in enumerate(talk)
        if message["role"] == "assistant"
    ]
    found = []
    for ids, labels in zip(rows["input_ids"], rows["labels"], strict=True):
        found += [ids[:n] for n in range(1, len(ids)) if labels[n] != -100 == labels[n - 1]]
        assert all(label in (-100, token) for token, label in zip(ids, labels, strict=True))
    assert found == [prompt["input_ids"] for prompt in prompts]


@pytest.mark.parametrize("header", ["assistant: ", "assistant:"])
@pytest.mark.parametrize("trim", [False, True])
def test_answers_of_one_word(header: str, trim: bool) -> None:
    """A blank before the answer, the prompt's or the answer's, with offsets of either kind."""
    tokenizer = chat_tokenizer(
        "{% for m in messages %}{{ m.role + ': ' + m.content + eos_token }}{% endfor %}"
        f"{{% if add_generation_prompt %}}{{{{ '{header}' }}}}{{% endif %}}"
    )
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
    rows = prepared([TALK[1:3]], tokenizer)
    (ids,), (labels,) = rows["input_ids"], rows["labels"]
    prompt = tokenizer.apply_chat_template(TALK[1:2], add_generation_prompt=True, return_dict=True)
    first = len(prompt["input_ids"])
    assert ids[:first] == prompt["input_ids"] and labels == [-100] * first + ids[first:]
    assert learned(tokenizer, labels).lstrip() == "The Rhine<|endoftext|>"


def test_cut_and_left_out() -> None:
    tokenizer = chat_tokenizer()
    whole = prepared([TALK], tokenizer)
    first = next(n for n, label in enumerate(whole["labels"][0]) if label != -100)
    cut = prepared([TALK], tokenizer, first + 2)
    assert cut["input_ids"] == [whole["input_ids"][0][: first + 2]]
    assert cut["labels"] == [whole["labels"][0][: first + 2]]
    assert cut["whole_length"] == whole["whole_length"]
    assert prepared([TALK, TALK[:2]], tokenizer, first)["input_ids"] == []


def test_nothing_can_be_learned_of_the_first_token() -> None:
    tokenizer = chat_tokenizer("{% for m in messages %}{{ m.content }}{% endfor %}")
    rows = prepared([[{"role": "assistant", "content": "The Rhine"}]], tokenizer)
    assert rows["labels"][0] == [-100, *rows["input_ids"][0][1:]]


def test_how_many_were_cut_is_said(caplog: pytest.LogCaptureFixture) -> None:
    rows = datasets.Dataset.from_dict({"messages": [TALK, TALK[:3], TALK[:2], TALK]})
    tokenizer = chat_tokenizer()
    length = len(prepared([TALK[:3]], tokenizer)["input_ids"][0])
    kwargs = sft.InstructionTuningDataKwargs(max_seq_length=length)
    raw = {"train": rows, "validation": rows.select([1])}
    built = sft.build_datasets(raw, tokenizer, kwargs)
    assert (
        f"train: of 4 conversations, 2 are cut because they are longer than {length} tokens, and 1"
        in (caplog.text)
    )
    assert len(built.train) == 3 and built.sequences is built.train
    assert set(built.train.column_names) == {"input_ids", "labels"}
    with pytest.raises(UserError, match="no conversation has a token of the assistant"):
        sft.build_datasets(raw, tokenizer, sft.InstructionTuningDataKwargs(max_seq_length=2))


def test_template_that_rewrites_the_beginning() -> None:
    """As of models that forget what they thought: each turn is learned after its own prompt."""
    tokenizer = chat_tokenizer(
        "{% for m in messages %}{% if m.role == 'assistant' and not loop.last %}(said){% else %}"
        "{{ m.content }}{% endif %}{{ eos_token }}{% endfor %}"
    )
    rows = prepared([TALK, TALK[:3]], tokenizer)
    assert rows["turn"] == [0, 1, 0]
    texts = [tokenizer.decode(ids) for ids in rows["input_ids"]]
    beginning = "Be brief.<|endoftext|>Name a river, ü.\n<|endoftext|>"
    assert texts[0] == texts[2] == f"{beginning}The Rhine<|endoftext|>"
    assert texts[1].startswith(f"{beginning}(said)<|endoftext|>A sea?")
    answers = [learned(tokenizer, labels) for labels in rows["labels"]]
    assert answers[:2] == ["The Rhine<|endoftext|>", "\nThe North Sea <|endoftext|>"]


def test_prompt_that_is_not_the_beginning_of_the_answer() -> None:
    template = PLAIN.replace("'<|im_start|>assistant\\n'", "'<|im_start|>thought'")
    with pytest.raises(UserError, match=r"message 3 .*goes on with 'thought', but .*generation %"):
        prepared([TALK], chat_tokenizer(template))


def test_first_message_of_the_assistant() -> None:
    """Neither its header nor a system prompt that the template adds is learned."""
    template = "{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}" + PLAIN
    tokenizer = chat_tokenizer(template)
    (labels,) = prepared([TALK[2:]], tokenizer)["labels"]
    assert learned(tokenizer, labels) == ANSWERS
    # As of Phi 3, which writes an end of the whole conversation.
    tokenizer.chat_template = template.replace("{% endif %}", "{% else %}<|endoftext|>{% endif %}")
    (labels,) = prepared([TALK[2:]], tokenizer)["labels"]
    assert learned(tokenizer, labels) == f"{ANSWERS}\n<|endoftext|>"


@pytest.mark.parametrize(
    ("template", "answer"),
    [
        # A line break is the end, and is learned.
        (PLAIN.replace("<|im_end|>", ""), "The Rhine\n"),
        # The end of the turn is outside of the marks, or a line break inside.
        (MARKED.replace("'<|im_end|>' }}{% endgeneration %}", "'' }}{% endgeneration %}<|im_end|>"),
         "The Rhine<|im_end|>"),
        (MARKED.replace("'<|im_end|>' }}{% endgen", "'<|im_end|>\\n' }}{% endgen"),
         "The Rhine<|im_end|>"),
        # What the prompt says already is not learned.
        (PLAIN.replace("{{ '<|im_start|>' + m.role", "{% generation %}{{ '<|im_start|>' + m.role")
         .replace("{% endfor", "{% endgeneration %}{% endfor"), "The Rhine<|im_end|>"),
        # Only the header of the next message shows where the turn ends, as of GLM.
        (PLAIN.replace("<|im_end|>\\n", ""), "The Rhine<|im_start|>"),
        ("{# no {% generation %} here #}" + PLAIN, "The Rhine<|im_end|>"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("turns", [3, 4])
def test_the_end_of_the_turn(template: str, answer: str, turns: int) -> None:
    tokenizer = chat_tokenizer(template)
    (labels,) = prepared([TALK[:turns]], tokenizer)["labels"]
    assert learned(tokenizer, labels) == answer


def test_one_template_for_tools_and_one_without() -> None:
    tokenizer = chat_tokenizer({"default": MARKED, "tool_use": "{{ tools[0].name }}" + PLAIN})
    rows = sft.tokenize_conversations(
        {"messages": [TALK, TALK], "tools": [None, [{"name": "add"}]]},
        tokenizer=tokenizer,
        column="messages",
        max_seq_length=200,
    )
    assert [learned(tokenizer, labels) for labels in rows["labels"]] == [ANSWERS] * 2


@pytest.mark.parametrize("template", [PLAIN, MARKED])
def test_weight(template: str) -> None:
    tokenizer = chat_tokenizer(template)
    talk = [*TALK[:2], {**TALK[2], "weight": 0}, *TALK[3:]]
    (labels,) = prepared([talk], tokenizer)["labels"]
    assert learned(tokenizer, labels) == "\nThe North Sea <|im_end|>"
    assert prepared([talk[:3]], tokenizer)["labels"] == []


def test_template_that_refuses_a_conversation() -> None:
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    with pytest.raises(UserError, match=r"begins with 'Be brief\.'.*no system"):
        prepared([TALK], chat_tokenizer(template))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "the tokenizer has no chat template"),
        ({"chat_template_file": "nowhere.jinja"}, r"data\.chat_template_file: cannot read"),
        (
            {"chat_template": "{% for %}"},
            r"data\.chat_template is not a valid Jinja template: line 1",
        ),
    ],
)
def test_no_template_or_a_broken_one(settings: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        sft.set_chat_template(chat_tokenizer(None), sft.InstructionTuningDataKwargs(**settings))


def test_template_of_a_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "chat.jinja").write_text(PLAIN, encoding="utf-8")
    tokenizer = chat_tokenizer(MARKED)
    kwargs = sft.InstructionTuningDataKwargs(chat_template_file=str(tmp_path / "chat.jinja"))
    sft.set_chat_template(tokenizer, kwargs)
    assert tokenizer.chat_template == PLAIN
    with pytest.raises(UserError, match="both set"):
        sft.InstructionTuningDataKwargs(chat_template=PLAIN, chat_template_file="x")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"talk": [TALK]}, r"the columns are 'talk'.*data\.messages_column"),
        ({"messages": ["hello"]}, "row 1.*found 'hello'"),
        ({"messages": [TALK, []]}, r"row 2.*found \[\]"),
        ({"messages": [[{"role": "user", "content": None}]]}, "its content should be text"),
        ({"messages": [[{"from": "human", "value": "Hi"}]]}, "no conversation has a message"),
        ({"messages": [[{"role": 3, "content": "Hi"}]]}, "its role should be text"),
        ({"messages": [TALK, [TALK[1], {"role": "asistant", "content": "A"}]]},
         "row 2.*there is no role 'asistant'; the roles are system, .*did you mean assistant"),
        ({"messages": [[{"role": "human", "content": "Hi"}]]}, "did you mean user"),
        ({"messages": [[{**TALK[2], "weight": 0.5}]]}, "weight should be 1, to learn it, or 0"),
        ({"messages": [[{**TALK[1], "weight": 1}]]}, "only messages of the role 'assistant'"),
        ({"messages": [TALK], "images": [["a.png"]]}, "row 1, column 'images': images, audio"),
        ({"messages": [TALK[:2]]}, "no conversation has a message with the role 'assistant'"),
    ],
)  # fmt: skip
def test_wrong_rows(rows: dict[str, list[Any]], said: str) -> None:
    with pytest.raises(UserError, match=f"data.train_file 'a.jsonl'.*{said}"):
        sft.check_conversations(
            datasets.Dataset.from_dict(rows), "data.train_file 'a.jsonl'", "messages"
        )


def test_messages_with_keys_of_their_own(tmp_path: pathlib.Path) -> None:
    (tmp_path / "talks.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "A"}]}\n'
        '{"messages": [{"role": "user", "content": "Hi", "name": "Nora", "tags": [1]},'
        ' {"role": "assistant", "content": "B"}]}\n'
    )
    rows = datasets.load_dataset("json", data_files=str(tmp_path / "talks.jsonl"))["train"]
    sft.check_conversations(rows, "file", "messages")
    tokenizer = chat_tokenizer()
    found = prepared(rows["messages"][:], tokenizer)
    texts = [learned(tokenizer, labels) for labels in found["labels"]]
    assert texts == ["A<|im_end|>", "B<|im_end|>"]
    # As a csv file has them.
    assert sft.messages_of('[{"role": "user", "content": "Hi", "name": null}]') == [
        {"role": "user", "content": "Hi"}
    ]


def test_tokenizer_in_pure_python() -> None:
    class Slow:
        is_fast = False
        model_max_length = 100

    rows = datasets.Dataset.from_dict({"messages": [TALK]})
    with pytest.raises(UserError, match="tokenizer in pure Python"):
        sft.build_datasets(
            {"train": rows, "validation": rows},
            Slow(),  # type: ignore[arg-type]
            sft.InstructionTuningDataKwargs(),
        )
