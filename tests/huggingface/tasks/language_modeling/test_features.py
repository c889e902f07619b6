"""Blocks hold every token once, in order, however the rows were tokenized."""

import pathlib
from typing import Any

import datasets
import hypothesis
import numpy as np
import pytest
import text_models
import tiny
import transformers
from hypothesis import strategies as st

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.tasks import language_modeling as lm

Tokenizer = transformers.PreTrainedTokenizerFast
TEXTS = [
    "" if n % 5 == 0 else f"line {n} tells of the river {'and of the sea ' * (n % 4)}"
    for n in range(90)
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return text_models.byte_level_tokenizer(TEXTS, 300)


def raw(tmp_path: pathlib.Path, texts: list[str] = TEXTS) -> dict[str, datasets.Dataset]:
    """As loaded from a file, so that what is made of it is cached."""
    datasets.Dataset.from_dict({"text": texts}).to_json(tmp_path / "rows.json")
    loaded = datasets.load_dataset("json", data_files=str(tmp_path / "rows.json"))["train"]
    return {"train": loaded, "validation": loaded.select(range(min(40, len(texts))))}


def in_chunks(rows: list[list[int]], sizes: list[int]) -> datasets.Dataset:
    """A dataset whose table has chunks of these numbers of rows."""
    features = datasets.Features({"input_ids": datasets.List(datasets.Value("int32"))})
    parts, begin = [], 0
    for size in [*sizes, len(rows)]:
        part = rows[begin : begin + size]
        parts.append(datasets.Dataset.from_dict({"input_ids": part}, features=features))
        begin += size
    return datasets.concatenate_datasets(parts)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=25),
    sizes=st.lists(st.integers(0, 5), max_size=8),
    length=st.integers(1, 7),
)
def test_every_token_once_in_order(lengths: list[int], sizes: list[int], length: int) -> None:
    ends = np.cumsum(lengths)
    rows = [list(range(end - n, end)) for end, n in zip(ends.tolist(), lengths, strict=True)]
    tokens = in_chunks(rows, sizes)
    blocks = lm.divide_into_blocks(tokens, length)["input_ids"][:]
    everything = list(range(sum(lengths)))
    assert [token for block in blocks for token in block] == everything
    assert all(len(block) == length for block in blocks[:-1])
    assert all(blocks)

    per_row = lm.divide_into_blocks(tokens, length, within_rows=True)["input_ids"][:]
    expected = [row[i : i + length] for row in rows for i in range(0, len(row), length)]
    assert per_row == expected


def test_all_columns_are_divided_alike() -> None:
    tokens = datasets.Dataset.from_dict({"input_ids": [[1, 2, 3], [4]], "mask": [[1, 0, 0], [1]]})
    blocks = lm.divide_into_blocks(tokens, 2)
    assert blocks[:] == {"input_ids": [[1, 2], [3, 4]], "mask": [[1, 0], [0, 1]]}
    # It is a dataset as any other.
    assert blocks.select([1])[0] == {"input_ids": [3, 4], "mask": [0, 1]}


@pytest.mark.parametrize("workers", [None, 2, 3])
def test_blocks_do_not_depend_on_processes_and_batches(
    tokenizer: Tokenizer, tmp_path: pathlib.Path, workers: int | None, monkeypatch: Any
) -> None:
    plain = [i for text in TEXTS for i in tokenizer(text)["input_ids"]]
    if workers is None:  # Other batches of map than its 1000 rows.
        original = datasets.Dataset.map
        monkeypatch.setattr(
            datasets.Dataset, "map", lambda self, *a, **k: original(self, *a, batch_size=7, **k)
        )
    kwargs = lm.LanguageModelingDataKwargs(max_seq_length=16, preprocessing_num_workers=workers)
    built = lm.build_datasets(raw(tmp_path), tokenizer, kwargs)
    assert [i for block in built.train["input_ids"] for i in block] == plain
    assert {len(block) for block in built.train["input_ids"][:-1]} == {16}
    assert built.validation["row"][:] == list(range(len(built.validation)))


def test_no_block_spans_two_documents(tokenizer: Tokenizer, tmp_path: pathlib.Path) -> None:
    kwargs = lm.LanguageModelingDataKwargs(max_seq_length=8, document_boundaries=True)
    built = lm.build_datasets(raw(tmp_path), tokenizer, kwargs)
    documents: list[list[int]] = [[]]
    for block in built.train["input_ids"]:
        documents[-1] += block
        if block[-1] == tokenizer.eos_token_id:
            documents.append([])
    expected = [[*tokenizer(t)["input_ids"], tokenizer.eos_token_id] for t in TEXTS if t]
    assert documents[:-1] == expected
    assert documents[-1] == []


