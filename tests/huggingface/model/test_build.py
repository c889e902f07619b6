"""Config, tokenizer and model of every mode; optimizers and schedules; what the user is told."""

import importlib.util
import json
import logging
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import attrdict
import pytest
import tiny
import torch
import transformers
from determined import pytorch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from transformers.optimization import AdafactorSchedule, GreedyLR
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface import compat
from model_hub.huggingface.model.build import _call_kwargs
from model_hub.huggingface.training.optim import DeferredLRScheduler, num_warmup_steps
from model_hub.utils import AttrDict

# Mode of the contract -> a family of models that has it, and the Auto class.
MODES: dict[str, tuple[str, Any]] = {
    "base": ("bert", transformers.AutoModel),
    "pretraining": ("bert", transformers.AutoModelForPreTraining),
    "causal-lm": ("gpt2", transformers.AutoModelForCausalLM),
    "masked-lm": ("bert", transformers.AutoModelForMaskedLM),
    "seq2seq-lm": ("t5", transformers.AutoModelForSeq2SeqLM),
    "sequence-classification": ("bert", transformers.AutoModelForSequenceClassification),
    "multiple-choice": ("bert", transformers.AutoModelForMultipleChoice),
    "next-sentence": ("bert", transformers.AutoModelForNextSentencePrediction),
    "token-classification": ("bert", transformers.AutoModelForTokenClassification),
    "question-answering": ("bert", transformers.AutoModelForQuestionAnswering),
}

FORMS: dict[str, Callable[[Any], Mapping[str, Any]]] = {
    "dict": dict,
    "attrdict": attrdict.AttrDict,
    "ours": AttrDict,
}


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    transformers.utils.logging.disable_progress_bar()


