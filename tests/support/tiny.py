"""Models of a few thousand weights and tokenizers of a few words, made in place."""

import functools
import pathlib

import tokenizers
import transformers
from tokenizers import models, pre_tokenizers, processors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "sat", "ran", "where"]


def word_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Whole words; ``[CLS] a [SEP]`` and ``[CLS] a [SEP] b [SEP]``."""
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def bert_config(**changes: object) -> transformers.BertConfig:
    sizes = {
        "vocab_size": len(WORDS),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 32,
    }
    return transformers.BertConfig(**{**sizes, **changes})


CONFIGS = {
    "bert": bert_config,
    "gpt2": functools.partial(
        transformers.GPT2Config,
        vocab_size=len(WORDS),
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=32,
        bos_token_id=2,
        eos_token_id=3,
    ),
    "llama": functools.partial(
        transformers.LlamaConfig,
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
    ),
    "t5": functools.partial(
        transformers.T5Config,
        vocab_size=len(WORDS),
        d_model=16,
        d_ff=24,
        d_kv=8,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
    ),
    "vit": functools.partial(
        transformers.ViTConfig,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=8,
        patch_size=4,
    ),
}


def save(
    folder: pathlib.Path, family: str, auto_class: type | None = None, **changes: object
) -> pathlib.Path:
    """Writes a tokenizer and a model's configuration; with an Auto class, its weights as well."""
    folder.mkdir(parents=True, exist_ok=True)
    config = CONFIGS[family](**changes)
    config.save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    if auto_class is not None:
        auto_class.from_config(config).save_pretrained(folder)
    return folder