def test_a_separator_is_an_end_already(tmp_path: pathlib.Path) -> None:
    import tiny

    bert = tiny.word_tokenizer()
    bert.add_special_tokens({"eos_token": "[EOS]"})
    kwargs = lm.MaskedLanguageModelingDataKwargs(max_seq_length=8, document_boundaries=True)
    built = lm.build_datasets(raw(tmp_path, ["the cat sat", " ", "where"]), bert, kwargs)
    assert built.train["input_ids"][:] == [[2, 5, 6, 8, 3], [2, 10, 3]]
    assert built.train["special_tokens_mask"][:] == [[1, 0, 0, 0, 1], [1, 0, 1]]


def test_line_by_line(tokenizer: Tokenizer, tmp_path: pathlib.Path) -> None:
    kwargs = lm.LanguageModelingDataKwargs(
        max_seq_length=12, line_by_line=True, pad_to_max_length=True
    )
    built = lm.build_datasets(raw(tmp_path), tokenizer, kwargs)
    assert built.train["input_ids"][:] == [tokenizer(t)["input_ids"][:12] for t in TEXTS if t]
    batch = lm.CausalCollator(tokenizer, length=built.length)([built.train[0]])
    assert batch["input_ids"].shape == (1, 12)


def test_length_is_the_models_and_at_most_1024(tokenizer: Tokenizer, tmp_path: Any) -> None:
    text = ["sea " * 3000]
    for positions, expected in ((64, 64), (4096, 1024)):
        built = lm.build_datasets(
            raw(tmp_path, text),
            tokenizer,
            lm.LanguageModelingDataKwargs(),
            transformers.GPT2Config(n_positions=positions),
        )
        assert len(built.train[0]["input_ids"]) == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text_column": "body"}, "data.text_column is 'body'"),
        ({"max_seq_length": 1}, "data.max_seq_length is 1"),
        ({"max_seq_length": 5000}, "data.max_seq_length: 64"),
        ({"line_by_line": True, "max_seq_length": 2}, "data.max_seq_length is 2.*2 special tokens"),
        ({"line_by_line": True, "document_boundaries": True}, "write one of them"),
    ],
)
def test_wrong_settings(
    tokenizer: Tokenizer, tmp_path: pathlib.Path, change: dict[str, Any], said: str
) -> None:
    config = transformers.GPT2Config(n_positions=64)
    if "special" in said:
        tokenizer = tiny.word_tokenizer()
    with pytest.raises(UserError, match=said):
        lm.build_datasets(raw(tmp_path), tokenizer, lm.LanguageModelingDataKwargs(**change), config)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"text": ["a", None]}, "row 2"),
        ({"number": [1, 2]}, "holds int64"),
        ({"text": ["", ""]}, "there is no text"),
        # Not the first column of text, which names the rows.
        ({"id": ["a", "b"], "doc_id": ["a", "b"], "body": ["", ""]}, "no text in column 'body'"),
    ],
)
def test_wrong_rows(tokenizer: Tokenizer, columns: dict[str, list[Any]], said: str) -> None:
    rows = datasets.Dataset.from_dict(columns)
    with pytest.raises(UserError, match=f"data.train_file 'a.txt'.*{said}"):
        lm.build_datasets(
            {"train": rows, "validation": rows},
            tokenizer,
            lm.LanguageModelingDataKwargs(max_seq_length=8),
            sources=dict.fromkeys(("train", "validation"), "data.train_file 'a.txt'"),
        )


def test_the_objective_needs_its_tokens_and_its_model(
    tokenizer: Tokenizer, tmp_path: pathlib.Path
) -> None:
    rows = raw(tmp_path)
    with pytest.raises(UserError, match="no mask token"):
        lm.build_datasets(rows, tokenizer, lm.MaskedLanguageModelingDataKwargs())
    kwargs = lm.PermutationLanguageModelingDataKwargs()
    with pytest.raises(UserError, match=r"is of type 'gpt2'.*xlnet"):
        lm.build_datasets(rows, tokenizer, kwargs, transformers.GPT2Config())
    with pytest.raises(UserError, match="no padding token"):
        lm.build_datasets(rows, tokenizer, kwargs, transformers.XLNetConfig())


@pytest.mark.parametrize("value", [0, -0.1, 1.5, float("nan")])
def test_probabilities(value: float) -> None:
    masked, permutation = (
        lm.MaskedLanguageModelingDataKwargs,
        lm.PermutationLanguageModelingDataKwargs,
    )
    for cls, key, wrong in (
        (masked, "mlm_probability", value),
        (permutation, "plm_probability", value),
        (permutation, "max_span_length", 0),
        (masked, "preprocessing_num_workers", 0),
    ):
        with pytest.raises(UserError, match=rf"data\.{key} is"):
            hf.parse_dict_to_dataclasses((cls,), {key: wrong})
