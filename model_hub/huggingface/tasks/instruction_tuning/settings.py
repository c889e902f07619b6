"""Keys of instruction tuning in section ``data`` of the YAML, and the chat template they name."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jinja2
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.tokenization import TokenizationDataKwargs
from model_hub.huggingface.tasks.instruction_tuning.formats import check_format_name


@dataclasses.dataclass
class InstructionTuningDataKwargs(TokenizationDataKwargs):
    """Keys of the YAML's section ``data`` that belong to instruction tuning.

    Attributes:
        max_seq_length: tokens of the longest conversation; longer ones are cut at their end. None
            takes what tokenizer and model take, at most 1024.
        chat_format: how rows hold conversations: ``messages``, ``sharegpt``, ``alpaca``,
            ``prompt_completion``, or ``text``, which is learned as it is. None finds it by the
            columns.
        messages_column: the column with the conversations.
        chat_template: a Jinja template that writes a conversation as text; None takes the
            tokenizer's.
        chat_template_file: a file with one.
        chat_template_kwargs: variables of the template, such as ``{enable_thinking: false}``; they
            are written into the template that is saved with the model.
        packing: put several conversations, which do not attend to each other, into one sequence of
            ``max_seq_length`` tokens; only in training.
    """

    chat_format: str | None = None
    messages_column: str = "messages"
    chat_template: str | None = None
    chat_template_file: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    packing: bool = False

    def __post_init__(self) -> None:
        check_format_name(self.chat_format)
        if self.chat_template and self.chat_template_file:
            raise UserError(
                "data.chat_template and data.chat_template_file are both set; remove one of them."
            )


def set_chat_template(
    tokenizer: transformers.PreTrainedTokenizerBase, data_kwargs: InstructionTuningDataKwargs
) -> None:
    """Set the tokenizer's chat template to the YAML's; it is then exported with the model.

    Args:
        tokenizer: changed in place.
        data_kwargs: section ``data``.

    Raises:
        UserError: when there is no template, its file cannot be read, or it is not valid Jinja.
    """
    template, key = data_kwargs.chat_template, "data.chat_template"
    if data_kwargs.chat_template_file:
        key = "data.chat_template_file"
        path = pathlib.Path(data_kwargs.chat_template_file).expanduser()
        try:
            template = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{key}: cannot read {str(path)!r}: {error}") from error
    if template:
        tokenizer.chat_template = template
    elif not tokenizer.chat_template:
        raise UserError(
            "the tokenizer has no chat template, so the format of conversations for this model is "
            "not known. Take a model that was trained to chat, or write data.chat_template_file "
            "with a file that holds a Jinja template, for instance: "
            "{% for message in messages %}{{ '<|' + message.role + '|>\\n' + message.content + "
            "eos_token + '\\n' }}{% endfor %}"
        )
    else:
        key = "the tokenizer's chat template"
    _set_variables(tokenizer, data_kwargs.chat_template_kwargs or {})
    try:
        # This checks the syntax. The template may reject this conversation; the data's matter.
        tokenizer.apply_chat_template([{"role": "user", "content": ""}], tokenize=False)
    except jinja2.TemplateSyntaxError as error:
        raise UserError(
            f"{key} is not a valid Jinja template: line {error.lineno}: {error}"
        ) from error
    except (jinja2.TemplateError, TypeError):
        return


def _set_variables(
    tokenizer: transformers.PreTrainedTokenizerBase, variables: Mapping[str, Any]
) -> None:
    """Write variables into the chat template, so that they are the same wherever it is used."""
    lines = ""
    for name, value in variables.items():
        if not name.isidentifier() or not isinstance(value, (bool, int, float, str)):
            raise UserError(
                f"data.chat_template_kwargs has {name!r}: {value!r}, but should have names of the "
                "chat template's variables with texts, numbers or true and false, such as "
                "{enable_thinking: false}."
            )
        lines += f"{{%- set {name} = {json.dumps(value, ensure_ascii=False)} -%}}"
    template: Any = tokenizer.chat_template
    if isinstance(template, dict):
        tokenizer.chat_template = {name: lines + text for name, text in template.items()}
    elif not template.startswith(lines):
        tokenizer.chat_template = lines + template
