"""What is missing from the hyperparameters, and the length of the training."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.config.config_findings import check_settings
from model_hub.huggingface.config.hparams import check_hparams, training_length
from model_hub.utils import AttrDict


class TestCheckHparams:
    GOOD: ClassVar[dict[str, Any]] = {
        "model_mode": "base",
        "pretrained_model_name_or_path": "x",
        "global_batch_size": 8,
        "use_pretrained_weights": True,
    }

    def test_all_that_is_missing_is_named_at_once(self) -> None:
        with pytest.raises(UserError) as caught:
            check_hparams(AttrDict(), {})
        for name in (
            "model_mode",
            "pretrained_model_name_or_path",
            "num_train_epochs",
            "max_steps",
            "searcher.max_length",
            "global_batch_size",
        ):
            assert name in str(caught.value)

    @pytest.mark.parametrize("name", ["max_train_samples", "max_eval_samples"])
    def test_limits_of_the_rows_belong_to_the_data(self, name: str) -> None:
        hparams = AttrDict({**self.GOOD, "num_training_steps": 5, name: 3})
        with pytest.raises(UserError, match=rf"write data\.{name} instead"):
            check_hparams(hparams, {})
        with pytest.raises(UserError, match=rf"write data\.{name} instead"):
            check_settings(
                hf.BaseTransformerTrial, {"hyperparameters": hparams}, slots=1, unsmoothed_modes={}
            )

    def test_names_of_the_parts_suffice(self) -> None:
        hparams = {
            name: value for name, value in self.GOOD.items() if "pretrained_model" not in name
        }
        hparams |= {"num_training_steps": 5, "config_name": "a", "tokenizer_name": "b"}
        with pytest.raises(UserError, match="pretrained_model_name_or_path"):
            check_hparams(AttrDict(hparams), {})
        check_hparams(AttrDict(hparams, model_name="c"), {})
        # Weights that are not loaded need no name.
        check_hparams(AttrDict(hparams, use_pretrained_weights=False), {})

    @pytest.mark.parametrize(
        ("hparams", "config", "steps"),
        [
            ({"num_training_steps": 7}, {"searcher": {"max_length": {"batches": 500}}}, 7),
            ({}, {"searcher": {"max_length": {"batches": 500}}}, 500),
            ({}, {"searcher": {"max_length": {"records": 100}}}, 12),
            ({}, {"searcher": {"max_length": {"records": 1}}}, 1),
            ({}, {"searcher": {"max_length": {"epochs": 2}}, "records_per_epoch": 100}, 24),
            ({}, {"searcher": {"max_time": 9, "time_metric": "batches"}}, 9),
            ({"max_steps": 3, "num_train_epochs": 2}, {}, 3),
            # Of these only the training loader knows how many batches they are.
            ({}, {"searcher": {"max_length": {"epochs": 2}}}, None),
            ({}, {"searcher": {"max_length": {"epochs": 2}}, "records_per_epoch": 7}, None),
            (
                {},
                {
                    "searcher": {"max_length": {"epochs": 2}},
                    "records_per_epoch": 100,
                    "data": {"max_train_samples": 50},
                },
                None,
            ),
            ({}, {"searcher": {"max_time": 9, "time_metric": "epochs"}}, None),
            ({"num_train_epochs": 2}, {}, None),
            ({"num_train_epochs": 2}, {"records_per_epoch": 100}, None),
        ],
    )
    def test_number_of_training_steps(
        self, form: Callable[[Any], Any], hparams: dict[str, Any], config: Any, steps: int | None
    ) -> None:
        given = form({**self.GOOD, **hparams})
        check_hparams(given, form(config))
        assert given["num_training_steps"] == steps

    def test_pretrained_weights_are_the_default(
        self, form: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        hparams = form({**self.GOOD, "num_training_steps": 5})
        check_hparams(hparams, {})
        assert not caplog.records
        del hparams["use_pretrained_weights"]
        check_hparams(hparams, {})
        assert hparams["use_pretrained_weights"] is True
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "hyperparameters.use_pretrained_weights" in caplog.text


def test_weights_that_are_null_are_the_pretrained_ones() -> None:
    hparams = {
        "model_mode": "base",
        "pretrained_model_name_or_path": "x",
        "global_batch_size": 1,
        "max_steps": 1,
        "use_pretrained_weights": None,
    }
    check_hparams(hparams, {})
    assert hparams["use_pretrained_weights"] is True


class TestTrainingLength:
    def test_the_first_counts(self) -> None:
        searcher = {"max_length": {"epochs": 3}, "max_time": 4, "time_metric": "batches"}
        hparams: dict[str, Any] = {"max_steps": 1, "num_train_epochs": 2, "num_training_steps": 5}
        config: dict[str, Any] = {"searcher": searcher}
        expected = [("batches", 1), ("epochs", 2), ("epochs", 3), ("batches", 4), ("batches", 5)]
        removals: list[tuple[dict[str, Any], str]] = [
            (hparams, "max_steps"),
            (hparams, "num_train_epochs"),
            (searcher, "max_length"),
            (searcher, "max_time"),
            (hparams, "num_training_steps"),
        ]
        for length, (place, key) in zip(expected, removals, strict=True):
            assert training_length(hparams, config) == length
            del place[key]
        assert training_length(hparams, config) is None
        assert training_length({}, {}) is None

    @pytest.mark.parametrize("name", ["max_steps", "num_train_epochs", "num_training_steps"])
    @pytest.mark.parametrize("value", [0, -1])
    def test_too_short(self, name: str, value: int) -> None:
        with pytest.raises(UserError, match=rf"hyperparameters\.{name} is {value}.*at least 1"):
            training_length({name: value}, {})

    @pytest.mark.parametrize("value", ["x", 0, 1.5, True, [1]])
    def test_wrong_time(self, value: Any) -> None:
        searcher = {"max_time": value, "time_metric": "batches"}
        with pytest.raises(UserError, match=r"searcher\.max_time is .*whole number above 0"):
            training_length({}, {"searcher": searcher})

    @pytest.mark.parametrize("value", ["abc", True, -1, [80]])
    def test_wrong_records_per_epoch(self, value: Any) -> None:
        config = {"records_per_epoch": value, "searcher": {"max_length": {"epochs": 2}}}
        hparams = {"global_batch_size": 8}
        with pytest.raises(UserError, match=r"records_per_epoch is .*number of training samples"):
            check_hparams(hparams, config)

    def test_wrong_type(self) -> None:
        with pytest.raises(UserError, match=r"num_training_steps is 'x'.*a whole number"):
            training_length({"num_training_steps": "x"}, {})
        with pytest.raises(UserError, match=r"num_train_epochs is 'two'.*a whole number"):
            training_length({"num_train_epochs": "two"}, {})
        with pytest.raises(UserError, match=r"searcher\.max_length is"):
            training_length({}, {"searcher": {"max_length": {"epochs": "two"}}})
