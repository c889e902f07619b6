"""Features, the cache of them, the labels of a model that was fine-tuned before, the baseline."""

import logging
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import datasets
import pytest
import sklearn.metrics
import text_models
import tiny
import torch
import transformers

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.tasks import text_classification as tc

PAIRS = {
    "idx": [7, 8, 9],
    "sentence1": ["the cat sat", "the dog", "the dog ran the dog ran"],
    "sentence2": ["where", "the dog sat the dog sat", "the cat"],
    "label": [1, 0, 1],
}


def splits_of(rows: dict[str, list[Any]], **features: Any) -> dict[str, datasets.Dataset]:
    dataset = datasets.Dataset.from_dict(rows)
    for name, feature in features.items():
        dataset = dataset.cast_column(name, feature)
    return {"train": dataset, "validation": dataset}


def built(
    splits: dict[str, datasets.Dataset],
    name: str | None,
    config: transformers.PretrainedConfig | None = None,
    **settings: Any,
) -> tc.TextClassificationDatasets:
    return tc.build_datasets(
        splits,
        tiny.word_tokenizer(),
        tc.TextClassificationDataKwargs(**settings),
        tc.find_task(splits, name),
        config,
    )


def test_two_texts_are_one_sequence() -> None:
    prepared = built(splits_of(PAIRS), "mrpc")
    tokenizer = tiny.word_tokenizer()
    texts = [tokenizer.decode(row["input_ids"]) for row in prepared.train]
    assert texts[0] == "[CLS] the cat sat [SEP] where [SEP]"
    assert prepared.train["labels"][:] == [1, 0, 1]
    assert set(prepared.train.column_names) == {*tokenizer("the cat"), "labels"}
    assert prepared.train.to_dict() == prepared.validation.to_dict()


def test_one_text() -> None:
    prepared = built(splits_of({"sentence": ["the cat", "ran"], "label": [0, 1]}), "sst2")
    texts = [tiny.word_tokenizer().decode(row["input_ids"]) for row in prepared.train]
    assert texts == ["[CLS] the cat [SEP]", "[CLS] ran [SEP]"]


def test_lengths() -> None:
    cut = built(splits_of(PAIRS), "mrpc", max_seq_length=7)
    # Of what is too long, the longer text loses its end.
    assert tiny.word_tokenizer().decode(cut.train[2]["input_ids"]) == (
        "[CLS] the dog [SEP] the cat [SEP]"
    )
    padded = built(splits_of(PAIRS), "mrpc", max_seq_length=20, pad_to_max_length=True)
    assert {len(row["input_ids"]) for row in padded.train} == {20}
    with pytest.raises(UserError, match=r"data\.max_seq_length is 40, but the model takes .* 32"):
        built(splits_of(PAIRS), "mrpc", tiny.bert_config(), max_seq_length=40)


@pytest.mark.parametrize("labels", [[5, 0, 3], [2.5, 0.0, 4.75]])
def test_numbers_become_floats(labels: list[float]) -> None:
    """Also whole ones, as a loss of squared differences needs it."""
    prepared = built(splits_of({**PAIRS, "label": labels}), "stsb")
    batch = tc.padding_collator(tiny.word_tokenizer())(list(prepared.train))
    assert batch["labels"].dtype == torch.float32
    assert batch["labels"].tolist() == labels


@pytest.mark.parametrize("labels", [["yes", "no", "yes"], ["1", "0", "1"], [True, False, True]])
def test_labels_of_any_type_become_numbers(labels: list[Any]) -> None:
    # A column of that name in the data must not lend its type to the numbers.
    prepared = built(splits_of({**PAIRS, "label": labels, "labels": ["a", "b", "c"]}), None)
    batch = tc.padding_collator(tiny.word_tokenizer())(list(prepared.train))
    assert batch["labels"].dtype == torch.int64
    assert batch["labels"].tolist() == [1, 0, 1]


