"""Columns, languages, features and batches of summarization and translation; complaints."""

import json
import pathlib
from typing import Any

import datasets
import pytest
import tiny
import tiny_seq2seq
import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface import default_load_dataset, parse_dict_to_dataclasses
from model_hub.huggingface.tasks import seq2seq as s2s

ROWS = [
    {"document": "the cat sat on the mat", "summary": "a cat sat"},
    {"document": "dogs run", "summary": "dogs run fast in the park"},
]


@pytest.fixture(scope="module")
def tokenizer() -> transformers.PreTrainedTokenizerFast:
    return tiny_seq2seq.trained_tokenizer([text for row in ROWS for text in row.values()], 300)


def splits(rows: list[dict[str, Any]]) -> dict[str, datasets.Dataset]:
    return {name: datasets.Dataset.from_list(rows) for name in ("train", "validation")}


def summarization(**keys: Any) -> s2s.SummarizationDataKwargs:
    (kwargs,) = parse_dict_to_dataclasses((s2s.SummarizationDataKwargs,), keys)
    return kwargs


def translation(**keys: Any) -> s2s.TranslationDataKwargs:
    (kwargs,) = parse_dict_to_dataclasses((s2s.TranslationDataKwargs,), keys)
    return kwargs


@pytest.mark.parametrize("pad_to_max_length", [False, True])
def test_features(tokenizer: transformers.PreTrainedTokenizerFast, pad_to_max_length: bool) -> None:
    kwargs = summarization(
        max_source_length=8,
        max_target_length=5,
        val_max_target_length=30,
        source_prefix="short: ",
        pad_to_max_length=pad_to_max_length,
    )
    built = s2s.build_datasets(splits(ROWS), tokenizer, kwargs)
    assert built.target_column == "summary"
    for features, longest in ((built.train, 5), (built.validation, 30)):
        for row, feature in zip(ROWS, features, strict=True):
            source = tokenizer("short: " + row["document"])["input_ids"]
            target = tokenizer(row["summary"])["input_ids"]
            # What is cut still has its end.
            source = source if len(source) <= 8 else [*source[:7], 1]
            target = target if len(target) <= longest else [*target[: longest - 1], 1]
            if pad_to_max_length:
                assert feature["attention_mask"] == [1] * len(source) + [0] * (8 - len(source))
                source = source + [0] * (8 - len(source))
                target = target + [-100] * (longest - len(target))
            assert feature["input_ids"] == source
            assert feature["labels"] == target
    assert built.validation["row"][:] == [0, 1] and "row" not in built.train.column_names


@pytest.mark.parametrize("family", ["t5", "bart", "marian"])
def test_batches_give_the_decoder_the_shifted_labels(
    tokenizer: transformers.PreTrainedTokenizerFast, family: str
) -> None:
    config = tiny_seq2seq.config(family, len(tokenizer))
    model = transformers.AutoModelForSeq2SeqLM.from_config(config)
    built = s2s.build_datasets(splits(ROWS), tokenizer, summarization())
    batch = s2s.seq2seq_collator(tokenizer, model)(list(built.train))
    assert type(batch) is dict
    for row, feature in enumerate(built.train):
        labels, length = batch["labels"][row].tolist(), len(feature["labels"])
        assert labels == feature["labels"] + [-100] * (len(labels) - length)
        start = config.decoder_start_token_id
        expected = [start, *feature["labels"], *[0] * len(labels)][: len(labels)]
        assert batch["decoder_input_ids"][row].tolist() == expected
        assert batch["attention_mask"][row].sum() == len(feature["input_ids"])
    assert torch.isfinite(model(**batch).loss)


@pytest.mark.parametrize(
    ("dataset_name", "keys", "columns"),
    [
        (None, {}, ("document", "summary")),
        ("EdinburghNLP/xsum", {}, ("document", "summary")),
        ("abisee/cnn_dailymail", {}, ("article", "highlights")),
        ("cnn_dailymail", {"summary_column": "title"}, ("article", "title")),
        (None, {"text_column": "body", "summary_column": "title"}, ("body", "title")),
    ],
)
def test_columns_of_summarization(
    dataset_name: str | None, keys: dict[str, str], columns: tuple[str, str]
) -> None:
    rows = [dict.fromkeys((*columns, "other"), "text")]
    _, found = s2s.find_columns(splits(rows), summarization(**keys), dataset_name)
    assert found == columns


def test_columns_of_translation(tmp_path: pathlib.Path) -> None:
    """Dicts in a column, and columns, as csv has them; also one file of each."""
    (tmp_path / "train.json").write_text(json.dumps({"translation": {"en": "yes", "ro": "da"}}))
    (tmp_path / "validation.csv").write_text("ro,en\nnu,no\n")
    files = {f"{name}_file": str(path) for path in tmp_path.iterdir() for name in [path.stem]}
    keys = translation(source_lang="en_XX", target_lang="ro")
    rows, columns = s2s.find_columns(default_load_dataset(files), keys)
    texts = {name: split.select_columns(list(columns))[0] for name, split in rows.items()}
    assert list(texts["train"].values()) == ["yes", "da"]
    assert [texts["validation"][name] for name in columns] == ["no", "nu"]


