"""Templates of well-known models, which TRL has, and its twins of them that mark the answers."""

import importlib.util
import pathlib
import re
from typing import Any

import pytest
import text_models
import transformers
from tokenizers import AddedToken

from model_hub.errors import UserError
from model_hub.huggingface.tasks import instruction_tuning as sft

_SPEC = importlib.util.find_spec("trl")
FOLDER = pathlib.Path(str(_SPEC.origin)).parent / "chat_templates" if _SPEC else pathlib.Path()
TEMPLATES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.jinja")}
PAIRS = {name: f"{name}_training" for name in sorted(TEMPLATES) if f"{name}_training" in TEMPLATES}
needs_trl = pytest.mark.skipif(
    not PAIRS, reason="the package trl is not installed: pip install --no-deps trl"
)

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}, "id": "123456789"}
INTEGER = {"type": "integer", "description": "A number."}
TOOL = {
    "name": "add",
    "description": "Add numbers.",
    "parameters": {"type": "object", "properties": {"a": INTEGER}, "required": ["a"]},
}
SYSTEM = {"role": "system", "content": "Be brief."}
ONE = [{"role": "user", "content": "What colour?"}, {"role": "assistant", "content": "Blue."}]
TWO = [{"role": "user", "content": "And grass?"}, {"role": "assistant", "content": "Green."}]
THOUGHT = [[turn[0], {**turn[1], "reasoning_content": "Well now"}] for turn in (ONE, TWO)]
CALLING = [
    {"role": "user", "content": "One and?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "name": "add", "content": "two", "tool_call_id": "123456789"},
    {"role": "assistant", "content": "Two."},
]
TALKS: dict[str, list[dict[str, Any]]] = {
    "one turn": ONE,
    "several": [*ONE, *TWO, *ONE],
    "system": [SYSTEM, *ONE, *TWO],
    "tools": CALLING,
    "reasoning": THOUGHT[0],
    "reasoning in several": [*THOUGHT[0], *THOUGHT[1]],
}
# What a model cannot do, its template leaves out or rejects; both twins then say so.
CANNOT = r"leaves out|rejects the conversation"
# Their generation prompt begins a thought, which the template does not write for any answer.
THOUGHTLESS = {"deepseekv3", "deepseek_r1_distill"}
# After a tool's answer, its prompt has no header, so the model has to write it; the marks leave it
# out.
NO_HEADER = {("diffusion_gemma", "tools")}


@pytest.fixture(scope="module")
def tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Has the special tokens of all templates as added tokens."""
    pattern = (
        r"<[|｜][^<>\n'\"{} ]*>|<(?!tool_response)[a-z_]+[|]>|</?(?:s|bos|eos|think|tool_call)>"
    )
    pattern += "|<(?:start_of_turn|end_of_turn|end_of_utterance)>"
    special = {text for source in TEMPLATES.values() for text in re.findall(pattern, source)}
    texts = [message["content"] for talk in TALKS.values() for message in talk] * 3
    made = text_models.byte_level_tokenizer(texts, 290)
    made.add_tokens([AddedToken(text, special=True) for text in sorted(special)])
    return made


def learned(
    tokenizer: transformers.PreTrainedTokenizerFast, template: str, talk: list[dict[str, Any]]
) -> list[str] | str:
    """What is learned in each turn; or why nothing is, with thinking switched as the error says."""
    tokenizer.chat_template = template
    has_calls = any("tool_calls" in message for message in talk)
    tools = [{"type": "function", "function": TOOL}] if has_calls else None
    try:
        rows = sft.tokenize_conversations(
            {"messages": [talk], "tools": [tools]},
            tokenizer=tokenizer,
            column="messages",
            max_seq_length=100_000,
        )
    except UserError as error:
        return str(error)
    turns: list[list[int]] = []
    for labels in rows["labels"]:
        for before, label in zip([-100, *labels], labels, strict=False):
            if label != -100:
                turns += [[]] if before == -100 else []
                turns[-1].append(label)
    return [tokenizer.decode(turn) for turn in turns]


@needs_trl
@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("name", PAIRS)
def test_the_same_with_and_without_marks(
    name: str, talk: str, tokenizer: transformers.PreTrainedTokenizerFast
) -> None:
    templates = [TEMPLATES[name], TEMPLATES[PAIRS[name]]]
    plain = learned(tokenizer, templates[0], TALKS[talk])
    if name in THOUGHTLESS and talk in ("one turn", "several", "system"):
        assert "goes on with '<think>" in plain, plain
        pytest.skip("the generation prompt is not the beginning of any answer")
    thinking = re.search(r"chat_template_kwargs: \{enable_thinking: (\w+)\}", str(plain))
    if thinking:
        line = f"{{%- set enable_thinking = {thinking[1]} -%}}"
        templates = [line + template for template in templates]
        plain = learned(tokenizer, templates[0], TALKS[talk])
    marked = learned(tokenizer, templates[1], TALKS[talk])
    if isinstance(plain, str):
        assert re.search(CANNOT, plain) and re.search(CANNOT, str(marked))
    elif (name, talk) in NO_HEADER:
        assert plain[0] == marked[0] and plain[1].endswith(marked[1])
    else:
        assert plain == marked
        answers = [m["content"] for m in TALKS[talk] if m["role"] == "assistant"]
        assert all(text in turn for turn, text in zip(plain, answers, strict=True))


@needs_trl
@pytest.mark.parametrize("name", PAIRS)
def test_one_turn_is_what_transformers_marks(
    name: str, tokenizer: transformers.PreTrainedTokenizerFast
) -> None:
    """But for line breaks after the end of the turn, which no model has to write."""
    found = learned(tokenizer, TEMPLATES[PAIRS[name]], ONE)
    talk = ONE
    if name in ("idefics3", "smolvlm", "llava_next", "qwen2_5_vl"):
        talk = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in ONE]
    encoded: Any = tokenizer.apply_chat_template(
        talk, return_dict=True, return_assistant_tokens_mask=True
    )
    pairs = zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
    marked = tokenizer.decode([token for token, mask in pairs if mask])
    (turn,) = found
    # What the generation prompt says already is not learned.
    assert marked.rstrip().endswith(turn) and "Blue." in turn
