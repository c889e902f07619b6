"""The table of tasks that `model-hub new` can start."""

import dataclasses
import difflib
from collections.abc import Mapping

from model_hub.errors import UserError
from model_hub.new import sample_data
from model_hub.new.sample_data import WriteRow

Settings = Mapping[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A task: where its trial is, its sample data, and settings with which that is learned.

    Values of settings are text, as they stand in a YAML.

    Attributes:
        name: what is written after ``model-hub new``.
        summary: what the model learns to do.
        folder: of the trial, below ``examples/huggingface``.
        trial: ``module:Class``.
        write: makes a row of sample data.
        rows: sample rows to train on.
        extension: of the files with sample rows.
        own_rows: what a row of one's own data holds.
        family: of the small model; a key of ``FAMILIES``.
        chat_template: how the tokenizer writes conversations.
        model_mode: the hyperparameter.
        hyperparameters: further ones.
        data: further keys of section ``data``.
        epochs: the small model's.
        learning_rate: the small model's.
        metric: the searcher's.
        smaller_is_better: the direction of it.
        reaches: what the small model beats at the end of its training.
        first_validation: validate the untrained model too, where the trial tells no baseline.
        real_model: a model on the Hub.
        real_hyperparameters: those that it needs otherwise.
        real_data: keys of section ``data`` that name a data set on the Hub.
        real_data_settings: other keys of section ``data`` that real data and model need otherwise.
        packages: packages to install besides.
        predicts: whether ``model-hub predict`` has a use for such a model.
        question: a line to try that with, where the validation rows are none.
    """

    name: str
    summary: str
    folder: str
    trial: str
    write: WriteRow
    rows: int = 200
    extension: str = "jsonl"
    own_rows: str
    family: str
    chat_template: str | None = None
    model_mode: str
    hyperparameters: Settings = dataclasses.field(default_factory=dict)
    data: Settings = dataclasses.field(default_factory=dict)
    epochs: int = 10
    learning_rate: str = "3e-3"
    metric: str
    smaller_is_better: bool = False
    reaches: float
    first_validation: bool = False
    real_model: str
    real_hyperparameters: Settings
    real_data: Settings
    real_data_settings: Settings = dataclasses.field(default_factory=dict)
    packages: str = ""
    predicts: bool = True
    question: str | None = None

    @property
    def module(self) -> str:
        """The trial's module."""
        return self.trial.partition(":")[0]

    @property
    def short_name(self) -> str:
        """Name of the experiment and of its YAML: the trial's, without what all trials have."""
        return self.module.removesuffix("_trial")

    @property
    def expectation(self) -> str:
        """What the metric comes to."""
        return f"{self.metric} {'below' if self.smaller_is_better else 'above'} {self.reaches:g}"


_QA_ROWS = (
    "`id`, `context`, `question` and `answers`; `answer_start` counts characters from 0, and a "
    "question without an answer has two empty lists (then write `version_2_with_negative: true`)"
)
_TEXT_ROWS = "text; in txt files a row is a line, in others it is the column `text`"
_WIKITEXT = {"dataset_name": "Salesforce/wikitext", "dataset_config_name": "wikitext-2-raw-v1"}
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
        folder="question-answering",
        trial="qa_trial:QATrial",
        write=sample_data.question,
        own_rows=_QA_ROWS,
        family="bert",
        model_mode="question-answering",
        data={"max_seq_length": "96", "doc_stride": "32"},
        metric="f1",
        reaches=80,
        first_validation=True,
        real_model="google-bert/bert-base-uncased",
        real_hyperparameters={"num_train_epochs": "2", "learning_rate": "3e-5"},
        real_data={"dataset_name": "rajpurkar/squad"},
        real_data_settings={"max_seq_length": "384", "doc_stride": "128"},
    ),
    Task(
        name="question-answering-beam-search",
        summary="the same with XLNet, which searches for start and end itself",
        folder="question-answering",
        trial="qa_beam_search_trial:QABeamSearchTrial",
        write=sample_data.question,
        own_rows=_QA_ROWS,
        family="xlnet",
        model_mode="question-answering",
        data={"max_seq_length": "96", "doc_stride": "32"},
        metric="f1",
        reaches=80,
        first_validation=True,
        real_model="xlnet/xlnet-large-cased",
        real_hyperparameters={"num_train_epochs": "2", "learning_rate": "3e-5"},
        real_data={"dataset_name": "rajpurkar/squad"},
        real_data_settings={"max_seq_length": "384", "doc_stride": "128"},
    ),
    Task(
        name="token-classification",
        summary="tag words: named entities, parts of speech, chunks",
        folder="token-classification",
        trial="ner_trial:NERTrial",
        write=sample_data.tagged_sentence,
        own_rows="`tokens` with the words of a sentence, and `ner_tags` with the tag of each word",
        family="bert",
        model_mode="token-classification",
        hyperparameters={"finetuning_task": "ner"},
        metric="f1",
        reaches=0.9,
        real_model="google-bert/bert-base-uncased",
        real_hyperparameters={"num_train_epochs": "3", "learning_rate": "5e-5"},
        real_data={"dataset_name": "tomaarsen/conll2003"},
    ),
    Task(
        name="text-classification",
        summary="give a text, or a pair of texts, a label or a score",
        folder="text-classification",
        trial="glue_trial:GLUETrial",
        write=sample_data.review,
        own_rows="one or two columns of text, and `label`; numbers with a decimal point are scores",
        family="bert",
        model_mode="sequence-classification",
        metric="accuracy",
        reaches=0.9,
        real_model="google-bert/bert-base-cased",
        real_hyperparameters={
            "finetuning_task": "sst2",
            "num_train_epochs": "3",
            "learning_rate": "3e-5",
        },
        real_data={"dataset_name": "nyu-mll/glue", "dataset_config_name": "sst2"},
    ),
    Task(
        name="natural-language-inference",
        summary="tell whether a sentence follows from another or contradicts it",
        folder="text-classification",
        trial="xnli_trial:XNLITrial",
        write=sample_data.inference,
        rows=400,
        own_rows="`premise`, `hypothesis` and `label`: entailment, neutral or contradiction",
        family="bert",
        model_mode="sequence-classification",
        hyperparameters={"finetuning_task": "xnli"},
        epochs=20,
        learning_rate="1e-3",
        metric="accuracy",
        reaches=0.7,
        real_model="google-bert/bert-base-multilingual-cased",
        real_hyperparameters={"num_train_epochs": "2", "learning_rate": "5e-5"},
        real_data={"dataset_name": "facebook/xnli", "train_language": "en", "language": "de"},
    ),
    Task(
        name="multiple-choice",
        summary="choose the right one of several endings",
        folder="multiple-choice",
        trial="swag_trial:SWAGTrial",
        write=sample_data.endings,
        rows=300,
        own_rows="`sent1`, `sent2` (with which the endings begin), `ending0`, `ending1` and so on, "
        "and `label`, the number of the right ending",
        family="bert",
        model_mode="multiple-choice",
        metric="accuracy",
        reaches=0.7,
        real_model="FacebookAI/roberta-base",
        real_hyperparameters={"num_train_epochs": "3", "learning_rate": "5e-5"},
        real_data={"dataset_name": "allenai/swag", "dataset_config_name": "regular"},
        real_data_settings={"max_seq_length": "128"},
    ),
    Task(
        name="causal-language-modeling",
        summary="go on with a text",
        folder="language-modeling",
        trial="clm_trial:CLMTrial",
        write=sample_data.story,
        extension="txt",
        own_rows=_TEXT_ROWS,
        family="gpt2",
        model_mode="causal-lm",
        data={"max_seq_length": "64"},
        epochs=20,
        metric="perplexity",
        smaller_is_better=True,
        reaches=8,
        real_model="openai-community/gpt2",
        real_hyperparameters={"num_train_epochs": "3", "learning_rate": "5e-5"},
        real_data=_WIKITEXT,
        real_data_settings={"max_seq_length": "1024"},
    ),
    Task(
        name="masked-language-modeling",
        summary="fill in masked tokens",
        folder="language-modeling",
        trial="mlm_trial:MLMTrial",
        write=sample_data.sentence,
        rows=400,
        extension="txt",
        own_rows=_TEXT_ROWS,
        family="bert",
        model_mode="masked-lm",
        data={"max_seq_length": "32", "line_by_line": "true"},
        metric="perplexity",
        smaller_is_better=True,
        reaches=8,
        real_model="FacebookAI/roberta-base",
        real_hyperparameters={"num_train_epochs": "3", "learning_rate": "5e-5"},
        real_data=_WIKITEXT,
        real_data_settings={"max_seq_length": "512", "line_by_line": "false"},
        question="Every Friday Nora [MASK] soup for Otto.",
    ),
    Task(
        name="permutation-language-modeling",
        summary="predict spans of tokens in a random order, as XLNet was trained",
        folder="language-modeling",
        trial="plm_trial:PLMTrial",
        write=sample_data.sentence,
        rows=400,
        extension="txt",
        own_rows=_TEXT_ROWS,
        family="xlnet",
        model_mode="causal-lm",
        data={"max_seq_length": "32", "line_by_line": "true"},
        metric="perplexity",
        smaller_is_better=True,
        reaches=8,
        real_model="xlnet/xlnet-base-cased",
        real_hyperparameters={"num_train_epochs": "3", "learning_rate": "2e-5"},
        real_data=_WIKITEXT,
        real_data_settings={"max_seq_length": "512", "line_by_line": "false"},
        predicts=False,
    ),
    Task(
        name="summarization",
        summary="write the summary of a text",
        folder="seq2seq",
        trial="summarization_trial:SummarizationTrial",
        write=sample_data.report,
        own_rows="`document` and `summary`, or other columns, named in `text_column` and "
        "`summary_column` of section `data`",
        family="t5",
        model_mode="seq2seq-lm",
        data={
            "source_prefix": '"summarize: "',
            "max_source_length": "96",
            "max_target_length": "24",
            "num_beams": "1",
        },
        metric="rougeLsum",
        reaches=70,
        first_validation=True,
        real_model="google-t5/t5-small",
        real_hyperparameters={"num_train_epochs": "3", "learning_rate": "5e-5"},
        real_data={"dataset_name": "abisee/cnn_dailymail", "dataset_config_name": "3.0.0"},
        real_data_settings={
            "max_source_length": "512",
            "max_target_length": "128",
            "num_beams": "4",
        },
        packages="rouge-score",
    ),
    Task(
        name="translation",
        summary="translate a text",
        folder="seq2seq",
        trial="translation_trial:TranslationTrial",
        write=sample_data.translation,
        own_rows="`translation` with a text for each language, or a column for each",
        family="t5",
        model_mode="seq2seq-lm",
        data={
            "source_lang": "en",
            "target_lang": "de",
            "source_prefix": '"translate English to German: "',
            "max_source_length": "64",
            "max_target_length": "32",
            "num_beams": "1",
        },
        metric="bleu",
        reaches=60,
        first_validation=True,
        real_model="google-t5/t5-base",
        real_hyperparameters={"num_train_epochs": "1", "learning_rate": "5e-5"},
        real_data={"dataset_name": "wmt/wmt16", "dataset_config_name": "de-en"},
        real_data_settings={
            "max_source_length": "128",
            "max_target_length": "128",
            "num_beams": "4",
        },
        packages="sacrebleu",
    ),
    Task(
        name="instruction-tuning",
        summary="answer in conversations",
        folder="instruction-tuning",
        trial="sft_trial:SFTTrial",
        write=sample_data.conversation,
        rows=300,
        own_rows="`messages`, a conversation; what the `assistant` says is learned",
        family="gpt2",
        chat_template=_CHAT_TEMPLATE,
        model_mode="causal-lm",
        metric="perplexity",
        smaller_is_better=True,
        reaches=2,
        real_model="HuggingFaceTB/SmolLM2-135M-Instruct",
        real_hyperparameters={"num_train_epochs": "1", "learning_rate": "2e-5"},
        real_data={
            "dataset_name": "HuggingFaceTB/smol-smoltalk",
            "validation_split_percentage": "1",
        },
        real_data_settings={"max_seq_length": "1024"},
    ),
)

TASKS = {task.name: task for task in _TASKS}


def find_task(name: str) -> Task:
    """The task of that name.

    Args:
        name: its name, or that of its trial: ``token-classification``, ``ner``, ``ner_trial``.

    Raises:
        UserError: when there is none; it tells the nearest name.
    """
    by_trial = {key: task for task in _TASKS for key in (task.short_name, task.module)}
    found = TASKS.get(name) or by_trial.get(name)
    if found is not None:
        return found
    near = difflib.get_close_matches(name.lower(), [*TASKS, *by_trial], 1, 0.5)
    raise UserError(
        f"there is no task {name!r}"
        + (f"; did you mean {near[0]}?" if near else ".")
        + " `model-hub new` lists all tasks."
    )