@pytest.mark.parametrize(
    ("kwargs", "rows", "message"),
    [
        (
            summarization(),
            [{"text": "a"}],
            r"no column 'document' or 'summary', only text.*data.text_column and data.summary_colu",
        ),
        (summarization(), [{"document": "a"}], r"no column 'summary'.*data.summary_column"),
        (summarization(), [{"document": "a", "summary": 3}], "summary holds int64.*hold text"),
        (
            summarization(),
            [ROWS[0], {"document": None, "summary": "a"}],
            "no text in column document in 1 row .row 2",
        ),
        (summarization(summary_column="document"), ROWS, "the same column"),
        (translation(target_lang="ro"), [{"en": "a"}], "data.source_lang is missing.*en"),
        (
            translation(source_lang="en", target_lang="de"),
            [{"translation": {"en": "a", "ro": "b"}}],
            "data.target_lang is 'de', but validation.json has en, ro",
        ),
    ],
)
def test_complaints_about_rows(
    kwargs: s2s.Seq2SeqDataKwargs, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        s2s.find_columns(
            {"train": datasets.Dataset.from_list(rows)}, kwargs, None, {"train": "validation.json"}
        )


@pytest.mark.parametrize("name", ["max_source_length", "num_beams", "val_max_target_length"])
def test_counts_are_at_least_one(name: str) -> None:
    with pytest.raises(UserError, match=f"data.{name} is 0"):
        summarization(**{name: 0})


def test_lengths(
    tokenizer: transformers.PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    t5, bart = (tiny_seq2seq.config(family, 300) for family in ("t5", "bart"))
    assert s2s.source_length(summarization(), tokenizer, bart) == 256
    assert s2s.source_length(summarization(), tokenizer, None) == 1024
    assert "source_prefix" not in caplog.text
    # T5 has relative positions: what is asked for is taken.
    assert s2s.source_length(summarization(max_source_length=3000), tokenizer, t5) == 3000
    assert "data.source_prefix is not set" in caplog.text
    for name in ("max_source_length", "max_target_length", "val_max_target_length"):
        with pytest.raises(UserError, match=f"data.{name} is 300, but the model takes .* 256"):
            s2s.source_length(summarization(**{name: 300}), tokenizer, bart)
    for name in ("max_source_length", "max_target_length"):
        # Of two, the start and the end of the text, nothing is left for it.
        with pytest.raises(UserError, match=f"data.{name} is 2, .* 2 special tokens"):
            s2s.source_length(summarization(**{name: 2}), tiny.word_tokenizer(), bart)
    with pytest.raises(UserError, match="'gpt2', which has no encoder and decoder"):
        s2s.source_length(summarization(), tokenizer, transformers.GPT2Config())


def multilingual(kind: str) -> tuple[Any, Any]:
    """A tokenizer that marks languages, and a model for it."""
    tokenizer = {
        "mbart": transformers.MBartTokenizer,
        "mbart50": transformers.MBart50Tokenizer,
    }[kind]()
    config = transformers.MBartConfig(
        vocab_size=len(tokenizer) + 8,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=32,
        decoder_start_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=None,
    )
    return tokenizer, transformers.MBartForConditionalGeneration(config).eval()


@pytest.mark.parametrize("kind", ["mbart", "mbart50"])
def test_texts_begin_with_the_language(kind: str) -> None:
    tokenizer, model = multilingual(kind)
    kwargs = translation(source_lang="en_XX", target_lang="ro_RO", max_target_length=6)
    rows = [{"translation": {"en": "a", "ro": "b"}}]
    built = s2s.build_datasets(splits(rows), tokenizer, kwargs)
    s2s.start_with_language(model, tokenizer, kwargs)
    english, romanian = tokenizer.convert_tokens_to_ids(["en_XX", "ro_RO"])
    (feature,) = built.train
    assert english in feature["input_ids"] and romanian in feature["labels"]
    batch = s2s.seq2seq_collator(tokenizer, model)([feature])
    tokens = model.generate(batch["input_ids"], max_length=6)[0].tolist()
    # As the decoder has learned to begin.
    learned = batch["decoder_input_ids"][0].tolist()
    if kind == "mbart":
        assert tokens[0] == learned[0] == romanian
        assert model.generation_config.forced_bos_token_id is None
    else:
        assert tokens[:2] == learned[:2] == [tokenizer.eos_token_id, romanian]
    # The tokenizer of a second start is in the same state, so that the cache is found.
    again, _ = multilingual(kind)
    other = s2s.build_datasets(splits(rows), again, kwargs)
    assert other.train._fingerprint == built.train._fingerprint
    assert other.validation["labels"][:] == built.validation["labels"][:]


@pytest.mark.parametrize("kind", ["mbart", "mbart50"])
def test_unknown_language(kind: str) -> None:
    tokenizer, _ = multilingual(kind)
    kwargs = translation(source_lang="en", target_lang="ro_RO")
    with pytest.raises(UserError, match=r"data.source_lang is 'en'.*en_XX"):
        s2s.language_codes(tokenizer, kwargs)


def test_other_tokenizers_know_no_languages(
    tokenizer: transformers.PreTrainedTokenizerFast,
) -> None:
    kwargs = translation(source_lang="en", target_lang="ro")
    assert s2s.language_codes(tokenizer, kwargs) is None
    config = tiny_seq2seq.config("t5", len(tokenizer))
    model = transformers.AutoModelForSeq2SeqLM.from_config(config)
    before = model.generation_config.to_dict()
    s2s.start_with_language(model, tokenizer, kwargs)
    assert model.generation_config.to_dict() == before
