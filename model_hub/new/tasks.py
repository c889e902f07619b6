"""The tasks that `model-hub new` can start a project for."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment.messages import did_you_mean
from model_hub.experiment.yaml_io import parse_yaml
from model_hub.new import sample_data
from model_hub.new.sample_data import MakeRow

_PACKAGE = pathlib.Path(__file__).parents[1]
# setup.py copies the examples into wheels; a checkout has the originals.
_FOLDERS = (_PACKAGE / "new" / "examples", _PACKAGE.parent / "examples" / "huggingface")


def read_example(path: str) -> bytes:
    """Read a trial or a YAML by its path in ``examples/huggingface``.

    Raises:
        UserError: if this installation does not have the file.
    """
    for folder in _FOLDERS:
        if (folder / path).is_file():
            return (folder / path).read_bytes()
    raise UserError(
        f"this installation of model-hub has no {path}: it was built without the folder "
        "examples/huggingface. Install model-hub from a complete copy of its repository."
    )


# YAML keys with their section (``data.doc_stride``), and their values as text.
Settings = Mapping[str, str | None]

# What the small model and the sample data need in the place of an example's settings. None removes
# a setting.
_SMALL: Settings = {
    "hyperparameters.pretrained_model_name_or_path": "./model",
    "hyperparameters.use_pretrained_weights": "false",
    "hyperparameters.global_batch_size": "16",
    "hyperparameters.num_train_epochs": "10",
    "hyperparameters.learning_rate": "3e-3",
    "data.dataset_name": None,
    "data.dataset_config_name": None,
    "data.validation_split_percentage": None,
    "min_validation_period.batches": None,
    "min_validation_period.epochs": "5",
    "resources.slots_per_trial": "1",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A task: an example to start from, its sample data, and a small model that learns from it.

    Attributes:
        name: the argument of ``model-hub new``.
        summary: what the model learns to do; follows "A model learns to".
        example: the example's YAML, relative to ``examples/huggingface``. The trial that it names
            is in the same folder.
        make_row: makes a row of sample data.
        rows: number of training rows.
        extension: extension of the sample files, ``jsonl`` or ``txt``.
        row_format: the columns of a row, for a user who brings other data.
        family: the kind of small model; a key of ``FAMILIES``.
        chat_template: the tokenizer's chat template.
        changes: settings of the YAML that differ from the example's, beyond those of all tasks.
        metric_threshold: value of the metric that the small model beats at the end of its training.
        packages: packages that the metrics need, for ``pip install``.
        predicts: whether ``model-hub predict`` supports the model.
        question: an input for ``model-hub predict``, if the validation rows are unsuitable.
    """

    name: str
    summary: str
    example: str
    make_row: MakeRow
    rows: int = 200
    extension: str = "jsonl"
    row_format: str
    family: str
    chat_template: str | None = None
    changes: Settings = dataclasses.field(default_factory=dict)
    metric_threshold: float
    packages: str = ""
    predicts: bool = True
    question: str | None = None

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The example's configuration."""
        config: dict[str, Any] = parse_yaml(read_example(self.example).decode(), self.example)
        return config

    @property
    def settings(self) -> Settings:
        """The settings that differ from the example's."""
        files = {f"data.{split}_file": f"{split}.{self.extension}" for split in SPLITS}
        return {**_SMALL, **files, **self.changes}

    @property
    def trial(self) -> str:
        """The trial class, as ``module:Class``."""
        return str(self.config["entrypoint"].split()[-1])

    @property
    def module(self) -> str:
        """The trial's module."""
        return self.trial.partition(":")[0]

    @property
    def short_name(self) -> str:
        """The name of the experiment and of its YAML: the trial's module without ``_trial``."""
        return self.module.removesuffix("_trial")

    @property
    def metric(self) -> str:
        """The searcher's metric."""
        return self.changes.get("searcher.metric") or str(self.config["searcher"]["metric"])

    @property
    def smaller_is_better(self) -> bool:
        """Whether a smaller metric is a better one."""
        return bool(self.config["searcher"]["smaller_is_better"])

    @property
    def first_validation(self) -> bool:
        """Whether the untrained model is validated."""
        return "perform_initial_validation" in {**self.config, **self.changes}

    @property
    def expectation(self) -> str:
        """The metric and the bound that training beats, such as ``f1 above 80``."""
        side = "below" if self.smaller_is_better else "above"
        return f"{self.metric} {side} {self.metric_threshold:g}"


