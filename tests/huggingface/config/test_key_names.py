"""Unknown keys: which known one is meant, and whether the trial itself reads them."""

import dataclasses
import importlib
import logging
import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.experiment.schema.fields import FIELDS
from model_hub.experiment.trial_source import names_in_source
from model_hub.huggingface.config import fields
from model_hub.huggingface.config.config_findings import check_key_names
from model_hub.huggingface.config.counterparts import COUNTERPARTS
from model_hub.huggingface.config.key_names import (
    KnownKeys,
    top_level_findings,
    unknown_keys,
    what_is_meant,
)
from model_hub.huggingface.tasks import TASKS
from model_hub.huggingface.tasks.question_answering import QuestionAnsweringDataKwargs

QA = KnownKeys(
    data_types=(hf.DatasetKwargs, QuestionAnsweringDataKwargs),
    declares_data=True,
    source=frozenset(),
)
ALL_DATA = tuple(cls for task in TASKS for cls in task.data_kwargs)


@pytest.mark.parametrize(
    ("section", "found", "instead"),
    [
        ("hyperparameters", "learning_rat", "did you mean learning_rate?"),
        ("hyperparameters", "Learning-Rate", "did you mean learning_rate?"),
        (
            "hyperparameters",
            "pretrained_model_name",
            "did you mean pretrained_model_name_or_path?",
        ),
        ("hyperparameters", "lr", "write hyperparameters.learning_rate: 1"),
        ("hyperparameters", "warmup_steps", "write hyperparameters.num_warmup_steps: 1"),
        ("hyperparameters", "eval_steps", "write min_validation_period: {batches: 1} at the top"),
        ("hyperparameters", "evaluation-strategy", "write min_validation_period: {epochs: 1}"),
        ("hyperparameters", "lora_rank", "write hyperparameters.peft: {peft_type: LORA, r: 1}"),
        ("hyperparameters", "seed", "write reproducibility.experiment_seed: 1"),
        ("hyperparameters", "report_to", "remove it: "),
        ("hyperparameters", "min_validation_period", "it is a key of the top level, not of"),
        ("hyperparameters", "doc_stride", "it is a key of section data: write data.doc_stride"),
        (
            "data",
            "weight_decay",
            "it is a key of section hyperparameters: write hyperparameters.weight_decay",
        ),
        ("data", "doc_strid", "did you mean doc_stride?"),
        ("data", "max_length", "write data.max_seq_length: 1"),
        ("data", "cutoff_len", "write data.max_seq_length: 1"),
        ("data", "train_files", "did you mean train_file?"),
        ("data", "batch_size", "write hyperparameters.global_batch_size"),
    ],
)
def test_what_is_meant(section: str, found: str, instead: str) -> None:
    values: dict[str, dict[str, Any]] = {"hyperparameters": {}, "data": {}, section: {found: 1}}
    (finding,) = unknown_keys(values["hyperparameters"], values["data"], QA)
    assert finding.message.startswith(f"{section}.{found} is not known; {instead}")
    assert finding.severity == "error" and finding.unknown and finding.path == (section, found)


def test_the_counterpart_is_one_that_the_trial_has() -> None:
    (summaries,) = (task for task in TASKS if task.model_mode == "seq2seq-lm")
    known = KnownKeys(data_types=summaries.data_kwargs, declares_data=True)
    assert "data.max_source_length" in what_is_meant(("data", "cutoff_len"), 64, known)
    # There is no data.packing in question answering.
    assert what_is_meant(("data", "sample_packing"), True, QA) == ""


@pytest.mark.parametrize(
    ("path", "value", "instead"),
    [
        (("learning_rate",), 1, "it is a key of section hyperparameters: write hyperparameters.l"),
        (("train_file",), "a", "it is a key of section data: write data.train_file"),
        (("seed",), 7, "write reproducibility.experiment_seed: 7"),
        (("lora_alpha",), 7, "write hyperparameters.peft: {peft_type: LORA, lora_alpha: 7}"),
        (("searchr",), {}, "did you mean searcher?"),
        (("searcher", "metrc"), "f1", "did you mean metric?"),
        (
            ("searcher", "max_steps"),
            5,
            "it is a key of section hyperparameters: write hyperparameters.max_steps",
        ),
        (("searcher", "min_validation_period"), 5, "it is a key of the top level, not of section"),
        (("warehouse",), 5, "known are bind_mounts, "),
    ],
)
def test_keys_outside_of_the_trials_sections(
    path: tuple[str, ...], value: Any, instead: str
) -> None:
    config: dict[str, Any] = {"searcher": {"name": "single", "metric": "f1"}, "entrypoint": "a:B"}
    node = config
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    (finding,) = top_level_findings(config, QA)
    assert finding.message.startswith(f"{'.'.join(path)} is not known; {instead}")
    assert finding.severity == "error"


@pytest.mark.parametrize(
    ("name", "value", "declared"),
    [("my_sauce", 1, True), ("my_sauce", 1, False), ("learning_rat", None, True)],
)
def test_what_may_be_another_programs_is_a_warning(name: str, value: Any, declared: bool) -> None:
    known = dataclasses.replace(QA, declares_data=declared)
    for sections in (({name: value}, {}), ({}, {name: value})):
        assert [f.severity for f in unknown_keys(*sections, known)] == ["warning"]


