"""Tiny tokenizers of four families, made in place: nothing is downloaded."""

import string

import pytest
import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

_WORDS = ("the", "paris", "##is", "##ing", "capital", "france", "what", "who", "was", "##ed")


def wordpiece_tokenizer(padding_side: str = "right") -> transformers.PreTrainedTokenizerFast:
    """BERT-like: lower-cases, drops accents and control characters; ``[CLS] a [SEP] b [SEP]``."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    entries = [*specials, *letters, *(f"##{letter}" for letter in letters), *_WORDS]
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    backend.decoder = decoders.WordPiece()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        padding_side=padding_side,
        model_max_length=512,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def byte_level_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """GPT-2-like: bytes, blanks belong to the word after them; no special token at all."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("i", "s"), ("Ġ", "the"), ("a", "n")]
    entries = [*alphabet, *(left + right for left, right in merges)]
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend)


def xlnet_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """XLNet's own class: decomposes characters, padding left, ``a <sep> b <sep> <cls>``."""
    specials = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]
    letters = ["▁", *string.ascii_letters, *string.digits, *string.punctuation]
    words = ["▁the", "is", "▁paris", "an"]
    pieces = [(piece, 0.0) for piece in specials]
    pieces += [(letter, -4.0) for letter in letters] + [(word, -3.0) for word in words]
    return transformers.XLNetTokenizer(vocab=pieces)


_TOKENIZERS = {
    "bert": wordpiece_tokenizer,
    "left": lambda: wordpiece_tokenizer("left"),
    "gpt": byte_level_tokenizer,
    "xlnet": xlnet_tokenizer,
}


@pytest.fixture(scope="session", params=sorted(_TOKENIZERS))
def tokenizer(request: pytest.FixtureRequest) -> transformers.PreTrainedTokenizerFast:
    """One tokenizer of each family."""
    return _TOKENIZERS[request.param]()


@pytest.fixture(scope="session")
def bert() -> transformers.PreTrainedTokenizerFast:
    """The BERT-like one."""
    return wordpiece_tokenizer()


@pytest.fixture(scope="session")
def left() -> transformers.PreTrainedTokenizerFast:
    """The BERT-like one with padding on the left."""
    return wordpiece_tokenizer("left")


@pytest.fixture(scope="session")
def gpt() -> transformers.PreTrainedTokenizerFast:
    """The one without CLS and padding token."""
    return byte_level_tokenizer()


@pytest.fixture(scope="session")
def xlnet() -> transformers.PreTrainedTokenizerFast:
    """The one with CLS at the end."""
    return xlnet_tokenizer()
