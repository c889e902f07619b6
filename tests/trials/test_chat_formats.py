"""Conversations of every format, learned by heart: predictions are the answers, and no more."""

import json
import pathlib
from typing import Any

import pytest
import transformers
from talks import COLOURS, make_workspace
from task_runs import train_here, write_rows
from workspaces import changed

from model_hub import cli

Capture = pytest.CaptureFixture[str]


def question(thing: str) -> str:
    return f"what colour is {thing}?"


def user(thing: str) -> dict[str, str]:
    return {"role": "user", "content": question(thing)}


ROWS: dict[str, Any] = {
    "messages": lambda q, a: {"messages": [user(q), {"role": "assistant", "content": a}]},
    "sharegpt": lambda q, a: {
        "conversations": [
            {"from": "human", "value": question(q)},
            {"from": "gpt", "value": a},
        ]
    },
    "alpaca": lambda q, a: {"instruction": "what colour is", "input": f"{q}?", "output": a},
    "prompt_completion": lambda q, a: {"prompt": question(q), "completion": a},
    "text": lambda q, a: {"text": f"{question(q)} {a}"},
}
TEMPLATE = (
    "{% for m in messages %}{{ HEADER.format(m.role) + m.content + END }}{% endfor %}"
    "{% if add_generation_prompt %}{{ HEADER.format('assistant') }}{% endif %}"
)


def answers(
    folder: pathlib.Path,
    capsys: Capture,
    name: str,
    header: str = "<|im_start|>{}\n",
    end: str = "<|im_end|>\n",
) -> tuple[list[str], pathlib.Path]:
    """What a model says that has learned the colours, and the folder of the model."""
    workspace = make_workspace(folder)
    row = ROWS[name]
    rows = [row(thing, colour) for thing, colour in COLOURS.items()]
    path = write_rows(workspace.root / "rows.jsonl", rows * 4)
    template = TEMPLATE.replace("HEADER", json.dumps(header)).replace("END", json.dumps(end))
    config = changed(
        workspace.config,
        data__train_file=path,
        data__validation_file=path,
        data__chat_template=template,
        hyperparameters__optim="adamw_torch",
        hyperparameters__learning_rate=5e-3,
        hyperparameters__max_grad_norm=1.0,
        hyperparameters__max_steps=60,
        hyperparameters__global_batch_size=10,
        scheduling_unit=30,
    )
    train_here(workspace.write_yaml(config), folder / "run", capsys)
    asked = [{k: v for k, v in each.items() if k not in ("output", "completion")} for each in rows]
    if name == "text":
        asked = [{"text": question(thing)} for thing in COLOURS]
    file = write_rows(folder / "asked.jsonl", asked)
    output, model = folder / "said.jsonl", folder / "run" / "model"
    words = ["predict", str(model), "--input", file, "--output", str(output)]
    assert cli.main([*words, "--max-new-tokens", "12"]) == 0, capsys.readouterr()
    said = [json.loads(line)["generated_text"] for line in output.read_text().splitlines()]
    return [text.removeprefix(" ") for text in said], model


def test_generation_prompt_that_ends_in_a_blank(tmp_path: pathlib.Path, capsys: Capture) -> None:
    """The tokens of the answer follow those of the prompt; the turn ends with ChatML's token."""
    said, model = answers(tmp_path, capsys, "alpaca", header="<|im_start|>{}: ")
    assert said == list(COLOURS.values())
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    settings = transformers.GenerationConfig.from_pretrained(model)
    ends = [tokenizer.eos_token, "<|im_end|>"]
    assert settings.eos_token_id == tokenizer.convert_tokens_to_ids(ends)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_every_format(name: str, tmp_path: pathlib.Path, capsys: Capture) -> None:
    said, _ = answers(tmp_path, capsys, name)
    assert said == list(COLOURS.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("header", "end"),
    [
        ("{}: ", "\n"),
        ("{}:", "<|endoftext|>"),
        ("<|im_start|>{}: ", ""),
        ("<|im_start|>{}\n", "<|im_end|>\n<|endoftext|>"),
    ],
)
def test_every_end_of_a_turn(
    header: str, end: str, tmp_path: pathlib.Path, capsys: Capture
) -> None:
    said, _ = answers(tmp_path, capsys, "messages", header, end)
    assert said == list(COLOURS.values())


@pytest.mark.slow
def test_raw_text_for_a_chat_model(
    tmp_path: pathlib.Path, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said how it is read."""
    _, model = answers(tmp_path, capsys, "messages")
    for column in ("text", "question"):
        caplog.clear()
        file = write_rows(tmp_path / "other.jsonl", [{column: "what colour"}])
        words = ["predict", str(model), "--input", file, "--output", str(tmp_path / "o.jsonl")]
        assert cli.main(words) == 0
        assert "is read as raw text" in caplog.text + "".join(capsys.readouterr())
