"""What the YAML may say: defaults, parsing, types, keys, what is missing, and lengths."""

import dataclasses
import logging
import pickle
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Optional

import pytest

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.config import fields, validate
from model_hub.huggingface.config.key_names import KnownKeys, unknown_keys
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.config.parsing import with_whole_numbers
from model_hub.huggingface.tasks.language_modeling import MaskedLanguageModelingDataKwargs
from model_hub.huggingface.tasks.question_answering import QuestionAnsweringDataKwargs
from model_hub.utils import AttrDict

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


def parse(cls: type, args: Mapping[str, Any], as_dict: bool = False) -> Any:
    (value,) = hf.parse_dict_to_dataclasses((cls,), args, as_dict=as_dict)
    return value


class TestParse:
    def test_example_of_the_contract(self) -> None:
        name = {"pretrained_model_name_or_path": "xnli"}
        assert hf.parse_dict_to_dataclasses((hf.ConfigKwargs,), name, as_dict=True)[0] == {
            "pretrained_model_name_or_path": "xnli",
            "revision": "main",
            "use_auth_token": False,
            "cache_dir": None,
        }

    @pytest.mark.parametrize("cls", DEFAULTS, ids=lambda cls: cls.__name__)
    def test_defaults(self, cls: type) -> None:
        value = parse(cls, {"num_training_steps": 10})
        assert dataclasses.is_dataclass(value)
        for name, default in DEFAULTS[cls].items():
            assert getattr(value, name) == default
            assert type(getattr(value, name)) is type(default)
        for name in ONLY_IF_SET.get(cls, {}):
            assert not hasattr(value, name)

    @pytest.mark.parametrize("cls", DEFAULTS, ids=lambda cls: cls.__name__)
    def test_defaults_as_dict(self, cls: type) -> None:
        value = parse(cls, {"num_training_steps": 10}, as_dict=True)
        assert type(value) is AttrDict
        assert {name: value[name] for name in DEFAULTS[cls]} == DEFAULTS[cls]
        # What we have added has its default, and stands behind what the old library has.
        assert list(value)[: len(DEFAULTS[cls])] == list(DEFAULTS[cls])
        if cls in (hf.ConfigKwargs, hf.TokenizerKwargs, hf.ModelKwargs):
            assert value == DEFAULTS[cls]

    @pytest.mark.parametrize("cls", DEFAULTS, ids=lambda cls: cls.__name__)
    def test_added_fields_come_last(self, cls: type) -> None:
        names = [field.name for field in dataclasses.fields(cls)]
        old = {*DEFAULTS[cls], *ONLY_IF_SET.get(cls, {})} - {"token"}
        assert set(names[: len(old)]) == old

    @pytest.mark.parametrize("cls", ONLY_IF_SET, ids=lambda cls: cls.__name__)
    def test_only_if_set(self, cls: type, form: Callable[[Any], Mapping[str, Any]]) -> None:
        given = form(ONLY_IF_SET[cls])
        value = parse(cls, given)
        assert {name: getattr(value, name) for name in given} == ONLY_IF_SET[cls]
        assert parse(cls, given, as_dict=True) == {**DEFAULTS[cls], **ONLY_IF_SET[cls]}

    def test_one_key_fills_several_and_others_are_left(
        self, form: Callable[[Any], Mapping[str, Any]]
    ) -> None:
        config, model, optimizer = hf.parse_dict_to_dataclasses(
            (hf.ConfigKwargs, hf.ModelKwargs, hf.OptimizerKwargs),
            form({"revision": "v1", "learning_rate": 1e-3, "my_own": {"key": 1}}),
        )
        assert config.revision == model.revision == "v1"
        assert optimizer.learning_rate == 1e-3
        assert not hasattr(config, "my_own")

    def test_no_types(self) -> None:
        assert hf.parse_dict_to_dataclasses((), {"a": 1}) == ()

    def test_users_own_dataclass(self, form: Callable[[Any], Mapping[str, Any]]) -> None:
        @dataclasses.dataclass
        class Own:
            required: int
            listed: list[int] = dataclasses.field(default_factory=list)
            derived: int = dataclasses.field(init=False, default=0)

        assert parse(Own, form({"required": "as it is", "derived": 5})) == Own("as it is", [])
        assert parse(Own, form({"required": 1}), as_dict=True) == {"required": 1, "listed": []}
        with pytest.raises(UserError, match="missing: required"):
            parse(Own, form({}))

    def test_users_own_flexible_dataclass(self) -> None:
        @dataclasses.dataclass(init=False, repr=False, eq=False)
        class Own(hf.DatasetKwargs):
            only_if_set: int
            names: list[str] = dataclasses.field(default_factory=list)

        assert parse(Own, {}, as_dict=True) == {
            **parse(hf.DatasetKwargs, {}, as_dict=True),
            "names": [],
        }
        assert parse(Own, {"only_if_set": 1}).only_if_set == 1

    def test_plain_dataclass_derived_from_ours(self) -> None:
        @dataclasses.dataclass
        class Own(hf.DatasetKwargs):
            max_seq_length: Optional[int] = None  # noqa: UP045 # As older files write it.

        assert parse(Own, {"train_file": "a.csv", "max_seq_length": "384"}) == Own(
            train_file="a.csv", max_seq_length=384
        )

    def test_equality_pickle_and_repr(self) -> None:
        value = parse(hf.ConfigKwargs, {"num_labels": 3})
        assert value == parse(hf.ConfigKwargs, {"num_labels": 3})
        assert value != parse(hf.ConfigKwargs, {})
        assert value != parse(hf.TokenizerKwargs, {})
        assert pickle.loads(pickle.dumps(value)) == value
        assert repr(value).startswith("ConfigKwargs(num_labels=3, pretrained_model_name_or_path=")

    def test_unknown_argument_of_the_class(self) -> None:
        with pytest.raises(TypeError, match=r"ModelKwargs has no field \['num_label'\]"):
            hf.ModelKwargs(num_label=3)


