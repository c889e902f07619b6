"""Keys that nobody reads."""

import dataclasses
import logging
from typing import Any, ClassVar

import pytest

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.config import fields, validate
from model_hub.huggingface.tasks.question_answering import QuestionAnsweringDataKwargs

COMMON = {"cache_dir": None, "revision": "main", "use_auth_token": False}


# What each dataclass holds if nothing is set; the order is that of the old library.
DEFAULTS: dict[type, dict[str, Any]] = {
    hf.ConfigKwargs: {"pretrained_model_name_or_path": None, **COMMON},
    hf.TokenizerKwargs: {"pretrained_model_name_or_path": None, **COMMON, "use_fast": True},
    hf.ModelKwargs: COMMON,
    hf.OptimizerKwargs: {
        "weight_decay": 0,
        "adafactor": False,
        "learning_rate": 5e-5,
        "max_grad_norm": 1.0,
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "scale_parameter": False,
        "relative_step": False,
    },
    hf.LRSchedulerKwargs: {
        "num_training_steps": 10,
        "lr_scheduler_type": "linear",
        "num_warmup_steps": 0,
    },
    hf.DatasetKwargs: {
        "dataset_name": None,
        "dataset_config_name": None,
        "validation_split_percentage": None,
        "train_file": None,
        "validation_file": None,
    },
}


# Fields that are there only if they are set.
ONLY_IF_SET: dict[type, dict[str, Any]] = {
    hf.ConfigKwargs: {"num_labels": 3, "finetuning_task": "mrpc", "token": "hf_abc"},
    hf.TokenizerKwargs: {"do_lower_case": True, "token": "hf_abc"},
    hf.ModelKwargs: {"pretrained_model_name_or_path": "xnli", "token": "hf_abc"},
}


class TestCheckKeys:
    TYPES: ClassVar[tuple[Any, ...]] = (
        fields.HYPERPARAMETER_TYPES,
        (hf.DatasetKwargs, QuestionAnsweringDataKwargs),
    )

    @pytest.mark.parametrize(
        ("section", "found", "near"),
        [
            ("hyperparameters", "learning_rat", "learning_rate"),
            ("hyperparameters", "pretrained_model_name", "pretrained_model_name_or_path"),
            ("hyperparameters", "lr", "learning_rate"),
            ("hyperparameters", "warmup_steps", "num_warmup_steps"),
            ("hyperparameters", "per_device_train_batch_size", "global_batch_size"),
            ("data", "doc_strid", "doc_stride"),
            ("data", "dataset_nme", "dataset_name"),
            ("data", "max_length", "max_seq_length"),
            ("data", "train_files", "train_file"),
        ],
    )
    def test_misspelt(
        self, section: str, found: str, near: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        sections = {"hyperparameters": {}, "data": {}, section: {found: 1}}
        validate.check_keys(sections["hyperparameters"], sections["data"], *self.TYPES)
        message = f"{section}.{found} is not known; did you mean {near}?"
        assert [(record.levelname, record.message) for record in caplog.records] == [
            ("WARNING", message)
        ]
        with pytest.raises(UserError, match="is not known; did you mean") as caught:
            validate.check_keys(
                sections["hyperparameters"], sections["data"], *self.TYPES, strict=True
            )
        assert message in str(caught.value)

    def test_what_resembles_nothing_may_be_the_trials_own(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            validate.check_keys({"my_secret_sauce": 1}, {}, *self.TYPES)
        assert [record.levelname for record in caplog.records] == ["DEBUG"]

        @dataclasses.dataclass
        class Own:
            my_secret_sauce: int = 0

        types = ((*fields.HYPERPARAMETER_TYPES, Own), self.TYPES[1])
        validate.check_keys({"my_secret_sauce": 1}, {}, *types, strict=True)

    def test_keys_that_are_no_text(self) -> None:
        with pytest.raises(UserError) as caught:
            validate.check_keys({1: 2}, {None: 3}, *self.TYPES, strict=True)  # type: ignore[dict-item]
        assert "hyperparameters.1 is not known" in str(caught.value)
        assert "data.null is not known" in str(caught.value)

    def test_strict_names_all(self) -> None:
        with pytest.raises(UserError) as caught:
            validate.check_keys({"lr": 1, "own": 2}, {"doc_strid": 3}, *self.TYPES, strict=True)
        for key in ("hyperparameters.lr", "hyperparameters.own", "data.doc_strid"):
            assert f"{key} is not known" in str(caught.value)

    def test_every_key_of_the_contract_is_known(self, caplog: pytest.LogCaptureFixture) -> None:
        hparams = {
            name for cls in DEFAULTS for name in DEFAULTS[cls] if cls is not hf.DatasetKwargs
        }
        hparams |= {name for names in ONLY_IF_SET.values() for name in names}
        hparams |= {"model_mode", "use_pretrained_weights", "use_apex_amp", "global_batch_size"}
        hparams |= {"config_name", "tokenizer_name", "model_name"}
        data = {*DEFAULTS[hf.DatasetKwargs], "max_seq_length", "doc_stride", "pad_to_max_length"}
        data |= {"overwrite_cache", "preprocessing_num_workers"}
        with caplog.at_level(logging.DEBUG):
            validate.check_keys(
                dict.fromkeys(hparams, 1), dict.fromkeys(data, 1), *self.TYPES, strict=True
            )
        assert not caplog.records