SPLITS = ("train", "validation")
_QA: dict[str, Any] = {
    "make_row": sample_data.question,
    "row_format": "`id`, `context`, `question` and `answers`; `answer_start` counts characters "
    "from 0, and a question without an answer has two empty lists (then write "
    "`version_2_with_negative: true`)",
    "metric_threshold": 80,
}
_QA_LENGTHS = {"data.max_seq_length": "96", "data.doc_stride": "32"}
_TEXTS: dict[str, Any] = {
    "make_row": sample_data.gossip,
    "extension": "txt",
    "row_format": "text; in txt files a row is a line, in others it is the column `text`",
    "metric_threshold": 8,
}
_ONE_LINE = {"data.max_seq_length": "32", "data.line_by_line": "true"}
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|{{ message.role }}|>{{ message.content }}{{ eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

_TASKS = (
    Task(
        name="question-answering",
        summary="mark the answer to a question in a text",
        example="question-answering/squad.yaml",
        family="bert",
        changes={
            "hyperparameters.group_by_length": "false",
            **_QA_LENGTHS,
            "perform_initial_validation": "true",
        },
        **_QA,
    ),
    Task(
        name="question-answering-beam-search",
        summary="the same with XLNet, which searches for start and end itself",
        example="question-answering/squad_beam_search.yaml",
        family="xlnet",
        changes=_QA_LENGTHS,
        **_QA,
    ),
    Task(
        name="token-classification",
        summary="tag words: named entities, parts of speech, chunks",
        example="token-classification/ner_config.yaml",
        make_row=sample_data.tagged_sentence,
        row_format="`tokens`, the words of a sentence, and `ner_tags`, the tag of each word",
        family="bert",
        metric_threshold=0.9,
    ),
    Task(
        name="text-classification",
        summary="give a text, or a pair of texts, a label or a score",
        example="text-classification/glue_config.yaml",
        make_row=sample_data.review,
        row_format="one or two columns of text, and `label`; numbers with a decimal point are "
        "scores",
        family="bert",
        changes={"hyperparameters.finetuning_task": "null", "searcher.metric": "accuracy"},
        metric_threshold=0.9,
    ),
    Task(
        name="natural-language-inference",
        summary="tell whether a sentence follows from another or contradicts it",
        example="text-classification/xnli_config.yaml",
        make_row=sample_data.inference,
        rows=400,
        row_format="`premise`, `hypothesis` and `label`: entailment, neutral or contradiction",
        family="bert",
        changes={
            "hyperparameters.num_train_epochs": "20",
            "hyperparameters.learning_rate": "1e-3",
            "data.train_language": None,
            "data.language": None,
            "min_validation_period.epochs": "10",
        },
        metric_threshold=0.7,
    ),
    Task(
        name="multiple-choice",
        summary="choose the right one of several endings",
        example="multiple-choice/swag_config.yaml",
        make_row=sample_data.endings,
        rows=300,
        row_format="`sent1`, `sent2` (with which the endings begin), `ending0`, `ending1` and so "
        "on, and `label`, the number of the right ending",
        family="bert",
        metric_threshold=0.7,
    ),
    Task(
        name="causal-language-modeling",
        summary="continue a text",
        example="language-modeling/clm_config.yaml",
        rows=600,
        family="gpt2",
        changes={
            "hyperparameters.num_train_epochs": "20",
            "data.max_seq_length": "64",
            "min_validation_period.epochs": "10",
        },
        **_TEXTS,
    ),
    Task(
        name="masked-language-modeling",
        summary="fill in masked tokens",
        example="language-modeling/mlm_config.yaml",
        rows=400,
        family="bert",
        changes=_ONE_LINE,
        question="Every Friday Nora [MASK] soup for Otto.",
        **_TEXTS,
    ),
    Task(
        name="permutation-language-modeling",
        summary="predict spans of tokens in a random order, as XLNet was trained",
        example="language-modeling/plm_config.yaml",
        rows=400,
        family="xlnet",
        changes=_ONE_LINE,
        predicts=False,
        **_TEXTS,
    ),
    Task(
        name="summarization",
        summary="write the summary of a text",
        example="seq2seq/summarization.yaml",
        make_row=sample_data.report,
        row_format="`document` and `summary`, or other columns, named in `text_column` and "
        "`summary_column` of section `data`",
        family="t5",
        changes={
            "data.max_source_length": "96",
            "data.max_target_length": "24",
            "data.num_beams": "1",
        },
        metric_threshold=70,
        packages="rouge-score",
    ),
    Task(
        name="translation",
        summary="translate a text",
        example="seq2seq/translation.yaml",
        make_row=sample_data.translation,
        row_format="`translation` with a text for each language, or a column for each",
        family="t5",
        changes={
            "data.target_lang": "de",
            "data.source_prefix": '"translate English to German: "',
            "data.max_source_length": "64",
            "data.max_target_length": "32",
            "data.num_beams": "1",
        },
        metric_threshold=60,
        packages="sacrebleu",
    ),
    Task(
        name="instruction-tuning",
        summary="answer in conversations",
        example="instruction-tuning/sft.yaml",
        make_row=sample_data.conversation,
        rows=300,
        row_format="`messages`, a conversation; the messages of the `assistant` are learned. "
        "ShareGPT, Alpaca, `prompt` and `completion`, and `text` are read too",
        family="gpt2",
        chat_template=_CHAT_TEMPLATE,
        changes={
            "hyperparameters.bf16": "false",
            "data.max_seq_length": "128",
            "data.packing": "false",
        },
        metric_threshold=2,
    ),
)

TASKS = {task.name: task for task in _TASKS}


def find_task(name: str) -> Task:
    """Return the task of this name, or that of a trial: ``ner_trial``, or ``ner`` for short.

    Raises:
        UserError: if there is none; the message names the nearest one.
    """
    by_trial = {key: task for task in _TASKS for key in (task.short_name, task.module)}
    task = TASKS.get(name) or by_trial.get(name)
    if task is None:
        hint = did_you_mean(name, [*TASKS, *by_trial], 0.5) or "."
        raise UserError(f"there is no task {name!r}{hint} `model-hub new` lists all tasks.")
    return task
