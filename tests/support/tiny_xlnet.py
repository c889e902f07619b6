"""A small XLNet and a tokenizer of the words of its texts, made in place."""

import pathlib
import string
from collections.abc import Iterable

import transformers

SPECIAL = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]


def tokenizer_of(texts: Iterable[str]) -> transformers.XLNetTokenizer:
    """Words as far as they are made of letters and digits, and single characters."""
    words = sorted({word for text in texts for word in text.split() if word.isalnum()})
    characters = ["▁", *string.ascii_letters, *string.digits, *string.punctuation]
    pieces = [(piece, 0.0) for piece in SPECIAL] + [(letter, -9.0) for letter in characters]
    whole = {f"▁{word}" for word in words} - set(characters)
    return transformers.XLNetTokenizer(vocab=pieces + [(piece, -3.0) for piece in sorted(whole)])


def save(folder: pathlib.Path, texts: Iterable[str], **changes: object) -> pathlib.Path:
    """Writes a tokenizer of these texts and a configuration; weights are for the trial to make."""
    tokenizer = tokenizer_of(texts)
    tokenizer.save_pretrained(folder)
    sizes = {"d_model": 32, "n_layer": 1, "n_head": 2, "d_inner": 64, "dropout": 0.0}
    sizes.update(start_n_top=3, end_n_top=4, initializer_range=0.1)
    config = transformers.XLNetConfig(vocab_size=len(tokenizer), **{**sizes, **changes})
    config.save_pretrained(folder)
    return folder
