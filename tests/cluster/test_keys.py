"""The keys of a configuration as a trial on a cluster gets it, with all that a master fills in."""

import importlib
import pathlib
from typing import Any

import pytest
from expconf import complete, sample
from workspaces import ENTRYPOINT, EXAMPLE

from model_hub.errors import UserError
from model_hub.huggingface.config.config_findings import check_settings

CONFIG: dict[str, Any] = {
    "name": "keys",
    "entrypoint": ENTRYPOINT,
    "hyperparameters": {
        "model_mode": "question-answering",
        "pretrained_model_name_or_path": "google-bert/bert-base-uncased",
        "use_pretrained_weights": True,
        "global_batch_size": 8,
        "max_steps": 2,
        "learning_rate": {"type": "log", "base": 10, "minval": -5, "maxval": -3},
    },
    "data": {"dataset_name": "rajpurkar/squad", "max_seq_length": 96, "doc_stride": 32},
    "searcher": {
        "name": "random",
        "metric": "f1",
        "smaller_is_better": False,
        "max_trials": 3,
    },
}


def check(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Checks what a trial gets of a configuration; returns the warnings."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    trial = importlib.import_module("qa_trial").QATrial
    assert pathlib.Path(importlib.import_module("qa_trial").__file__ or "").is_file()
    full = complete(config, "/checkpoints", slots=2)
    chosen = sample(full["hyperparameters"])
    return check_settings(trial, full, slots=2, unsmoothed_modes={}, chosen=chosen)


def test_what_a_master_fills_in_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(CONFIG, monkeypatch) == []


def test_keys_of_a_newer_master_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = {**CONFIG, "brand_new": {"a": 1}, "searcher": {**CONFIG["searcher"], "colour": 1}}
    assert check(newer, monkeypatch) == []


@pytest.mark.parametrize(
    ("section", "name", "message"),
    [
        ("hyperparameters", "learning_rat", "did you mean learning_rate?"),
        ("hyperparameters", "lora_r", "write hyperparameters.peft: {peft_type: LORA, r: 1}"),
        ("data", "doc_strid", "did you mean doc_stride?"),
        ("searcher", "max_trails", "did you mean max_trials?"),
        ("", "min_valdation_period", "did you mean min_validation_period?"),
        ("", "eval_steps", "write min_validation_period: {batches: 1} at the top level"),
        ("optimizations", "mixed_precison", "did you mean mixed_precision?"),
    ],
)
def test_misspelt(section: str, name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, Any] = {section: {**CONFIG.get(section, {}), name: 1}}
    config = {**CONFIG, **(changes if section else {name: 1})}
    key = f"{section}.{name}".strip(".")
    with pytest.raises(UserError) as caught:
        check(config, monkeypatch)
    assert str(caught.value).startswith(f"{key} is not known; {message}")
    assert len(str(caught.value).splitlines()) == 1