class TestDefaultParsers:
    def test_names_of_the_parts(self, form: Callable[[Any], Mapping[str, Any]]) -> None:
        hparams: dict[str, Any] = {"pretrained_model_name_or_path": "all", "num_labels": 2}
        parts = hf.default_parse_config_tokenizer_model_kwargs(form(hparams))
        assert [type(part) for part in parts] == [AttrDict] * 3
        assert [part.pretrained_model_name_or_path for part in parts] == ["all"] * 3
        assert parts[0].num_labels == 2
        for number, name in enumerate(("config_name", "tokenizer_name", "model_name")):
            parts = hf.default_parse_config_tokenizer_model_kwargs(form({**hparams, name: "own"}))
            expected = ["all"] * 3
            expected[number] = "own"
            assert [part.pretrained_model_name_or_path for part in parts] == expected
            # As a file says it that was made for another model.
            parts = hf.default_parse_config_tokenizer_model_kwargs(form({**hparams, name: None}))
            assert [part.pretrained_model_name_or_path for part in parts] == ["all"] * 3

    def test_no_name_at_all(self, form: Callable[[Any], Mapping[str, Any]]) -> None:
        for hparams in ({}, {"pretrained_model_name_or_path": None, "model_name": "", "a": 1}):
            with pytest.raises(UserError, match=r"pretrained_model_name_or_path is missing: write"):
                hf.default_parse_config_tokenizer_model_kwargs(form(hparams))
        (config, tokenizer, _) = hf.default_parse_config_tokenizer_model_kwargs(
            form({"config_name": "a"})
        )
        assert config.pretrained_model_name_or_path == "a"
        assert tokenizer.pretrained_model_name_or_path is None

    def test_optimizer_and_schedule(self, form: Callable[[Any], Mapping[str, Any]]) -> None:
        hparams = form({"learning_rate": 1e-3, "num_training_steps": 7, "num_warmup_steps": 2})
        optimizer, schedule = hf.default_parse_optimizer_lr_scheduler_kwargs(hparams)
        assert optimizer == hf.OptimizerKwargs(learning_rate=1e-3)
        assert schedule == hf.LRSchedulerKwargs(num_training_steps=7, num_warmup_steps=2)

    def test_number_of_training_steps_is_required_and_may_be_none(self) -> None:
        with pytest.raises(UserError, match=r"missing: hyperparameters\.num_training_steps"):
            hf.default_parse_optimizer_lr_scheduler_kwargs({})
        with pytest.raises(TypeError):
            hf.LRSchedulerKwargs()  # type: ignore[call-arg]
        _, schedule = hf.default_parse_optimizer_lr_scheduler_kwargs({"num_training_steps": None})
        assert schedule.num_training_steps is None

    @pytest.mark.parametrize(
        ("hparams", "message"),
        [
            ({"lr_scheduler_type": "linaer"}, r"lr_scheduler_type: 'linaer'.*did you mean linear"),
            ({"optim": "adamw_torhc"}, r"optim: 'adamw_torhc'.*did you mean adamw_torch"),
        ],
    )
    def test_misspelt_names_are_found_before_a_model_is_loaded(
        self, hparams: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            hf.default_parse_optimizer_lr_scheduler_kwargs({"num_training_steps": 1, **hparams})


class TestTypes:
    @pytest.mark.parametrize(
        ("cls", "name", "given", "expected"),
        [
            # PyYAML, unlike det, leaves 3e-5 a text.
            (hf.OptimizerKwargs, "learning_rate", "3e-5", 3e-5),
            (hf.OptimizerKwargs, "learning_rate", 1, 1),
            (hf.OptimizerKwargs, "weight_decay", 0, 0),
            (hf.OptimizerKwargs, "max_grad_norm", "1", 1.0),
            (hf.LRSchedulerKwargs, "num_warmup_steps", 3, 3),
            (hf.LRSchedulerKwargs, "num_training_steps", 100.0, 100),
            (hf.LRSchedulerKwargs, "num_training_steps", "100", 100),
            (hf.LRSchedulerKwargs, "num_warmup_steps", 0.1, 0.1),
            (hf.LRSchedulerKwargs, "lr_scheduler_kwargs", {"num_cycles": 2}, {"num_cycles": 2}),
            (hf.DatasetKwargs, "validation_split_percentage", 5, 5),
            (hf.DatasetKwargs, "validation_split_percentage", 2.5, 2.5),
            (hf.DatasetKwargs, "validation_split_percentage", "2.5", 2.5),
            (hf.DatasetKwargs, "validation_split_percentage", None, None),
            (hf.ModelKwargs, "use_auth_token", True, True),
            (hf.ModelKwargs, "use_auth_token", "hf_abc", "hf_abc"),
            (hf.ConfigKwargs, "cache_dir", None, None),
        ],
    )
    def test_fitting(self, cls: type, name: str, given: Any, expected: Any) -> None:
        value = getattr(parse(cls, {"num_training_steps": 1, name: given}), name)
        assert value == expected
        assert type(value) is type(expected)

    @pytest.mark.parametrize(
        ("cls", "name", "given", "wanted"),
        [
            (hf.OptimizerKwargs, "learning_rate", "fast", "a number"),
            (hf.OptimizerKwargs, "learning_rate", True, "a number"),
            (hf.OptimizerKwargs, "learning_rate", [1e-3], "a number"),
            (hf.OptimizerKwargs, "adafactor", "yes", "true or false"),
            (hf.OptimizerKwargs, "adafactor", 1, "true or false"),
            (hf.OptimizerKwargs, "optim", 5, "text or null"),
            (hf.LRSchedulerKwargs, "num_training_steps", 2.5, "a whole number or null"),
            (hf.LRSchedulerKwargs, "lr_scheduler_kwargs", "x", "a mapping.* or null"),
            (hf.ConfigKwargs, "num_labels", "many", "a whole number"),
            (hf.ConfigKwargs, "num_labels", False, "a whole number"),
            (hf.DatasetKwargs, "train_file", 5, "text or a list or null"),
            (hf.DatasetKwargs, "validation_split_percentage", True, "a number or null"),
            (hf.DatasetKwargs, "validation_split_percentage", "5 %", "a number or null"),
        ],
    )
    def test_wrong(self, cls: type, name: str, given: Any, wanted: str) -> None:
        section = "data" if cls is hf.DatasetKwargs else "hyperparameters"
        with pytest.raises(UserError, match=rf"{section}\.{name} is .*, but should be {wanted}"):
            parse(cls, {"num_training_steps": 1, name: given})

    @pytest.mark.parametrize("cls", [*DEFAULTS, QuestionAnsweringDataKwargs])
    def test_null_is_not_said(self, cls: type) -> None:
        given = {field.name: None for field in dataclasses.fields(cls)}
        assert parse(cls, given) == parse(cls, {"num_training_steps": None})

    def test_values_are_spelt_as_in_a_yaml(self) -> None:
        given = {"learning_rate": True, "adam_beta1": {"a": None, 1: [False]}}
        with pytest.raises(UserError) as caught:
            parse(hf.OptimizerKwargs, given)
        assert "learning_rate is true, but" in str(caught.value)
        assert "adam_beta1 is {a: null, 1: [false]}, but" in str(caught.value)

    def test_all_that_are_wrong_are_named(self) -> None:
        with pytest.raises(UserError) as caught:
            parse(hf.OptimizerKwargs, {"learning_rate": "a", "adam_beta1": "b", "optim": "lion"})
        assert "learning_rate is 'a'" in str(caught.value)
        assert "adam_beta1 is 'b'" in str(caught.value)
        assert "optim" not in str(caught.value)

    def test_hints_of_all_kinds_in_a_users_dataclass(self) -> None:
        @dataclasses.dataclass
        class Own:
            yaml_section: ClassVar[str] = "data"
            optional: Optional[int] = None  # noqa: UP045 # As older files write it.
            choice: Literal["a", "b"] = "a"
            mixed: list[str] | dict[str, int] | None = None
            anything: Any = None

        given = {"optional": "5", "choice": "b", "mixed": {"a": 1}, "anything": True}
        assert parse(Own, given) == Own(optional=5, choice="b", mixed={"a": 1}, anything=True)
        with pytest.raises(UserError, match=r"data\.mixed is .* a list or a mapping.* or null"):
            parse(Own, {"mixed": 5})


class TestLimits:
    @pytest.mark.parametrize(
        ("cls", "name", "value", "expected"),
        [
            (hf.OptimizerKwargs, "weight_decay", -0.1, "is -0.1, but should be at least 0"),
            (hf.OptimizerKwargs, "learning_rate", float("inf"), "a finite number of at least 0"),
            (hf.OptimizerKwargs, "learning_rate", float("nan"), "a finite number of at least 0"),
            (hf.OptimizerKwargs, "adam_beta2", 1, "is 1, but should be at least 0 and below 1"),
            (hf.LRSchedulerKwargs, "warmup_ratio", 1.5, "should be at least 0 and at most 1"),
            (hf.LRSchedulerKwargs, "num_training_steps", 0, "should be at least 1"),
            (hf.DatasetKwargs, "max_train_samples", 0, "should be at least 1"),
            (fields.TrialKwargs, "global_batch_size", 0, "should be at least 1"),
            (OptionKwargs, "dataloader_num_workers", -1, "should be at least 0"),
            (OptionKwargs, "label_smoothing_factor", 1.0, "should be at least 0 and below 1"),
            (QuestionAnsweringDataKwargs, "n_best_size", 0, "should be at least 1"),
            (QuestionAnsweringDataKwargs, "doc_stride", -1, "should be at least 0"),
            (MaskedLanguageModelingDataKwargs, "mlm_probability", 0, "above 0 and at most 1"),
            (
                MaskedLanguageModelingDataKwargs,
                "mlm_probability",
                float("nan"),
                "a finite number above 0 and at most 1",
            ),
        ],
    )
    def test_training_and_check_give_the_same_message(
        self, cls: Any, name: str, value: Any, expected: str
    ) -> None:
        given = {"num_training_steps": 1, name: value}
        with pytest.raises(UserError) as caught:
            parse(cls, given)
        assert str(caught.value).startswith(f"{cls.yaml_section}.{name} is {value}, but should be")
        assert expected in str(caught.value)
        assert validate.invalid_values((cls,), given) == [str(caught.value)]

    @pytest.mark.parametrize(
        ("cls", "name", "value"),
        [
            (hf.OptimizerKwargs, "learning_rate", 0),
            (hf.OptimizerKwargs, "adam_beta1", 0.0),
            (hf.LRSchedulerKwargs, "warmup_ratio", 1),
            (hf.DatasetKwargs, "max_train_samples", 1),
            (OptionKwargs, "gradient_accumulation_steps", None),
        ],
    )
    def test_the_limit_itself(self, cls: type, name: str, value: Any) -> None:
        assert getattr(parse(cls, {"num_training_steps": 1, name: value}), name) == value

    def test_objects_made_in_python_are_plain_dataclasses(self) -> None:
        assert hf.OptimizerKwargs(adam_beta1=1).adam_beta1 == 1
        assert hf.LRSchedulerKwargs(0).num_training_steps == 0
        assert hf.DatasetKwargs(max_eval_samples=0).max_eval_samples == 0
        assert OptionKwargs(early_stopping_threshold=-1.0).early_stopping_threshold == -1
        assert MaskedLanguageModelingDataKwargs(mlm_probability=2).mlm_probability == 2


class TestTokens:
    @pytest.mark.parametrize("name", ["token", "use_auth_token"])
    @pytest.mark.parametrize("cls", ONLY_IF_SET, ids=lambda cls: cls.__name__)
    def test_never_shown(self, cls: type, name: str, caplog: pytest.LogCaptureFixture) -> None:
        hparams = AttrDict({name: "hf_abc", "pretrained_model_name_or_path": "x"})
        value = parse(cls, hparams)
        assert getattr(value, name) == "hf_abc"
        as_dict = parse(cls, hparams, as_dict=True)
        with caplog.at_level(logging.DEBUG):
            logging.getLogger("model_hub").info("%s %r %s %s", value, value, as_dict, hparams)
        assert "hf_abc" not in caplog.text
        assert caplog.text.count("'***'") == 4

    def test_not_even_if_it_is_wrong(self) -> None:
        with pytest.raises(UserError, match=r"hyperparameters\.token is '\*\*\*'") as caught:
            parse(hf.ModelKwargs, {"token": ["hf_abc"]})
        assert "hf_abc" not in str(caught.value)

    def test_the_switch_may_be_shown(self) -> None:
        assert "use_auth_token=False" in repr(hf.ModelKwargs())


def test_every_key_of_the_contract_is_known() -> None:
    hparams = {name for cls in DEFAULTS for name in DEFAULTS[cls] if cls is not hf.DatasetKwargs}
    hparams |= {name for names in ONLY_IF_SET.values() for name in names}
    hparams |= {"model_mode", "use_pretrained_weights", "use_apex_amp", "global_batch_size"}
    hparams |= {"config_name", "tokenizer_name", "model_name"}
    data = {*DEFAULTS[hf.DatasetKwargs], "max_seq_length", "doc_stride", "pad_to_max_length"}
    data |= {"overwrite_cache", "preprocessing_num_workers"}
    known = KnownKeys(data_types=(hf.DatasetKwargs, QuestionAnsweringDataKwargs))
    assert not list(unknown_keys(dict.fromkeys(hparams, 1), dict.fromkeys(data, 1), known))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"global_batch_size": "16"}, {"global_batch_size": 16}),
        ({"global_batch_size": 16.0, "max_steps": 3}, {"global_batch_size": 16, "max_steps": 3}),
        ({"num_warmup_steps": 3.0, "learning_rate": 1}, None),
        ({"own": 2.0, "max_steps": None, "use_pretrained_weights": True}, None),
    ],
)
def test_whole_numbers(values: dict[str, Any], expected: dict[str, Any] | None) -> None:
    found = with_whole_numbers(fields.HYPERPARAMETER_TYPES, values)
    assert found == (values if expected is None else expected)
    assert not any(type(found[name]) is not type((expected or values)[name]) for name in found)


@pytest.mark.parametrize("value", [10**26, 1e26, "1e26", 2**63])
@pytest.mark.parametrize("name", ["global_batch_size", "max_steps"])
def test_numbers_that_no_program_holds(name: str, value: Any) -> None:
    (message,) = validate.invalid_values((fields.TrialKwargs,), {name: value})
    assert (
        message.startswith(f"hyperparameters.{name} is ")
        and "at most 9223372036854775807" in message
    )


def test_a_number_beyond_all_floats() -> None:
    (message,) = validate.invalid_values((hf.OptimizerKwargs,), {"learning_rate": 10**400})
    assert "should be a smaller number" in message and len(message) < 200
