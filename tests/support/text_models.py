"""Tokenizers trained in place, and configurations of small language models for them."""

import pathlib
from collections.abc import Iterable, Sequence

import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers


def byte_level_tokenizer(
    texts: Iterable[str], size: int = 400, special: Sequence[str] = ("<|endoftext|>",)
) -> transformers.PreTrainedTokenizerFast:
    """As GPT-2's: any text can be written in it, and no special token is added by itself."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=special[0], bos_token=special[0]
    )


def xlnet_tokenizer(texts: Iterable[str], size: int = 400) -> transformers.XLNetTokenizer:
    """XLNet's own class, with the pieces of a unigram model of these texts."""
    specials = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]
    backend = tokenizers.Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    scores = dict(_pieces(backend))
    pieces = [(name, 0.0) for name in specials]
    pieces += [(name, score) for name, score in scores.items() if name not in specials]
    return transformers.XLNetTokenizer(vocab=pieces)


def _pieces(backend: tokenizers.Tokenizer) -> list[tuple[str, float]]:
    import json

    return [(name, score) for name, score in json.loads(backend.to_str())["model"]["vocab"]]


def save_gpt2(
    folder: pathlib.Path,
    tokenizer: transformers.PreTrainedTokenizerBase,
    *,
    width: int = 32,
    layers: int = 1,
    positions: int = 64,
    dropout: float = 0.0,
    **changes: object,
) -> pathlib.Path:
    """A configuration without weights, and the tokenizer."""
    settings = {
        "vocab_size": len(tokenizer),
        "n_embd": width,
        "n_layer": layers,
        "n_head": 2,
        "n_positions": positions,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "resid_pdrop": dropout,
        "embd_pdrop": dropout,
        "attn_pdrop": dropout,
    }
    return _save(folder, transformers.GPT2Config(**{**settings, **changes}), tokenizer)


def save_xlnet(
    folder: pathlib.Path,
    tokenizer: transformers.PreTrainedTokenizerBase,
    *,
    width: int = 32,
    layers: int = 1,
    **changes: object,
) -> pathlib.Path:
    """The same for XLNet."""
    settings = {
        "vocab_size": len(tokenizer),
        "d_model": width,
        "n_layer": layers,
        "n_head": 2,
        "d_inner": 2 * width,
        "pad_token_id": tokenizer.pad_token_id,
        "dropout": 0.0,
    }
    return _save(folder, transformers.XLNetConfig(**{**settings, **changes}), tokenizer)


def save_bert(
    folder: pathlib.Path,
    tokenizer: transformers.PreTrainedTokenizerBase,
    *,
    width: int = 32,
    layers: int = 1,
    **changes: object,
) -> pathlib.Path:
    """The same for BERT."""
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 2 * width,
        "max_position_embeddings": 64,
    }
    return _save(folder, transformers.BertConfig(**{**settings, **changes}), tokenizer)


def _save(
    folder: pathlib.Path,
    config: transformers.PretrainedConfig,
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