@pytest.fixture
def bert(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with tokenizer, configuration and weights of a sequence classifier."""
    auto_class = transformers.AutoModelForSequenceClassification
    return tiny.save(tmp_path / "bert", "bert", auto_class)


def test_old_name_of_the_token(bert: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = transformers.PreTrainedModel.__dict__["from_pretrained"]
    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", before)
    compat.wrap_from_pretrained()
    accepting = transformers.PreTrainedModel.__dict__["from_pretrained"]
    compat.wrap_from_pretrained()
    assert transformers.PreTrainedModel.__dict__["from_pretrained"] is accepting
    for given in ({}, {"use_auth_token": "hf_abc"}):
        hparams = {"pretrained_model_name_or_path": str(bert), **given}
        _, _, model_kwargs = hf.default_parse_config_tokenizer_model_kwargs(hparams)
        assert "use_auth_token" in model_kwargs
        for cls in (
            transformers.BertForSequenceClassification,
            transformers.AutoModelForSequenceClassification,
        ):
            model = cls.from_pretrained(**model_kwargs)
            assert isinstance(model, transformers.BertForSequenceClassification)


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ({}, {}),
        ({"use_auth_token": False}, {}),
        ({"use_auth_token": None}, {}),
        ({"use_auth_token": "a"}, {"token": "a"}),
        ({"use_auth_token": "a", "token": None}, {"token": "a"}),
        ({"use_auth_token": "a", "token": "b"}, {"token": "b"}),
    ],
)
def test_old_name_becomes_the_new_one(
    given: dict[str, Any], passed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[Any] = []

    def original(cls: type, *args: Any, output_loading_info: bool, **kwargs: Any) -> Any:
        received.append((cls, args, kwargs))
        return torch.nn.Module(), {}

    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", classmethod(original))
    compat.wrap_from_pretrained()
    transformers.BertModel.from_pretrained("x", **given)
    assert received == [(transformers.BertModel, ("x",), passed)]


def build(folder: pathlib.Path, mode: str, weights: bool = True, **hparams: Any) -> Any:
    hparams = {"pretrained_model_name_or_path": str(folder), **hparams}
    config, tokenizer, model = hf.default_parse_config_tokenizer_model_kwargs(hparams)
    return hf.build_using_auto(config, tokenizer, mode, model, use_pretrained_weights=weights)


def same_weights(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    pairs = zip(left.state_dict().items(), right.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


class TestModes:
    def test_the_ten(self) -> None:
        assert sorted(hf.MODEL_MODES) == sorted(MODES)

    @pytest.mark.parametrize("mode", MODES)
    def test_pretrained(self, mode: str, tmp_path: pathlib.Path) -> None:
        family, auto_class = MODES[mode]
        folder = tiny.save(tmp_path, family, auto_class)
        config, tokenizer, model = build(folder, mode)
        reference = auto_class.from_pretrained(folder)
        assert type(model) is type(reference)
        assert same_weights(model, reference)
        assert config.to_dict() == reference.config.to_dict()
        assert tokenizer("the cat")["input_ids"] == [2, 5, 6, 3]

    @pytest.mark.parametrize("mode", MODES)
    def test_from_the_configuration_alone(self, mode: str, tmp_path: pathlib.Path) -> None:
        family, auto_class = MODES[mode]
        folder = tiny.save(tmp_path, family)
        torch.manual_seed(3)
        _, _, model = build(folder, mode, weights=False)
        torch.manual_seed(3)
        reference = auto_class.from_config(transformers.AutoConfig.from_pretrained(folder))
        assert type(model) is type(reference)
        assert same_weights(model, reference)

    @pytest.mark.parametrize(
        "mode", ["image-classification", "image_classification", "AutoModelForImageClassification"]
    )
    def test_any_other_auto_class(self, mode: str, tmp_path: pathlib.Path) -> None:
        assert hf.auto_model_class(mode) is transformers.AutoModelForImageClassification
        folder = tiny.save(tmp_path, "vit", transformers.AutoModelForImageClassification)
        _, _, model = build(folder, mode, num_labels=2)
        assert type(model) is transformers.ViTForImageClassification

    def test_every_auto_class_by_its_name(self) -> None:
        names = [name for name in dir(transformers) if name.startswith("AutoModelFor")]
        assert len(names) > 30
        for name in names:
            assert hf.auto_model_class(name).__name__ == name

    @pytest.mark.parametrize(
        ("mode", "near"),
        [
            ("question-answring", "question-answering"),
            ("token-clasification", "token-classification"),
            ("AutoModelForCausalML", "AutoModelForCausalLM"),
        ],
    )
    def test_unknown(self, mode: str, near: str) -> None:
        with pytest.raises(UserError) as caught:
            hf.auto_model_class(mode)
        assert f"hyperparameters.model_mode: {mode!r}" in str(caught.value)
        assert f"did you mean {near}?" in str(caught.value)
        assert all(known in str(caught.value) for known in MODES)

    def test_unknown_and_like_nothing(self) -> None:
        with pytest.raises(UserError, match="is not known; write one of base"):
            hf.auto_model_class("xyz")

    def test_unknown_is_found_before_anything_is_loaded(self) -> None:
        with pytest.raises(UserError, match="model_mode"):
            hf.build_using_auto({}, {}, "nothing", {})

    @pytest.mark.parametrize("weights", [True, False])
    def test_a_family_without_that_head(self, bert: pathlib.Path, weights: bool) -> None:
        with pytest.raises(UserError, match=r"model_mode.*'bert'.*'seq2seq-lm'"):
            build(bert, "seq2seq-lm", weights)


class TestArguments:
    @pytest.mark.parametrize("form", sorted(FORMS))
    def test_any_mapping_and_the_dataclasses(self, form: str, bert: pathlib.Path) -> None:
        name = {"pretrained_model_name_or_path": str(bert)}
        kwargs = FORMS[form]({**name, "use_auth_token": False, "revision": "main"})
        _, _, model = hf.build_using_auto(kwargs, kwargs, "base", kwargs)
        assert kwargs["use_auth_token"] is False  # The caller's mapping is left as it was.
        _, _, again = hf.build_using_auto(
            hf.ConfigKwargs(**name), hf.TokenizerKwargs(**name), "base", hf.ModelKwargs(**name)
        )
        assert type(model) is type(again)

    def test_parts_from_different_places(self, bert: pathlib.Path, tmp_path: pathlib.Path) -> None:
        other = tiny.save(tmp_path / "other", "bert", transformers.AutoModel)
        config = tiny.bert_config(hidden_dropout_prob=0.5)
        config.save_pretrained(tmp_path / "config")
        built = build(bert, "base", config_name=str(tmp_path / "config"), model_name=str(other))
        assert built[0].hidden_dropout_prob == 0.5
        assert built[2].config.hidden_dropout_prob == 0.5
        assert built[1].name_or_path == str(bert)
        assert same_weights(built[2], transformers.AutoModel.from_pretrained(other))

    def test_num_labels_and_finetuning_task(
        self, tmp_path: pathlib.Path, bert: pathlib.Path
    ) -> None:
        folder = tiny.save(tmp_path, "bert", transformers.AutoModel)
        config, _, model = build(
            folder, "sequence-classification", num_labels=5, finetuning_task="mrpc"
        )
        assert model.classifier.weight.shape == (5, 16)
        assert config.finetuning_task == model.config.finetuning_task == "mrpc"
        assert not hasattr(build(bert, "base")[0], "finetuning_task")

    @pytest.mark.parametrize("name", ["use_auth_token", "token"])
    def test_token_reaches_transformers_as_token(
        self, name: str, bert: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = []
        classes = (transformers.AutoConfig, transformers.AutoTokenizer, transformers.AutoModel)
        for auto_class in classes:
            # The genuine method is called; only its arguments are noted.
            genuine = auto_class.from_pretrained

            def noting(*args: Any, _genuine: Any = genuine, **kwargs: Any) -> Any:
                seen.append(kwargs)
                return _genuine(*args, **kwargs)

            monkeypatch.setattr(auto_class, "from_pretrained", noting)
        build(bert, "base", **{name: "hf_abc"})
        # The model's own class is asked by its Auto class, and may ask another in turn.
        assert [kwargs["token"] for kwargs in seen[:3]] == ["hf_abc"] * 3
        assert all("use_auth_token" not in kwargs for kwargs in seen)
        assert all(kwargs["revision"] == "main" for kwargs in seen[:3])
        seen.clear()
        build(bert, "base")
        assert all("token" not in kwargs and "use_auth_token" not in kwargs for kwargs in seen)

    def test_token_wins_over_the_old_name(self) -> None:
        call = _call_kwargs({"use_auth_token": True, "token": "hf_abc", "revision": "v1"})
        assert call == {"token": "hf_abc", "revision": "v1"}

    def test_token_is_kept_nowhere(
        self, bert: pathlib.Path, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            for part in build(bert, "base", use_auth_token="hf_abc"):
                assert "hf_abc" not in repr(part)
                part.save_pretrained(tmp_path / "saved")
        assert "hf_abc" not in caplog.text
        for file in (tmp_path / "saved").iterdir():
            assert b"hf_abc" not in file.read_bytes(), file

    def test_do_lower_case(self, tmp_path: pathlib.Path) -> None:
        tiny.bert_config().save_pretrained(tmp_path)
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "The"]
        (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
        for lower, expected in ((True, ["the"]), (False, ["The"])):
            _, tokenizer, _ = build(tmp_path, "base", weights=False, do_lower_case=lower)
            assert tokenizer.tokenize("The") == expected


class TestWhatCannotBeLoaded:
    def test_no_name(self) -> None:
        with pytest.raises(UserError, match=r"pretrained_model_name_or_path \(or config_name\)"):
            hf.build_using_auto({}, {}, "base", {})

    @pytest.mark.parametrize("name", ["no-such-owner/no-such-model", "no/such/folder"])
    @pytest.mark.parametrize("part", ["config_name", "tokenizer_name", "model_name"])
    def test_no_such_name(self, name: str, part: str, bert: pathlib.Path) -> None:
        with pytest.raises(UserError, match=rf"\(or {part}\): cannot load the .*'{name}'"):
            build(bert, "base", **{part: name})

    @pytest.mark.parametrize(
        ("file", "content", "part"),
        [
            ("config.json", None, "config"),
            ("config.json", "{", "config"),
            ("config.json", '{"model_type": "no_such_type"}', "config"),
            ("tokenizer.json", None, "tokenizer"),
            ("tokenizer.json", "{", "tokenizer"),
            ("model.safetensors", None, "model"),
            # What git leaves in the place of a large file.
            ("model.safetensors", "version https://git-lfs.github.com/spec/v1\nsize 5\n", "model"),
        ],
    )
    def test_broken_folder(
        self, file: str, content: str | None, part: str, bert: pathlib.Path
    ) -> None:
        (bert / file).unlink()
        if content is not None:
            (bert / file).write_text(content)
        with pytest.raises(UserError, match=rf"\(or {part}_name\): cannot load the {part} of"):
            build(bert, "base")

    def test_folder_without_a_tokenizer(self, bert: pathlib.Path) -> None:
        for file in ("tokenizer.json", "tokenizer_config.json"):
            (bert / file).unlink()
        with pytest.raises(UserError, match=r"there is no tokenizer in .*tokenizer_name"):
            build(bert, "base")

    def test_head_of_another_size(self, bert: pathlib.Path) -> None:
        with pytest.raises(UserError, match=r"other shapes.*hyperparameters\.num_labels"):
            build(bert, "sequence-classification", num_labels=7)


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(tiny.bert_config())


class TestOptimizer:
    def test_default_is_adamw_of_torch(self, model: torch.nn.Module) -> None:
        optimizer = hf.build_default_optimizer(model, hf.OptimizerKwargs(weight_decay=0.1))
        assert type(optimizer) is torch.optim.AdamW
        assert optimizer.defaults["lr"] == 5e-5
        assert optimizer.defaults["betas"] == (0.9, 0.999)
        assert optimizer.defaults["eps"] == 1e-8

    def test_decay_is_for_matrices_outside_of_normalisation(self, model: torch.nn.Module) -> None:
        optimizer = hf.build_default_optimizer(model, hf.OptimizerKwargs(weight_decay=0.1))
        decayed, others = (group["params"] for group in optimizer.param_groups)
        assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        assert all(parameter.ndim == 2 for parameter in decayed)
        for parameter in others:
            assert "bias" in names[id(parameter)] or "LayerNorm" in names[id(parameter)]
        assert len(decayed) + len(others) == len(names)
        assert decayed
        assert others

    def test_frozen_parameters_are_left_out(self, model: torch.nn.Module) -> None:
        for parameter in model.bert.parameters():
            parameter.requires_grad = False
        optimizer = hf.build_default_optimizer(model, hf.OptimizerKwargs())
        assert sum(len(group["params"]) for group in optimizer.param_groups) == 2

    @pytest.mark.parametrize("kwargs", [{"adafactor": True}, {"optim": "adafactor"}])
    def test_adafactor(self, model: torch.nn.Module, kwargs: dict[str, Any]) -> None:
        optimizer = hf.build_default_optimizer(model, hf.OptimizerKwargs(**kwargs))
        assert type(optimizer) is transformers.Adafactor
        assert optimizer.defaults["lr"] == 5e-5
        assert not optimizer.defaults["scale_parameter"]
        assert not optimizer.defaults["relative_step"]

    def test_options_of_adafactor(self, model: torch.nn.Module) -> None:
        kwargs = hf.OptimizerKwargs(adafactor=True, scale_parameter=True, learning_rate=1e-3)
        optimizer = hf.build_default_optimizer(model, kwargs)
        assert optimizer.defaults["scale_parameter"]
        assert optimizer.defaults["lr"] == 1e-3
        kwargs = hf.OptimizerKwargs(adafactor=True, relative_step=True, weight_decay=0.1)
        optimizer = hf.build_default_optimizer(model, kwargs)
        assert optimizer.defaults["relative_step"]
        assert optimizer.defaults["lr"] is None
        assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]

    def test_relative_steps_train(self, model: torch.nn.Module) -> None:
        kwargs = hf.OptimizerKwargs(adafactor=True, relative_step=True, scale_parameter=True)
        optimizer = hf.build_default_optimizer(model, kwargs)
        schedule = hf.build_default_lr_scheduler(optimizer, hf.LRSchedulerKwargs(None))
        assert type(schedule) is AdafactorSchedule
        before = model.classifier.weight.detach().clone()
        for _ in range(3):
            model(torch.tensor([[2, 5, 3]]), labels=torch.tensor([1])).loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        assert not torch.equal(before, model.classifier.weight)
        schedule.load_state_dict(schedule.state_dict())

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"optim": "adamw_torhc"}, "optim: 'adamw_torhc'.*did you mean adamw_torch.*sgd"),
            ({"optim": "sgd", "adafactor": True}, "contradict each other; remove adafactor"),
            ({"optim": "lomo"}, "'lomo' updates weights inside of the backward pass"),
            ({"optim": "sgd", "optim_args": "momentum=much"}, "sgd cannot be built.*much"),
            ({"learning_rate": -1.0}, r"^hyperparameters\.learning_rate is -1\.0, .*at least 0"),
            ({"max_grad_norm": -1}, r"^hyperparameters\.max_grad_norm is -1, .*at least 0"),
            ({"learning_rate": float("nan")}, r"^hyperparameters\.learning_rate is nan"),
            ({"adam_beta1": 2.0}, "adam_beta1 is 2.0, but should be at least 0 and below 1"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, model: torch.nn.Module, kwargs: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            hf.build_default_optimizer(model, hf.OptimizerKwargs(**kwargs))

    @pytest.mark.parametrize(
        ("optim", "package"),
        [
            ("adamw_bnb_8bit", "bitsandbytes"),
            ("schedule_free_adamw", "schedulefree"),
            ("adamw_torch_4bit", "torchao"),
            ("galore_adamw", "galore_torch"),
            ("apollo_adamw", "apollo_torch"),
            ("grokadamw", "grokadamw"),
            ("stable_adamw", "optimi"),
            ("adamw_torch_xla", "torch_xla"),
            ("adamw_torch_npu_fused", "torch_npu"),
            ("adamw_anyprecision", "torchdistx"),
        ],
    )
    def test_package_that_is_not_installed(
        self, model: torch.nn.Module, optim: str, package: str
    ) -> None:
        if importlib.util.find_spec(package):
            pytest.skip(f"{package} is installed")
        with pytest.raises(UserError, match=rf"hyperparameters\.optim: {optim} cannot be built"):
            hf.build_default_optimizer(model, hf.OptimizerKwargs(optim=optim))

    def test_every_name_of_transformers_is_built_or_explained(self, model: torch.nn.Module) -> None:
        built = set()
        for name in OptimizerNames:
            try:
                hf.build_default_optimizer(model, hf.OptimizerKwargs(optim=name.value))
            except UserError as error:
                assert name.value in str(error)
            else:
                built.add(name.value)
        assert built >= {"adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad"}
        assert built >= {"rmsprop"}


@pytest.fixture
def optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
    return hf.build_default_optimizer(model, hf.OptimizerKwargs(learning_rate=1e-3))


def learning_rates(schedule: LRScheduler, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        schedule.step()
    return rates


class TestScheduler:
    @pytest.mark.parametrize(
        ("kwargs", "warmup"),
        [
            ({}, 0),
            ({"num_warmup_steps": 4}, 4),
            ({"num_warmup_steps": 4.0}, 4),
            ({"num_warmup_steps": 0.25}, 5),
            ({"warmup_ratio": 0.21}, 5),
            ({"warmup_ratio": 1.0}, 20),
            ({"num_warmup_steps": 4, "warmup_ratio": 0.5}, 4),
        ],
    )
    def test_warmup(self, kwargs: dict[str, Any], warmup: int) -> None:
        assert num_warmup_steps(hf.LRSchedulerKwargs(20, **kwargs), 20) == warmup

    @pytest.mark.parametrize(
        "kwargs", [{"num_warmup_steps": -1}, {"warmup_ratio": 1.5}, {"warmup_ratio": -0.1}]
    )
    def test_wrong_warmup(self, optimizer: torch.optim.Optimizer, kwargs: dict[str, Any]) -> None:
        with pytest.raises(UserError, match=r"num_warmup_steps should be 0 or more"):
            hf.build_default_lr_scheduler(optimizer, hf.LRSchedulerKwargs(20, **kwargs))

    def test_linear_by_hand(self, optimizer: torch.optim.Optimizer) -> None:
        kwargs = hf.LRSchedulerKwargs(num_training_steps=10, num_warmup_steps=2)
        schedule = hf.build_default_lr_scheduler(optimizer, kwargs)
        expected = [0, 0.5, *(1 - step / 8 for step in range(8)), 0, 0]
        assert learning_rates(schedule, 12) == pytest.approx([1e-3 * rate for rate in expected])

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            (
                {"lr_scheduler_type": "linaer"},
                r"lr_scheduler_type: 'linaer'.*mean linear\?.*cosine",
            ),
            ({"lr_scheduler_type": "cosine_with_min_lr"}, "lr_scheduler_kwargs: None.*min_lr"),
            ({"lr_scheduler_kwargs": {"num_cycle": 1}}, "does not suit.*'linear'.*num_cycle"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, optimizer: torch.optim.Optimizer, kwargs: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            hf.build_default_lr_scheduler(optimizer, hf.LRSchedulerKwargs(20, **kwargs))

    @pytest.mark.parametrize(
        ("kind", "expected"), [("reduce_lr_on_plateau", ReduceLROnPlateau), ("greedy", GreedyLR)]
    )
    @pytest.mark.parametrize("length", [None, 20])
    def test_schedules_that_look_at_metrics_need_no_length(
        self, optimizer: torch.optim.Optimizer, kind: str, expected: type, length: int | None
    ) -> None:
        kwargs = hf.LRSchedulerKwargs(length, lr_scheduler_type=kind)
        assert type(hf.build_default_lr_scheduler(optimizer, kwargs)) is expected


class TestDeferredSchedule:
    KINDS = sorted(
        {kind.value for kind in SchedulerType}
        - {"reduce_lr_on_plateau", "greedy"}  # These two are not deferred.
        - {"cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay"}
    )

    @pytest.mark.parametrize("kind", KINDS)
    def test_equals_the_one_of_known_length(self, model: torch.nn.Module, kind: str) -> None:
        curves = []
        for length in (20, None):
            optimizer = hf.build_default_optimizer(model, hf.OptimizerKwargs(learning_rate=1e-3))
            kwargs = hf.LRSchedulerKwargs(length, kind, num_warmup_steps=0.2)
            schedule = hf.build_default_lr_scheduler(optimizer, kwargs)
            if length is None:
                assert isinstance(schedule, DeferredLRScheduler)
                assert not schedule.resolved
                # The groups are untouched until then.
                assert all("initial_lr" not in group for group in optimizer.param_groups)
                assert schedule.optimizer is optimizer
                real = schedule.resolve(20)
                assert schedule.resolved
                assert schedule.resolve(1) is real
            curves.append(learning_rates(schedule, 20))
            assert schedule.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
        assert curves[0] == curves[1]

    def test_state_is_that_of_the_real_one(self, optimizer: torch.optim.Optimizer) -> None:
        schedule = hf.build_default_lr_scheduler(optimizer, hf.LRSchedulerKwargs(None))
        real = schedule.resolve(10)
        learning_rates(schedule, 3)
        state = schedule.state_dict()
        assert state == real.state_dict()
        assert state["last_epoch"] == 3
        json.dumps(state)
        state["last_epoch"] = 7
        schedule.load_state_dict(state)
        assert real.last_epoch == 7

    def test_asked_too_early(self, optimizer: torch.optim.Optimizer) -> None:
        schedule = hf.build_default_lr_scheduler(optimizer, hf.LRSchedulerKwargs(None))
        for ask in (
            schedule.step,
            schedule.get_last_lr,
            schedule.state_dict,
            lambda: schedule.load_state_dict({}),
        ):
            with pytest.raises(UserError, match=r"hyperparameters\.num_training_steps"):
                ask()


@pytest.mark.parametrize("of_the_context", [None, {"gradient_accumulation_steps": 2}])
def test_a_trial_that_has_its_settings_itself(
    of_the_context: dict[str, Any] | None, tmp_path: pathlib.Path
) -> None:
    """Its context, as for loading a checkpoint, may have no configuration at all."""
    folder = tiny.save(tmp_path, "bert", transformers.AutoModelForSequenceClassification)

    class OwnSettings(hf.BaseTransformerTrial):  # type: ignore[misc]
        def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
            self.hparams = AttrDict(
                pretrained_model_name_or_path=str(folder),
                model_mode="sequence-classification",
                use_pretrained_weights=True,
                global_batch_size=8,
                num_training_steps=10,
                gradient_accumulation_steps=2,
            )
            self.data_config = AttrDict()
            self.exp_config = AttrDict()
            super().__init__(context)

        def build_training_data_loader(self) -> Any: ...
        def build_validation_data_loader(self) -> Any: ...

    context = pytorch.CheckpointLoadContext(of_the_context)
    OwnSettings(context)
    assert context._aggregation_frequency == 2
