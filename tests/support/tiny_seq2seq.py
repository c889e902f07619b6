"""Small encoder-decoder models and a tokenizer of their texts, made in place."""

import pathlib
from collections.abc import Iterable

import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

SPECIAL = ["<pad>", "</s>", "<unk>"]


def trained_tokenizer(
    texts: Iterable[str], vocabulary_size: int = 400
) -> transformers.PreTrainedTokenizerFast:
    """Byte-level pieces; ``text </s>``, as T5 and Marian have it."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def config(family: str, vocabulary_size: int, width: int = 32) -> transformers.PretrainedConfig:
    """A model with one layer in encoder and decoder, without dropout."""
    ids = {"pad_token_id": 0, "eos_token_id": 1, "vocab_size": vocabulary_size}
    if family == "t5":
        return transformers.T5Config(
            d_model=width,
            d_ff=2 * width,
            d_kv=width // 2,
            num_layers=1,
            num_heads=2,
            dropout_rate=0.0,
            decoder_start_token_id=0,
            **ids,
        )
    # BART begins with the end-of-sequence token, Marian with padding.
    cls, start = {"bart": (transformers.BartConfig, 1), "marian": (transformers.MarianConfig, 0)}[
        family
    ]
    return cls(
        d_model=width,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=2 * width,
        decoder_ffn_dim=2 * width,
        max_position_embeddings=256,
        dropout=0.0,
        init_std=0.1,
        bos_token_id=1,
        decoder_start_token_id=start,
        forced_eos_token_id=1,
        **ids,
    )


def save(folder: pathlib.Path, family: str, texts: Iterable[str], width: int = 32) -> pathlib.Path:
    """Writes a tokenizer of these texts and a configuration; weights are for the trial to make."""
    tokenizer = trained_tokenizer(texts)
    tokenizer.save_pretrained(folder)
    config(family, len(tokenizer), width).save_pretrained(folder)
    return folder
