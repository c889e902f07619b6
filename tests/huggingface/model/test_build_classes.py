"""Models of a class that no mode names, and tokenizers that tell two texts apart."""

import pathlib

import pytest
import tiny
import tiny_xlnet
import transformers

from model_hub import huggingface as hf
from model_hub.errors import UserError

CONTEXT, QUESTION = "the cat sat", "where"


def build(folder: pathlib.Path, weights: bool, model_class: type | None = None) -> tuple:
    kwargs = {"pretrained_model_name_or_path": str(folder)}
    return hf.build_using_auto(
        kwargs,
        kwargs,
        "question-answering",
        kwargs,
        use_pretrained_weights=weights,
        model_class=model_class,
    )


@pytest.fixture
def xlnet(tmp_path: pathlib.Path) -> pathlib.Path:
    return tiny_xlnet.save(tmp_path / "xlnet", [CONTEXT, QUESTION])


@pytest.mark.parametrize("weights", [False, True])
def test_a_class_in_place_of_the_mode(xlnet: pathlib.Path, weights: bool) -> None:
    wanted = transformers.XLNetForQuestionAnswering
    if weights:
        trained = wanted(transformers.XLNetConfig.from_pretrained(xlnet))
        trained.save_pretrained(xlnet)
    config, _, model = build(xlnet, weights, wanted)
    assert type(model) is wanted and isinstance(config, transformers.XLNetConfig)
    if weights:
        assert model.start_logits.dense.weight.equal(trained.start_logits.dense.weight)
    assert type(build(xlnet, False)[2]) is transformers.XLNetForQuestionAnsweringSimple


def test_a_configuration_of_another_class(tmp_path: pathlib.Path) -> None:
    folder = tiny.save(tmp_path / "bert", "bert")
    with pytest.raises(UserError, match="type 'bert', but this trial builds XLNetForQuestionAns"):
        build(folder, False, transformers.XLNetForQuestionAnswering)


def test_xlnet_gets_its_segments(xlnet: pathlib.Path) -> None:
    """transformers 5 makes them no longer unless asked; XLNet was pretrained with them."""
    _, tokenizer, _ = build(xlnet, False)
    encoded = tokenizer(CONTEXT, QUESTION)
    pieces = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    first = pieces.index("<sep>") + 1
    second = len(pieces) - 1 - first
    assert encoded["token_type_ids"] == [0] * first + [1] * second + [2]


@pytest.mark.parametrize(
    ("family", "changes", "segments"),
    [("bert", {}, True), ("bert", {"type_vocab_size": 1}, False), ("gpt2", {}, False)],
)
def test_only_models_with_segments_get_them(
    family: str, changes: dict[str, int], segments: bool, tmp_path: pathlib.Path
) -> None:
    folder = tiny.save(tmp_path / family, family, **changes)
    _, tokenizer, _ = build(folder, False)
    assert ("token_type_ids" in tokenizer(CONTEXT, QUESTION)) == segments
