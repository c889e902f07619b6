"""Config, tokenizer and model of every mode; optimizers and schedules; what the user is told."""

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

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface import compat
from model_hub.huggingface.model.build import _call_kwargs
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
