"""Checks of lengths and chat templates against models and tokenizers in local folders."""

import contextlib
import pathlib
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import datasets
import transformers

from model_hub.check.trial import TrialClass
from model_hub.errors import UserError
from model_hub.experiment.document import Document
from model_hub.experiment.findings import Finding, Path, dotted, finding_at
from model_hub.huggingface.config import parsing
from model_hub.huggingface.tasks import TASKS
from model_hub.huggingface.tasks._common.tokenization import sequence_length
from model_hub.huggingface.tasks.instruction_tuning import data, formats, settings

Config = Mapping[str, Any]
# Conversations of each split to which the chat template is applied.
_ROWS = 100

_TEXTS_PER_SEQUENCE = {task.model_mode: task.texts_per_sequence for task in TASKS}


def local_model_findings(
    document: Document,
    config: Config,
    trial_class: TrialClass | None,
    splits: Mapping[str, datasets.Dataset],
) -> Iterator[Finding]:
    """Yield what in section ``data`` does not suit the model or tokenizer.

    Args:
        document: the YAML.
        config: its value; the sections are mappings.
        trial_class: None where it could not be imported.
        splits: the rows of local files; only the first of them are tokenized.
    """
    own_kwargs = list(_kwargs_of_trial(config, trial_class))
    if not own_kwargs:
        return
    with _without_logs():
        broken: list[str] = []
        model_config = yield from _loaded("config", config, broken)
        tokenizer = None if broken else (yield from _loaded("tokenizer", config, broken))
        for kwargs in own_kwargs:
            if tokenizer is not None:
                yield from _length(document, config, kwargs.max_seq_length, tokenizer, model_config)
            if isinstance(kwargs, settings.InstructionTuningDataKwargs):
                yield from _conversations(kwargs, tokenizer, splits)


def _kwargs_of_trial(config: Config, trial_class: TrialClass | None) -> Iterator[Any]:
    """Yield section ``data``, parsed by each of the trial's dataclasses that has a length."""
    for cls in getattr(trial_class, "data_types", ()):
        if "max_seq_length" in getattr(cls, "__dataclass_fields__", {}):
            # Wrong values are reported by the checks of the values.
            with contextlib.suppress(UserError):
                yield parsing.parse_dict_to_dataclasses((cls,), config["data"])[0]


def _loaded(what: str, config: Config, broken: list[str]) -> Generator[Finding, None, Any]:
    """Return the tokenizer or configuration, None if it is not local or cannot be loaded.

    If it cannot be loaded, yield an error and add ``what`` to ``broken``.
    """
    hparams = config["hyperparameters"]
    name = hparams.get(f"{what}_name")
    key = f"{what}_name" if name else "pretrained_model_name_or_path"
    name = name or hparams.get(key)
    if not isinstance(name, str) or not _has(what, pathlib.Path(name).expanduser()):
        return None
    auto = transformers.AutoTokenizer if what == "tokenizer" else transformers.AutoConfig
    path: Path = ("hyperparameters", key)
    try:
        return auto.from_pretrained(name)
    except Exception as error:  # Of any kind, because the files may have any content.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        broken.append(what)
        if "trust_remote_code" not in str(error):
            yield Finding(path, f"{dotted(path)}: cannot load the {what} of {name!r}: {reason}")
    return None


def _has(what: str, folder: pathlib.Path) -> bool:
    """Return whether the folder has the files; if not, another check reports it."""
    files = ["config.json"] if what == "config" else ["tokenizer_config.json", "tokenizer.json"]
    return any((folder / file).is_file() for file in files)


def _length(
    document: Document, config: Config, requested: Any, tokenizer: Any, model_config: Any
) -> Iterator[Finding]:
    mode = config["hyperparameters"].get("model_mode")
    try:
        if requested is not None:
            texts = _TEXTS_PER_SEQUENCE.get(str(mode))
            sequence_length(requested, tokenizer, model_config, texts=texts)
    except UserError as error:
        yield finding_at(config, str(error))


def _conversations(
    kwargs: settings.InstructionTuningDataKwargs,
    tokenizer: Any,
    splits: Mapping[str, datasets.Dataset],
) -> Iterator[Finding]:
    """Yield an error if there is no chat template, or it fails on the first conversations."""
    keys = ("chat_template", "chat_template_file")
    path: Path = next((("data", key) for key in keys if getattr(kwargs, key)), ("data",))
    if tokenizer is None or not tokenizer.is_fast:
        return
    try:
        for split, all_rows in splits.items():
            rows = all_rows.select(range(min(_ROWS, len(all_rows))))
            source = f"data.{split}_file"
            layout = formats.find_format(rows, source, kwargs.messages_column, kwargs.chat_format)
            if layout.name != formats.TEXT:
                settings.set_chat_template(tokenizer, kwargs)
            data.check_tokenization(rows, source, layout, tokenizer)
        if not splits and kwargs.chat_format != formats.TEXT:
            settings.set_chat_template(tokenizer, kwargs)
    except UserError as error:
        # Not document.finding: the message may quote a conversation, which may contain keys.
        yield Finding(path, str(error).rstrip("."))


@contextlib.contextmanager
def _without_logs() -> Iterator[None]:
    """Keep transformers from printing between the findings."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)
