"""Whole trainings: tiny ones on rows made in place, and real tweets, better than the baseline."""

import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

import pytest
import tiny
import tokenizers
import transformers
from task_runs import minilm, real_rows, train_here, validations_of, write_rows
from workspaces import ROOT, Config, Workspace, changed

EXAMPLE = ROOT / "examples" / "huggingface" / "token-classification"
Train = Callable[..., tuple[str, dict[str, Any]]]


def sentences(count: int, seed: int) -> list[dict[str, Any]]:
    """Animals are entities; one that "ran" is one with that word."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        words, tags = [], []
        animal = rng.choice(["cat", "dog"])
        for _ in range(rng.randrange(1, 4)):
            words += ["the", animal, *rng.choice([["ran"], ["sat"], []])]
            tags += ["O", f"B-{animal}"]
            if words[-1] in ("ran", "sat"):
                tags.append(f"I-{animal}" if words[-1] == "ran" else "O")
        rows.append({"id": str(number), "tokens": words, "ner_tags": tags})
    return rows


def baseline_accuracy(said: str) -> float:
    return float(said.split("baseline (always 'O')")[1].split("accuracy ")[1].split()[0])


@pytest.fixture
def ner(tmp_path: pathlib.Path) -> Workspace:
    """A tiny model without weights, and a configuration that trains it for 120 batches."""
    root = tmp_path / "context"
    tiny.save(root / "model", "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (root / "ner_trial.py").write_bytes((EXAMPLE / "ner_trial.py").read_bytes())
    config: Config = {
        "name": "ner",
        "entrypoint": "ner_trial:NERTrial",
        "hyperparameters": {
            "model_mode": "token-classification",
            "finetuning_task": "ner",
            "pretrained_model_name_or_path": str(root / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "max_steps": 120,
            "learning_rate": 1e-2,
        },
        "data": {
            "train_file": write_rows(root / "train.json", sentences(160, 1)),
            "validation_file": write_rows(root / "validation.json", sentences(30, 2)),
        },
        "searcher": {"name": "single", "metric": "f1", "smaller_is_better": False},
        "min_validation_period": {"batches": 60},
    }
    return Workspace(root, config)


@pytest.fixture
def train(
    ner: Workspace,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Train:
    """Trains with changes to the configuration; what was said, and the last metrics."""
    monkeypatch.chdir(tmp_path)

    def run(*, code: int = 0, **changes: Any) -> tuple[str, dict[str, Any]]:
        yaml = ner.write_yaml(changed(ner.config, **changes))
        # With --verbose an error has its traceback, and the baseline is shown.
        options = () if code else ("--verbose",)
        said = train_here(yaml, tmp_path / "run", capsys, *options, code=code)
        assert "did you mean" not in said
        return said, {} if code else validations_of(tmp_path / "run")[-1]

    return run


def test_learns_and_saves_the_names_of_the_labels(train: Train, tmp_path: pathlib.Path) -> None:
    said, metrics = train()
    assert "baseline (always 'O'): precision 0.0000, recall 0.0000, f1 0.0000, accuracy 0." in said
    for name in ("precision", "recall", "f1", "f1_cat", "f1_dog", "accuracy", "accuracy_score"):
        assert metrics[name] == 1.0, name
    names = ["B-cat", "B-dog", "I-cat", "I-dog", "O"]
    model = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "run" / "model")
    assert model.config.id2label == dict(enumerate(names))
    tag = transformers.pipeline("token-classification", model=str(tmp_path / "run" / "model"))
    assert [found["entity"] for found in tag("the dog ran")] == ["B-dog", "I-dog"]  # Not the O.
    assert json.loads((tmp_path / "run/model/config.json").read_text())["label2id"]["O"] == 4


def test_all_tokens_and_padding(train: Train) -> None:
    _, metrics = train(
        data__label_all_tokens=True,
        data__pad_to_max_length=True,
        data__max_seq_length=16,
        hyperparameters__max_steps=1,
    )
    assert 0 <= metrics["f1"] < 1 and metrics["accuracy"] < 1


def test_gpt2_without_padding_token(train: Train, ner: Workspace) -> None:
    """A word is one token with the blank before it, and several without."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    entries, merges = [*alphabet, "<|endoftext|>"], []
    for word in ("cat", "dog", "sat", "ran", "the"):
        whole = f"Ġ{word}"
        merges += [(whole[:end], whole[end]) for end in range(1, len(whole))]
        entries += [whole[: end + 1] for end in range(1, len(whole))]
    vocabulary = {entry: number for number, entry in enumerate(dict.fromkeys(entries))}
    folder = ner.root / "gpt2"
    transformers.GPT2Tokenizer(vocab=vocabulary, merges=merges).save_pretrained(folder)
    sizes = {"vocab_size": len(vocabulary), "n_positions": 64, "eos_token_id": 256}
    tiny.CONFIGS["gpt2"](**sizes, bos_token_id=256).save_pretrained(folder)
    said, metrics = train(hyperparameters__pretrained_model_name_or_path=str(folder))
    assert metrics["f1"] > 0.9
    assert metrics["accuracy"] > baseline_accuracy(said) + 0.2


def test_bad_rows_are_named(train: Train, ner: Workspace) -> None:
    rows = sentences(20, 3)
    rows[6]["ner_tags"].append("O")
    file = write_rows(ner.root / "bad.json", rows)
    said, _ = train(code=2, data__validation_file=file)
    assert f"data.validation_file '{file}': different numbers of words" in said
    assert "in 1 row (row 7)" in said
    rows = [{"text": "the cat", "label": 1} for _ in range(4)]
    said, _ = train(code=2, data__train_file=write_rows(ner.root / "worse.json", rows))
    assert "data.train_file" in said and "column text holds string" in said


def test_real_tweets(train: Train, tmp_path: pathlib.Path) -> None:
    """MiniLM finds persons and places in tweets after a minute; 'O' for all words finds none."""
    with_entities = [row for row in real_rows("ner/train.json") if set(row["ner_tags"]) != {"O"}]
    said, metrics = train(
        hyperparameters__pretrained_model_name_or_path=minilm(),
        hyperparameters__use_pretrained_weights=True,
        hyperparameters__max_steps=48,
        hyperparameters__learning_rate=5e-4,
        data__train_file=write_rows(tmp_path / "train.json", with_entities[:384]),
        data__validation_file=write_rows(
            tmp_path / "validation.json", real_rows("ner/validation.json")[:150]
        ),
        data__max_seq_length=48,
        min_validation_period=...,
    )
    assert "baseline (always 'O'): precision 0.0000, recall 0.0000, f1 0.0000" in said
    assert metrics["f1"] > 0.25
    assert metrics["f1_person"] > 0.3
    assert metrics["accuracy"] > baseline_accuracy(said)
    assert "f1_creative-work" in metrics