def test_both_validation_splits_of_mnli() -> None:
    rows = {"premise": ["the cat"] * 3, "hypothesis": ["ran"] * 3, "label": [0, 1, 2]}
    one = datasets.Dataset.from_dict(rows)
    splits = {
        "train": one,
        "validation_matched": one,
        "validation_mismatched": one.select([2, 2]),
    }
    prepared = built(splits, "mnli")
    assert prepared.validation["labels"][:] == [0, 1, 2, 2, 2]
    assert prepared.validation[tc.SPLIT_COLUMN][:] == [0, 0, 0, 1, 1]
    assert tc.SPLIT_COLUMN not in prepared.train.column_names
    found = tc.log_majority_baseline(tc.find_task(splits, "mnli"), prepared)
    assert found == {"accuracy": pytest.approx(1 / 3), "accuracy_mismatched": 0.0}


def test_baselines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "model_hub")
    splits = splits_of(PAIRS)
    found = tc.log_majority_baseline(tc.find_task(splits, "mrpc"), built(splits, "mrpc"))
    f1 = sklearn.metrics.f1_score([1, 0, 1], [1, 1, 1])
    expected = {"accuracy": 2 / 3, "f1": f1, "combined_score": (2 / 3 + f1) / 2}
    assert found == pytest.approx(expected)
    assert "most frequent label of the training data, 'equivalent'): accuracy 0.6667" in caplog.text
    splits = splits_of({**PAIRS, "label": [1.0, 2.0, 6.0]})
    found = tc.log_majority_baseline(tc.find_task(splits, None), built(splits, None))
    assert found["mse"] == pytest.approx(14 / 3) and math.isnan(found["pearson"])
    assert "always 3.0000, the mean of the training labels): mse 4.6667" in caplog.text


def model_with(names: Sequence[str]) -> transformers.PreTrainedModel:
    config = tiny.bert_config(id2label=dict(enumerate(names)))
    return transformers.BertForSequenceClassification(config)


def fitted(
    names: Sequence[str], labels: list[Any], task: str | None, **features: Any
) -> tuple[tc.TextClassificationTask, transformers.PreTrainedModel]:
    model = model_with(names)
    config = model_with(names).config
    found = tc.find_task(splits_of({**PAIRS, "label": labels}, **features), task)
    found = tc.align_labels(found, model, config, tiny.word_tokenizer())
    assert config.id2label == model.config.id2label
    assert config.problem_type == model.config.problem_type
    return found, model


def test_names_of_the_data_are_saved_with_the_model(tmp_path: pathlib.Path) -> None:
    task, model = fitted(["LABEL_0", "LABEL_1"], [1, 0, 1], "mrpc")
    assert task.label_numbers[1] == 1
    model.save_pretrained(tmp_path)
    saved = transformers.AutoConfig.from_pretrained(tmp_path)
    assert saved.id2label == {0: "not_equivalent", 1: "equivalent"}
    assert saved.label2id == {"not_equivalent": 0, "equivalent": 1}
    assert saved.problem_type == "single_label_classification"


def test_labels_get_the_numbers_that_the_model_knows(caplog: pytest.LogCaptureFixture) -> None:
    names = ["EQUIVALENT", "not_Equivalent"]
    task, model = fitted(names, [1, 0, 1], "mrpc")
    assert [task.label_numbers[value] for value in (1, 0)] == [0, 1]
    # F1 is still about the pairs that mean the same.
    assert task.positive == 0
    assert task.label_names == ("EQUIVALENT", "not_Equivalent")
    assert model.config.id2label == dict(enumerate(names))
    task, _ = fitted(["b", "c", "A"], ["a", "b", "c"], None)
    assert [task.label_numbers[value] for value in "abc"] == [2, 0, 1]
    assert "ignored" not in caplog.text


def test_other_names_are_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    task, model = fitted(["cheap", "dear"], ["no", "yes", "no"], None)
    assert task.label_numbers == {"no": 0, "yes": 1}
    assert model.config.id2label == {0: "no", 1: "yes"}
    assert "'cheap', 'dear', but those of the data are 'no', 'yes'" in caplog.text


