"""At which tokens generation stops, and how features are shown."""

import datasets
import pytest
import text_models
import transformers
from tokenizers import AddedToken

from model_hub.huggingface.tasks import instruction_tuning as sft
from model_hub.huggingface.tasks._common.preview import preview_features

Tokenizer = transformers.PreTrainedTokenizerFast


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    made = text_models.byte_level_tokenizer(["One and two"] * 3, 280, special)
    made.add_tokens([AddedToken("</call>", special=False)])
    return made


def features(tokenizer: Tokenizer, *texts: str) -> datasets.Dataset:
    """Rows of texts, of which what is between | and | is learned."""
    rows = []
    for text in texts:
        ids: list[int] = []
        labels: list[int] = []
        for number, part in enumerate(text.replace("<|", "<¦").replace("|>", "¦>").split("|")):
            tokens = tokenizer(part.replace("¦", "|"))["input_ids"]
            ids += tokens
            labels += tokens if number % 2 else [-100] * len(tokens)
        rows.append({"input_ids": ids, "labels": labels})
    return datasets.Dataset.from_list(rows)


@pytest.mark.parametrize(
    ("texts", "stops"),
    [
        (["Hi|One<|im_end|>|\n", "Hi|two<|im_end|>|"], ["<|im_end|>"]),
        # Any of the tokens at the end; not one within a turn.
        (["Hi|One<|im_end|>\n<|endoftext|>|", "Hi|two<|im_end|>|Hi"],
         ["<|endoftext|>", "<|im_end|>"]),
        (["Hi|<|im_end|>One<|endoftext|>|", "Hi|two<|im_end|>|Hi"], ["<|endoftext|>"]),
        (["Hi|One</call><|im_end|>|", "Hi|two<|im_end|>|"], ["<|im_end|>"]),
        # A line break, if all turns end with it and none has another one.
        (["Hi|One\n|", "Hi|two\n|"], ["\n"]),
        (["Hi|One\nand\n|", "Hi|two\n|"], []),
        (["Hi|One|", "Hi|two|"], []),
    ],
)  # fmt: skip
def test_stops(
    texts: list[str], stops: list[str], tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    config = transformers.GPT2Config(n_layer=1, n_embd=4, n_head=1, vocab_size=len(tokenizer))
    model = transformers.GPT2LMHeadModel(config)
    for known in (None, 7, [7, 8]):
        model.generation_config.eos_token_id = known
        before = known if isinstance(known, list) else [known] if known else []
        found = sft.stop_at_end_of_turn(model, tokenizer, features(tokenizer, *texts), 100)
        assert [tokenizer.decode([token]) for token in found[len(before) :]] == stops
        expected = found[0] if len(found) == 1 and known != [7, 8] else found or known
        assert model.generation_config.eos_token_id == expected
    assert ("generation does not stop" in caplog.text) == (texts[0] == "Hi|One\nand\n|")
    assert ("does not learn to stop" in caplog.text) == (texts[0] == "Hi|One|")


def test_end_of_a_cut_row_is_no_end(tokenizer: Tokenizer) -> None:
    rows = features(tokenizer, "Hi|One<|im_end|>|", "Hi|two and <|im_start|>|")
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_layer=1, n_embd=4, n_head=1, vocab_size=len(tokenizer))
    )
    model.generation_config.eos_token_id = None
    longest = max(map(len, rows["input_ids"]))
    found = sft.stop_at_end_of_turn(model, tokenizer, rows, longest)
    assert tokenizer.decode(found) == "<|im_end|>"


def test_preview(tokenizer: Tokenizer) -> None:
    rows = features(tokenizer, "<|im_start|>Hi|One<|im_end|>|\nHi|two|")
    (shown,) = preview_features(rows, tokenizer)
    assert shown.endswith("learned\n<|im_start|>Hi«One<|im_end|>»\nHi«two»")
    (shown,) = preview_features([{"input_ids": tokenizer("Oh Oh")["input_ids"]}], tokenizer)
    assert shown.endswith("\nO«h Oh»")