def test_declared_keys_are_known() -> None:
    @dataclasses.dataclass
    class Own:
        my_sauce: int = 0

    known = dataclasses.replace(QA, hyperparameter_types=(*fields.HYPERPARAMETER_TYPES, Own))
    assert not list(unknown_keys({"my_sauce": 1}, {}, known))


def test_keys_that_are_no_text() -> None:
    found = [finding.message for finding in unknown_keys({1: 2}, {None: 3}, QA)]  # type: ignore[dict-item]
    assert "hyperparameters.1 is not known" in found[0] and "data.null is not known" in found[1]


# ------------------------------------------------------------------------------------- the source

TRIAL = """
import model_hub.huggingface as hf
import helper_of_keys
{imports}

class Trial(hf.BaseTransformerTrial):
    # weight_decai is only in a comment.
    def build_training_data_loader(self):
        rate = self.hparams.learning_rat, self.hparams["warmup_ration"]
        return helper_of_keys.load(self.data_config)
"""
HELPER = """
def load(data_config):
    return data_config.get("dataset_nam")
"""
Make = Callable[..., Any]


@pytest.fixture
def make_trial(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Imports a trial and the modules beside it."""

    def make(**modules: str) -> Any:
        for name, text in {"helper_of_keys": HELPER, **modules}.items():
            (tmp_path / f"{name}.py").write_text(text)
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module("trial_of_keys").Trial

    monkeypatch.syspath_prepend(str(tmp_path))
    return make


def test_what_the_source_mentions_is_no_error(make_trial: Make) -> None:
    known = KnownKeys.of(make_trial(trial_of_keys=TRIAL.format(imports="")))
    hparams = {"learning_rat": 1, "warmup_ration": 1, "weight_decai": 1, "adam_epsilo": 1}
    found = {
        f.path[-1]: f for f in unknown_keys(hparams, {"dataset_nam": 1, "train_fil": 1}, known)
    }
    assert {name: finding.severity for name, finding in found.items()} == {
        "learning_rat": "warning",
        "warmup_ration": "warning",
        "weight_decai": "error",
        "adam_epsilo": "error",
        "train_fil": "error",
    }
    assert "declare it in the trial's hyperparameter_types" in found["learning_rat"].message
    assert "declare" not in found["weight_decai"].message


def test_sources_of_parents_and_of_what_they_import(make_trial: Make) -> None:
    parent = TRIAL.format(imports="").replace("class Trial", "class Parent")
    child = "from parent_of_keys import Parent\n\n\nclass Trial(Parent):\n    own_name = 1\n"
    names = names_in_source(make_trial(parent_of_keys=parent, trial_of_keys=child))
    assert names is not None
    assert {"own_name", "learning_rat", "warmup_ration", "dataset_nam"} <= names
    # The library's own source is not the trial's.
    assert "weight_decay" not in names


def test_a_trial_without_a_source() -> None:
    space: dict[str, Any] = {"hf": hf, "__name__": "nowhere"}
    exec("class Trial(hf.BaseTransformerTrial):\n    pass", space)
    assert names_in_source(space["Trial"]) is None
    known = KnownKeys.of(space["Trial"])
    assert [f.severity for f in unknown_keys({"learning_rat": 1}, {}, known)] == ["warning"]


def test_a_trial_that_checks_its_hyperparameters_itself(
    make_trial: Make, caplog: pytest.LogCaptureFixture
) -> None:
    trial = make_trial(trial_of_keys=TRIAL.format(imports=""))
    with pytest.raises(UserError, match=r"train_fil is not known; did you mean train_file\?$"):
        check_key_names(trial, {"weight_decai": 1}, {"train_fil": 1})
    with caplog.at_level(logging.WARNING):
        check_key_names(trial, {"my_sauce": 1}, {})
    assert "hyperparameters.my_sauce is not known; remove it, or" in caplog.text


# -------------------------------------------------------------------------------------- the table

KNOWN = KnownKeys(data_types=(hf.DatasetKwargs, *ALL_DATA), declares_data=True)


class TestCounterparts:
    NAMES: ClassVar[list[str]] = [name for entry in COUNTERPARTS for name in entry.names.split()]

    def test_each_name_once_and_none_is_a_key(self) -> None:
        assert len(set(self.NAMES)) == len(self.NAMES)
        assert not set(self.NAMES) & KNOWN.names("hyperparameters")

    def test_they_lead_to_keys_that_exist(self) -> None:
        texts = [text for entry in COUNTERPARTS for text in entry.instead]
        for text in texts:
            assert re.match(r"write |remove it", text), text
            for section in ("hyperparameters", "data"):
                for name in re.findall(rf"\b{section}\.(\w+)", text):
                    assert name in KNOWN.names(section), text
            for name in re.findall(r"(\w+)(?:: \S+)?(?: or .*)? at the top level", text):
                assert name.strip("{}") in FIELDS or "}" in text, text

    @pytest.mark.parametrize(
        "name",
        """eval_steps save_steps logging_steps eval_strategy save_strategy seed report_to
        push_to_hub load_best_model_at_end lora_r lora_rank lora_alpha lora_target lora_dropout
        class_weights per_device_train_batch_size per_device_eval_batch_size micro_batch_size
        cutoff_len sequence_len val_set_size num_epochs output_dir run_name warmup_steps
        base_model model_name_or_path adapter torch_dtype sample_packing""".split(),
    )
    def test_names_that_users_have_in_their_fingers(self, name: str) -> None:
        assert name in self.NAMES
