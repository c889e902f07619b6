"""Sphinx directives that write what the code has: tables of all YAML keys, and help of commands.

Names, types, defaults and descriptions come from the code at every build, so that the page cannot
be out of date. Only the release in which a key came is written down here.
"""

import contextlib
import dataclasses
import importlib
import inspect
import io
import os
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from model_hub import cli
from model_hub.huggingface import tasks
from model_hub.huggingface.config import fields
from model_hub.huggingface.config.counterparts import COUNTERPARTS
from model_hub.huggingface.config.options import OptionKwargs

# Keys of Determined's own model-hub, whose last release was 0.36.0.
OLD_LIBRARY = """
model_mode use_pretrained_weights use_apex_amp global_batch_size config_name tokenizer_name
model_name num_labels finetuning_task pretrained_model_name_or_path cache_dir revision
use_auth_token do_lower_case use_fast weight_decay adafactor learning_rate max_grad_norm
adam_beta1 adam_beta2 adam_epsilon scale_parameter relative_step num_training_steps
lr_scheduler_type num_warmup_steps dataset_name dataset_config_name validation_split_percentage
train_file validation_file max_seq_length doc_stride pad_to_max_length n_best_size
max_answer_length version_2_with_negative null_score_diff_threshold output_dir
preprocessing_num_workers overwrite_cache label_all_tokens language train_language mlm_probability
line_by_line plm_probability max_span_length
""".split()
# By release, those that came with it. A key that stands nowhere here is newer than the last one.
SINCE = {
    "0.38.1": """
num_train_epochs max_steps token attn_implementation dtype quantization_config optim optim_args
optim_target_modules warmup_ratio lr_scheduler_kwargs dataset_revision
""".split(),
}

HYPERPARAMETERS = {
    "Training": (fields.TrialKwargs,),
    "Model, configuration and tokenizer": (
        fields.ModelKwargs,
        fields.ConfigKwargs,
        fields.TokenizerKwargs,
    ),
    "Optimizer": (fields.OptimizerKwargs,),
    "Learning-rate schedule": (fields.LRSchedulerKwargs,),
    "Precision, memory, adapters and stopping": (OptionKwargs,),
}

_WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    dict: "mapping",
    type(None): "null",
}


class Row(typing.NamedTuple):
    """One key, in words."""

    name: str
    type: str
    default: str
    description: str
    since: str


def data_types() -> dict[str, tuple[type, ...]]:
    """Title of a table -> dataclasses of section ``data``; a table for each task that has one."""
    found: dict[str, tuple[type, ...]] = {"Where the data is": (fields.DatasetKwargs,)}
    for task in tasks.TASKS:
        found.update({_title(cls.__name__): (cls,) for cls in task.data_kwargs})
    return found


def _title(name: str) -> str:
    """``MaskedLanguageModelingDataKwargs`` is "Masked language modeling"."""
    words = re.split(r"(?<=[a-z])(?=[A-Z])", name.removesuffix("DataKwargs"))
    title = " ".join(word if word.isupper() else word.lower() for word in words)
    return title[0].upper() + title[1:]


def rows(classes: tuple[type, ...], *, without: type = object) -> Iterator[Row]:
    """The keys of some dataclasses; one that several of them have comes once.

    Args:
        classes: the dataclasses.
        without: a parent of theirs, whose keys are left out.
    """
    seen = set(getattr(without, "__dataclass_fields__", ()))
    for cls in classes:
        hints = typing.get_type_hints(cls)
        described = attributes_of(cls)
        for field in dataclasses.fields(cls):
            if field.name in seen or not field.init:
                continue
            seen.add(field.name)
            yield Row(
                field.name,
                type_words(hints[field.name]),
                _default(field),
                described[field.name],
                since(field.name),
            )


def attributes_of(cls: type) -> dict[str, str]:
    """Section "Attributes" of a Google-style docstring, also of the bases'; Markdown."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, section = (inspect.cleandoc(base.__doc__ or "")).partition("\nAttributes:\n")
        name = ""
        for line in section.splitlines():
            if line and not line.startswith(" "):
                break  # The next section.
            start = re.match(r"    (\w+): (.*)", line)
            if start:
                name = start[1]
                found[name] = start[2]
            elif name and line.strip():
                found[name] += f" {line.strip()}"
    return {name: _markdown(text) for name, text in found.items()}


def _markdown(text: str) -> str:
    text = re.sub(r":(\w+):`([^`]*)`", r"{py:\1}`\2`", text)
    text = re.sub(r"\bNone\b", "null", text)
    return text.replace("``", "`").replace("|", r"\|")


def type_words(hint: Any) -> str:
    """A type as a reader of YAML calls it."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        options = [o for o in typing.get_args(hint) if o is not type(None)]
        if float in options and int in options:
            options.remove(int)
        return " or ".join(type_words(option) for option in options)
    if typing.get_origin(hint) is list:
        return f"list of {type_words(typing.get_args(hint)[0])}"
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(f"`{value}`" for value in typing.get_args(hint))
    return _WORDS.get(typing.get_origin(hint) or hint, "any")


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        return "not set"
    if field.default is dataclasses.MISSING:
        return f"`{field.default_factory()}`"  # type: ignore[misc]
    return f"`{in_yaml(field.default)}`"


