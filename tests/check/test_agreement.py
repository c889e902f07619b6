"""What check calls an error, training refuses in the same words, and nothing else.

Mistakes in keys and values are planted at random. The trial raises an error as soon as it has
checked its hyperparameters, so that nothing is trained: that error says that training has found
nothing.
"""

import contextlib
import copy
import datetime
import io
import pathlib
import shutil
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from workspaces import ENTRYPOINT

from model_hub import cli
from model_hub.check import engine
from model_hub.experiment import yaml_io
from model_hub.huggingface.config.counterparts import COUNTERPARTS

TRIAL = """
import qa_trial
from model_hub.errors import UserError


class StoppingTrial(qa_trial.QATrial):
    def __init__(self, context):
        self.check_hparams()
        raise UserError("training has found nothing")
"""
NOTHING = "training has found nothing"
CONFIG: dict[str, Any] = {
    "name": "x",
    "entrypoint": ENTRYPOINT.replace("qa_trial:QATrial", "stopping_trial:StoppingTrial"),
    "hyperparameters": {
        "model_mode": "question-answering",
        "pretrained_model_name_or_path": "google-bert/bert-base-uncased",
        "use_pretrained_weights": True,
        "global_batch_size": 8,
        "max_steps": 6,
        "learning_rate": {"type": "log", "base": 10, "minval": -5, "maxval": -3},
        "warmup_ratio": 0.1,
        "optim": "adamw_torch",
        "gradient_accumulation_steps": 2,
        "peft": {"peft_type": "LORA", "r": 8, "lora_dropout": 0.1},
    },
    "data": {
        "dataset_name": "rajpurkar/squad",
        "max_seq_length": 96,
        "doc_stride": 32,
        "n_best_size": 5,
    },
    "searcher": {
        "name": "adaptive_asha",
        "metric": "f1",
        "smaller_is_better": False,
        "max_trials": 3,
        "max_time": 6,
        "time_metric": "batches",
    },
    "min_validation_period": {"batches": 2},
    "min_checkpoint_period": {"batches": 2},
    "scheduling_unit": 2,
    "checkpoint_policy": "best",
    "reproducibility": {"experiment_seed": 3},
    "optimizations": {"aggregation_frequency": 2, "mixed_precision": "O0"},
    "max_restarts": 2,
}
# What else check looks at: files, and what a master makes of the command.
LEFT_ALONE = {"entrypoint", "dataset_name", "data"}
VALUES = st.sampled_from(
    [
        None, True, False, 0, 1, -1, 3, 16, 2.0, 0.5, -0.5, 10**26, 2**63, 99999999999, 1e300,
        float("nan"), float("inf"), "", "x", "16", "1e-3", "true", "O1", "none", "single", "f2",
        datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1, 12), b"x", [], [1], ["a"], {},
        {"a": 1}, {"epochs": 1}, {"batches": 0}, {"batches": 500}, {"batches": 2.0}, {"type": "x"},
        {"type": "int", "minval": 1, "maxval": 3}, {"type": "double", "minval": 0, "maxval": 2},
        {"type": "categorical", "vals": [1, "x", None]}, {"type": "log", "minval": 1, "maxval": 2},
        {"rank": 8}, {"r": "8"}, {"peft_type": "LORRA"}, "question-answering", "base", "random",
    ]
)  # fmt: skip
NAMES = st.sampled_from(
    [name for entry in COUNTERPARTS for name in entry.names.split() if "." not in name]
    + ["learning_rate", "doc_stride", "searcher", "own_sauce", "metrics", "", "fp16", "peft", "a b"]
)


def sections_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [value for value in config.values() if isinstance(value, dict)]
    return [config, *inner, *(v for node in inner for v in node.values() if isinstance(v, dict))]


@st.composite
def broken(draw: st.DrawFn) -> dict[str, Any]:
    """The configuration with one to three mistakes, or what may be one."""
    config = copy.deepcopy(CONFIG)
    for _ in range(draw(st.integers(1, 3))):
        section = draw(st.sampled_from(sections_of(config)))
        keys = [key for key in section if key not in LEFT_ALONE]
        action = draw(st.sampled_from(["value", "value", "misspelt", "other", "moved", "removed"]))
        if action == "other" or not keys:
            section[draw(NAMES)] = copy.deepcopy(draw(VALUES))
            continue
        key = draw(st.sampled_from(keys))
        if action == "value":
            section[key] = copy.deepcopy(draw(VALUES))
        elif action == "removed":
            del section[key]
        elif action == "moved":
            value = section.pop(key)
            draw(st.sampled_from(sections_of(config)))[key] = value
        elif isinstance(key, str) and key:
            at = draw(st.integers(0, len(key) - 1))
            section[key[:at] + draw(st.sampled_from(["", "x", "_"])) + key[at + 1 :]] = section.pop(
                key
            )
    return config


@pytest.fixture(scope="module")
def folder(context: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("agreement") / "context"
    shutil.copytree(context, folder)
    (folder / "stopping_trial.py").write_text(TRIAL)
    return folder


def train(folder: pathlib.Path, text: str) -> list[str]:
    """The lines of the error with which a training ends."""
    file = folder / "broken.yaml"
    file.write_text(text)
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        run = str(folder.parent / "run")
        code = cli.main(["train", str(file), "--output-dir", run])
    message = errors.getvalue().partition("model-hub: error: ")[2]
    assert code == 2 and message, errors.getvalue()
    return [line.removesuffix(".") for line in message.splitlines() if line.strip()]


@hypothesis.settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(broken())
def test_check_and_training_agree(folder: pathlib.Path, config: dict[str, Any]) -> None:
    text = yaml_io.dump_config(config)
    report = engine.check_config(text, folder)
    errors = [finding.message for finding in report.findings if finding.severity == "error"]
    found = train(folder, text)
    missing = [error for error in errors if error.startswith("missing from the configuration: ")]
    if len(missing) == len(errors):
        # The trial names these, in one message.
        assert found == [NOTHING] if not errors else found[0].startswith(missing[0][:30])
    else:
        assert sorted(found) == sorted(set(errors) - set(missing))
