"""Small random files, read and prepared by each task: features or one clear message.

``RANDOM_FILES=1250`` draws as many files for each task, where the tests draw a few.
"""

import csv
import io
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import datasets
import hypothesis
import pytest
import tiny_seq2seq
import transformers
from hypothesis import strategies as st

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.tasks import instruction_tuning as sft
from model_hub.huggingface.tasks import language_modeling as lm
from model_hub.huggingface.tasks import multiple_choice as mc
from model_hub.huggingface.tasks import question_answering as qa
from model_hub.huggingface.tasks import seq2seq as s2s
from model_hub.huggingface.tasks import text_classification as tc
from model_hub.huggingface.tasks import token_classification as ner

Rows = list[dict[str, Any]]
Splits = dict[str, Rows]
FILES = int(os.environ.get("RANDOM_FILES", "25"))

ODD = [
    *(
        "007",
        "01",
        "1",
        "0",
        "1.0",
        "1e5",
        "-0",
        "+1",
        "NA",
        "null",
        "None",
        "nan",
        "true",
        "False",
    ),
    *("2024-01-01", "2024-01-01T10:00:00Z", "a,b", 'say "hi"', "it's", "a\nb", "a\r\nb", "a\tb"),
    *(
        " a",
        "a ",
        " ",
        "a;b",
        "a|b",
        "\x00",
        "a\x00b",
        "é",
        "日本",
        "🙂",
        "\u2028",
        "#",
        "{",
        '{"a": 1}',
    ),
    *("[1, 2]", "9" * 25, "9007199254740993", "\ufeffx", "1_000", "0x1F", "inf", "-", "\\", "\\N"),
]
words = st.sampled_from(["good", "bad film", "the cat sat", *ODD])
maybe = words | st.none() | st.just("")
# What json files may have where a text or a name is expected.
odd_values = st.one_of(
    maybe,
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.lists(words, max_size=2),
    st.dictionaries(st.sampled_from("ab"), words, max_size=2),
)