def in_yaml(value: Any) -> str:
    """A default as YAML has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    # Of 1 / 6 not all digits.
    return f"{value:.4g}" if isinstance(value, float) and len(str(value)) > 8 else str(value)


def since(name: str) -> str:
    """The release in which a key came, as a remark; none for those of the old library."""
    if name in OLD_LIBRARY:
        return ""
    for release, names in SINCE.items():
        if name in names:
            return f" *(since {release})*"
    return f" *(after {list(SINCE)[-1]})*"


def markdown(section: str) -> str:
    """The tables of a section, as Markdown."""
    tables = HYPERPARAMETERS if section == "hyperparameters" else data_types()
    lines = []
    title_of = {classes[0]: title for title, classes in tables.items()}
    for title, classes in tables.items():
        # The keys of a task whose table stands above are not told again.
        parent = next((c for c in classes[0].__mro__[1:] if c in title_of), object)
        lines += [f"### {title}", ""]
        if parent in title_of:
            lines += [f"All keys of *{title_of[parent]}*, and these:", ""]
        lines += ["| key | type, default | what it does |", "|---|---|---|"]
        lines += [
            f"| `{row.name}` | {row.type}, {row.default} | {row.description}{row.since} |"
            for row in rows(classes, without=parent)
        ]
        lines.append("")
    return "\n".join(lines)


class OptionsTable(SphinxDirective):
    """``{options-table} hyperparameters`` or ``{options-table} data``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        section = directives.choice(self.arguments[0], ("hyperparameters", "data"))
        # Its Markdown is parsed as if it stood in the page, headings and references included.
        return self.parse_text_to_nodes(markdown(section), allow_section_headings=True)


class Counterparts(SphinxDirective):
    """``{counterparts}``: the table of names in other libraries."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(counterparts())


def counterparts() -> str:
    """Names of other libraries and what to write instead, as a Markdown table."""
    lines = ["| name elsewhere | here |", "|---|---|"]
    for entry in COUNTERPARTS:
        names = ", ".join(f"`{name}`" for name in entry.names.split())
        lines.append(f"| {names} | {' or '.join(entry.instead)} |")
    return "\n".join(lines)


class TaskReference(SphinxDirective):
    """``{task-reference}``: the public names of all tasks; a class once, where it is first."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(task_reference(), allow_section_headings=True)


def task_reference() -> str:
    """A section for each package of a task, as Markdown."""
    sections = []
    seen: set[int] = set()
    for package in dict.fromkeys(task.package for task in tasks.TASKS):
        name = f"{tasks.__name__}.{package}"
        public = vars(importlib.import_module(name))
        classes = {n: id(public[n]) for n in public["__all__"] if isinstance(public[n], type)}
        repeated = ", ".join(n for n, identity in classes.items() if identity in seen)
        seen.update(classes.values())
        exclude = f"   :exclude-members: {repeated}\n" if repeated else ""
        sections.append(f"### `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n{exclude}```\n")
    return "\n".join(sections)


class CommandHelp(SphinxDirective):
    """``{command-help} train``: what ``model-hub train --help`` prints."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        text = command_help(self.arguments[0])
        return [nodes.literal_block(text, text, language="text")]


def command_help(command: str) -> str:
    """What a command of ``model-hub`` prints with ``--help``."""
    printed = io.StringIO()
    # argparse makes lines as long as the terminal's, and on some Pythons coloured ones.
    before = dict(os.environ)
    os.environ.update(COLUMNS="80", NO_COLOR="1")
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            cli.main([command, "--help"])
    finally:
        os.environ.clear()
        os.environ.update(before)
    return printed.getvalue()


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("options-table", OptionsTable)
    app.add_directive("counterparts", Counterparts)
    app.add_directive("task-reference", TaskReference)
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