def test_numbers_of_own_data_are_those_of_the_model(caplog: pytest.LogCaptureFixture) -> None:
    task, model = fitted(["cheap", "dear"], [0, 1, 0], None)
    assert task.label_numbers == {0: 0, 1: 1}
    assert model.config.id2label == {0: "cheap", 1: "dear"}
    assert "ignored" not in caplog.text


def test_regression_is_said_in_the_configuration() -> None:
    task, model = fitted(["LABEL_0"], [1.0, 2.0, 0.5], None)
    assert task.is_regression and model.config.problem_type == "regression"


def test_model_that_needs_a_padding_token() -> None:
    config = tiny.CONFIGS["gpt2"](num_labels=2)
    model = transformers.GPT2ForSequenceClassification(config)
    task = tc.find_task(splits_of(PAIRS), "mrpc")
    tc.align_labels(task, model, config, tiny.word_tokenizer())
    prepared = built(splits_of(PAIRS), "mrpc")
    hf.remove_unused_columns(model, prepared.train)
    batch = tc.padding_collator(tiny.word_tokenizer())(list(prepared.train))
    assert torch.isfinite(model(**batch).loss)


def test_tokenizer_without_a_padding_token_pads_with_its_end() -> None:
    """As GPT-2's and Llama's: a row's prediction still does not depend on its neighbours."""
    tokenizer = text_models.byte_level_tokenizer(["the cat sat on the mat"], 270)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=32, num_labels=2
    )
    config.pad_token_id = 7  # Of another tokenizer: the last token would not be found.
    model = transformers.GPT2ForSequenceClassification(config).eval()
    rows = {"text": ["the cat", "", "the cat sat on the mat"], "label": ["a", "b", "a"]}
    splits = {name: datasets.Dataset.from_dict(rows) for name in ("train", "validation")}
    task = tc.align_labels(tc.find_task(splits, None), model, config, tokenizer)
    assert tokenizer.pad_token == "<|endoftext|>" and config.pad_token_id == tokenizer.pad_token_id
    collator = tc.padding_collator(tokenizer)
    found = []
    for pad_to_max_length in (False, True):
        kwargs = tc.TextClassificationDataKwargs(
            max_seq_length=24, pad_to_max_length=pad_to_max_length
        )
        features = list(tc.build_datasets(splits, tokenizer, kwargs, task).train)
        for batches in ([features], [[row] for row in features]):
            with torch.no_grad():
                found.append(torch.cat([model(**collator(batch)).logits for batch in batches]))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-5, atol=1e-6)
    tokenizer.eos_token = tokenizer.pad_token = None
    with pytest.raises(UserError, match=r"no padding token.*hyperparameters\.tokenizer_name"):
        tc.align_labels(task, model, config, tokenizer)


def test_number_of_labels_in_the_yaml(caplog: pytest.LogCaptureFixture) -> None:
    for given in ({}, {"num_labels": 3}):
        hparams = dict(given)
        tc.set_num_labels(hparams, 3)
        assert hparams == {"num_labels": 3} and not caplog.text
    hparams = {"num_labels": 5}
    tc.set_num_labels(hparams, 3)
    assert hparams == {"num_labels": 3}
    assert "num_labels is 5, but the data has 3" in caplog.text


@pytest.mark.parametrize(("columns", "special"), [(("sentence1",), 2), (None, 3)])
def test_special_tokens_need_room(columns: tuple[str, ...] | None, special: int) -> None:
    """Tokenizers do not complain, and do not cut at all."""
    splits = splits_of(PAIRS)
    task = tc.find_task(splits, None, columns)
    for length in (special, special + 1):
        kwargs = tc.TextClassificationDataKwargs(max_seq_length=length)
        if length == special:
            with pytest.raises(UserError, match=f"is {special}, .* {special} special tokens"):
                tc.build_datasets(splits, tiny.word_tokenizer(), kwargs, task)
        else:
            rows = tc.build_datasets(splits, tiny.word_tokenizer(), kwargs, task).train
            assert {len(ids) for ids in rows["input_ids"]} == {length}