def column(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly good values; now and then any."""
    return values | values | values | odd_values


@st.composite
def splits(draw: st.DrawFn, columns: Mapping[str, st.SearchStrategy[Any]]) -> Splits:
    """Draw rows of two splits; a key may be missing, and there may be another column."""
    drawn = {
        name: column(values) if draw(st.booleans()) else values for name, values in columns.items()
    }
    optional = {"extra": odd_values} if draw(st.booleans()) else {}
    row = st.fixed_dictionaries(drawn, optional=optional)
    return {name: draw(st.lists(row, min_size=1, max_size=5)) for name in ("train", "validation")}


def write_json(path: pathlib.Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_csv(path: pathlib.Path, rows: Rows) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: cell(row.get(name)) for name in names})
    path.write_bytes(text.getvalue().encode())


def cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def is_kept(found: Any, value: Any, kind: str) -> bool:
    """Whether a value comes out as it went in: as text, or as what JSON says it is."""
    if kind == "csv":
        text = cell(value)
        # Labels may have become numbers; their texts are the same, but for a shorter decimal.
        return found == (text or None) or (
            type(found) in (int, float, bool) and json.loads(text.lower()) == found
        )
    if type(found) is str and type(value) in (int, float, bool):
        return found == json.dumps(value)
    if isinstance(value, dict) and isinstance(found, dict):
        return all(is_kept(found.get(name), item, kind) for name, item in value.items())
    if isinstance(value, list) and isinstance(found, list):
        return len(value) == len(found) and all(map(is_kept, found, value, [kind] * len(value)))
    return bool(found == value)


def kwargs_of(cls: type, data: dict[str, Any]) -> Any:
    return hf.parse_dict_to_dataclasses((cls,), data)[0]


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def classify(data: dict[str, Any], tokenizer: Any) -> datasets.DatasetDict:
    raw = tc.load_glue(data, None)
    kwargs = kwargs_of(tc.TextClassificationDataKwargs, data)
    task = tc.find_task(raw, None, kwargs.text_columns, metric="accuracy")
    tc.build_datasets(raw, tokenizer, kwargs, task)
    return raw


def tag(data: dict[str, Any], tokenizer: Any) -> datasets.DatasetDict:
    raw = ner.load_rows(data)
    kwargs = kwargs_of(ner.TokenClassificationDataKwargs, data)
    ner.build_datasets(raw, tokenizer, kwargs, ner.read_tagging(raw, kwargs))
    return raw


def answer(data: dict[str, Any], tokenizer: Any) -> datasets.DatasetDict:
    data = {**data, "doc_stride": 8}
    raw = qa.load_rows(data)
    qa.build_datasets(raw, tokenizer, kwargs_of(qa.QuestionAnsweringDataKwargs, data))
    return raw


def choose(data: dict[str, Any], tokenizer: Any) -> datasets.DatasetDict:
    raw = mc.load_rows(data)
    mc.build_datasets(raw, tokenizer, kwargs_of(mc.MultipleChoiceDataKwargs, data))
    return raw


def summarize(data: dict[str, Any], tokenizer: Any) -> datasets.DatasetDict:
    raw = s2s.load_rows(data)
    s2s.build_datasets(raw, tokenizer, kwargs_of(s2s.SummarizationDataKwargs, data))
    return raw


def translate(data: dict[str, Any], tokenizer: Any) -> datasets.DatasetDict:
    data = {**data, "source_lang": "en", "target_lang": "de"}
    raw = s2s.load_rows(data)
    s2s.build_datasets(raw, tokenizer, kwargs_of(s2s.TranslationDataKwargs, data))
    return raw


def model_language(data: dict[str, Any], tokenizer: Any) -> datasets.DatasetDict:
    raw = lm.load_rows(data)
    lm.build_datasets(raw, tokenizer, kwargs_of(lm.LanguageModelingDataKwargs, data))
    return raw


def converse(data: dict[str, Any], tokenizer: Any) -> datasets.DatasetDict:
    data = {**data, "chat_template": CHATML}
    raw = sft.load_rows(data)
    sft.build_datasets(raw, tokenizer, kwargs_of(sft.InstructionTuningDataKwargs, data))
    return raw


lists_of_words = st.lists(words, min_size=1, max_size=3)
answers = st.one_of(
    st.fixed_dictionaries(
        {
            "text": lists_of_words,
            "answer_start": st.lists(st.integers(0, 3), min_size=1, max_size=3),
        }
    ),
    st.just({"text": [], "answer_start": []}),
    words,
    lists_of_words,
    st.none(),
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"]), "content": words}
    ),
    min_size=1,
    max_size=3,
)
# What a task does with its data, and what its columns hold.
TASKS: dict[str, tuple[Callable[[dict[str, Any], Any], datasets.DatasetDict], dict[str, Any]]] = {
    "text classification": (classify, {"sentence": words, "label": words, "id": words}),
    "token classification": (tag, {"tokens": lists_of_words, "ner_tags": lists_of_words}),
    "question answering": (
        answer,
        {"id": words, "context": words, "question": words, "answers": answers},
    ),
    "multiple choice": (
        choose,
        {"sent1": words, "ending0": words, "ending1": maybe, "label": st.sampled_from([0, 1, "1"])},
    ),
    "summarization": (summarize, {"document": words, "summary": words, "id": words}),
    "translation": (
        translate,
        {"translation": st.fixed_dictionaries({"en": words, "de": words}, optional={"fr": words})},
    ),
    "language modeling": (model_language, {"text": words}),
    "instruction tuning": (converse, {"messages": messages}),
}


@pytest.fixture(scope="module")
def seq2seq_tokenizer() -> transformers.PreTrainedTokenizerFast:
    return tiny_seq2seq.trained_tokenizer(["the cat sat", "der Hund rannte", *ODD])


@pytest.mark.parametrize("name", TASKS)
def test_features_or_a_message(
    name: str,
    bert: transformers.PreTrainedTokenizerFast,
    seq2seq_tokenizer: transformers.PreTrainedTokenizerFast,
) -> None:
    run, columns = TASKS[name]
    is_seq2seq = name in ("summarization", "translation")

    @hypothesis.settings(max_examples=FILES, deadline=None, database=None, derandomize=True)
    @hypothesis.given(splits(columns), st.sampled_from(["csv", "jsonl"]))
    def check(drawn: Splits, kind: str) -> None:
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setattr(datasets.config, "HF_DATASETS_CACHE", pathlib.Path(folder, "cache"))
            data = {}
            for split, rows in drawn.items():
                path = pathlib.Path(folder, f"{split}.{kind}")
                (write_csv if kind == "csv" else write_json)(path, rows)
                data[f"{split}_file"] = str(path)
            tokenizer = seq2seq_tokenizer if is_seq2seq else bert
            try:
                raw = run({**data, **({} if is_seq2seq else {"max_seq_length": 24})}, tokenizer)
            except UserError as error:
                assert str(error).startswith(("data.", "split '", "hyperparameters.", "the "))
                return
            for split, rows in drawn.items():
                found = raw[split].to_list()
                assert len(found) == len(rows)
                for row, values in zip(found, rows, strict=True):
                    for column_name in columns:
                        assert is_kept(row[column_name], values[column_name], kind), (row, values)

    check()
