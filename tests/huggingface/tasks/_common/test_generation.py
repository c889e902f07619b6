"""What the YAML says of generation wins over the model's generation_config.json."""

from typing import Any

import pytest
import text_models
import tiny_seq2seq
import torch
import transformers

from model_hub.huggingface.tasks import seq2seq as s2s
from model_hub.huggingface.tasks._common.generation import generate, generated_lengths

TEXTS = ["the cat sat on the mat", "dogs run"]
# What such files of published models hold, and what breaks or changes a validation.
FILES: list[dict[str, Any]] = [
    {"max_new_tokens": 4},
    {"max_length": 5},
    {"num_beams": 4},
    {"num_beams": 4, "num_return_sequences": 3},
    {"do_sample": True, "num_return_sequences": 3, "temperature": 0.7, "top_p": 0.9, "top_k": 5},
    {"stop_strings": ["never written"]},
    {"return_dict_in_generate": True, "output_scores": True, "output_attentions": True},
    {"return_dict_in_generate": True, "output_hidden_states": True, "output_logits": True},
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0},
    {"penalty_alpha": 0.6, "top_k": 4},
    {"dola_layers": "low"},
    {"prompt_lookup_num_tokens": 3},
    {"assistant_early_exit": 1},
    {"is_assistant": True},
    {"low_memory": True},
    {"max_time": 1e-6},
    {"token_healing": True},
]


def made(family: str) -> tuple[Any, Any]:
    torch.manual_seed(3)
    if family == "gpt2":
        tokenizer = text_models.byte_level_tokenizer(TEXTS, 270)
        config = transformers.GPT2Config(
            vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=64
        )
        return tokenizer, transformers.GPT2LMHeadModel(config).eval()
    tokenizer = tiny_seq2seq.trained_tokenizer(TEXTS, 270)
    config = tiny_seq2seq.config(family, len(tokenizer), width=16)
    return tokenizer, transformers.AutoModelForSeq2SeqLM.from_config(config).eval()


def with_file(model: Any, file: dict[str, Any]) -> Any:
    own = transformers.GenerationConfig.from_model_config(model.config).to_dict()
    model.generation_config = transformers.GenerationConfig.from_dict({**own, **file})
    return model


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("family", ["gpt2", "bart", "t5"])
def test_the_models_file_changes_nothing_that_is_set(family: str, beams: int) -> None:
    tokenizer, model = made(family)
    inputs = {
        "input_ids": torch.tensor([[5, 6, 7], [8, 9, 10]]),
        "attention_mask": torch.ones(2, 3, dtype=torch.int64),
    }
    settings: dict[str, Any] = {"max_length": 9} if family != "gpt2" else {"max_new_tokens": 9}

    def tokens(file: dict[str, Any]) -> torch.Tensor:
        own = with_file(model, file)
        return generate(own, tokenizer, inputs, num_beams=beams, pad_token_id=0, **settings)

    expected = tokens({})
    assert expected.shape == (2, 9 if family != "gpt2" else 12)
    for file in FILES:
        assert torch.equal(tokens(file), expected), file


def test_what_the_yaml_leaves_to_the_model_is_the_models() -> None:
    tokenizer, model = made("bart")
    inputs = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3).long()}
    model = with_file(model, {"num_beams": 4, "length_penalty": 2.0, "max_new_tokens": 3})
    expected = model.generate(**inputs, max_length=9, max_new_tokens=None, do_sample=False)
    assert torch.equal(generate(model, tokenizer, inputs, max_length=9), expected)
    # A model that writes nothing but "a", and stops at what its file says.
    (letter,) = tokenizer("a", add_special_tokens=False)["input_ids"]
    model.final_logits_bias[0, letter] = 100.0
    for file, length in (({}, 9), ({"stop_strings": ["aaa"]}, 4)):
        tokens = generate(with_file(model, file), tokenizer, inputs, max_length=9, num_beams=1)
        assert tokens.shape == (1, length)


def test_a_validation_generates_what_the_yaml_says() -> None:
    tokenizer, model = made("bart")
    encoded = tokenizer(TEXTS, return_tensors="pt", padding=True)
    batch = {
        "input_ids": encoded["input_ids"],
        "attention_mask": encoded["attention_mask"],
        "labels": encoded["input_ids"],
    }
    kwargs = s2s.Seq2SeqDataKwargs(max_target_length=24)
    free = s2s.generate(with_file(model, {}), batch, tokenizer, kwargs)
    assert max(free.lengths.tolist()) > 4
    for file in ({"max_new_tokens": 4}, {"num_return_sequences": 2, "do_sample": True}):
        held = s2s.generate(with_file(model, file), batch, tokenizer, kwargs)
        assert (held.texts, held.lengths.tolist()) == (free.texts, free.lengths.tolist()), file


@pytest.mark.parametrize(
    ("tokens", "padding", "ends", "lengths"),
    [
        ([[5, 6, 1, 0, 0], [5, 1, 0, 0, 0], [5, 6, 7, 8, 9]], 0, {1}, [3, 2, 5]),
        # Padded with the token that ends a text: the first of them is the end.
        (
            [[5, 6, 1, 1, 1], [1, 1, 1, 1, 1], [5, 6, 7, 8, 1], [5, 6, 7, 8, 9]],
            1,
            {1},
            [3, 1, 5, 5],
        ),
        ([[5, 2, 1, 1], [5, 6, 1, 1], [5, 6, 7, 2]], 1, {1, 2}, [2, 3, 4]),
        ([[5, 6, 0], [5, 6, 7]], 0, set(), [2, 3]),
    ],
)
def test_lengths_include_the_end(
    tokens: list[list[int]], padding: int, ends: set[int], lengths: list[int]
) -> None:
    assert generated_lengths(torch.tensor(tokens), padding, ends).tolist() == lengths
