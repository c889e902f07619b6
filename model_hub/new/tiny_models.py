"""Small models without weights: a configuration, and a tokenizer of the sample texts."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# The longest sequence of models with position embeddings, in tokens.
_POSITIONS = 128
_WIDTH = 64
_VOCABULARY = 800


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of model.

    Attributes:
        title: its usual name.
        special: its special tokens: ``pad`` stands for ``pad_token`` of transformers, and so on.
        single: the template of a text, for ``TemplateProcessing`` of `tokenizers`.
        pair: the template of two texts.
        config: ``config.json`` without the vocabulary.
        tokenizer: further settings in ``tokenizer_config.json``.
        leading_blank: whether a blank is put in front of a text.
    """

    title: str
    special: Mapping[str, str]
    single: str
    pair: str
    config: Mapping[str, Any]
    tokenizer: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    leading_blank: bool = True


FAMILIES = {
    "bert": Family(
        "BERT",
        {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
        "[CLS]:0 $A:0 [SEP]:0",
        "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        {
            "model_type": "bert",
            "hidden_size": _WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 2 * _WIDTH,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "max_position_embeddings": _POSITIONS,
            "initializer_range": 0.1,
        },
        {"model_max_length": _POSITIONS},
    ),
    "gpt2": Family(
        "GPT-2",
        {"bos": "<|endoftext|>", "eos": "<|endoftext|>", "pad": "<|pad|>"},
        "$A",
        "$A $B",
        {
            "model_type": "gpt2",
            "n_embd": _WIDTH,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": _POSITIONS,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
        },
        {"model_max_length": _POSITIONS, "model_input_names": ["input_ids", "attention_mask"]},
        leading_blank=False,
    ),
    "xlnet": Family(
        "XLNet",
        {"pad": "<pad>", "unk": "<unk>", "bos": "<s>", "eos": "</s>"}
        | {"cls": "<cls>", "sep": "<sep>", "mask": "<mask>"},
        "$A:0 <sep>:0 <cls>:2",
        "$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2",
        {
            "model_type": "xlnet",
            "d_model": _WIDTH,
            "n_layer": 2,
            "n_head": 4,
            "d_inner": 2 * _WIDTH,
            "dropout": 0.0,
            "summary_last_dropout": 0.0,
            "initializer_range": 0.1,
        },
        {"padding_side": "left"},
    ),
    "t5": Family(
        "T5",
        {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"},
        "$A </s>",
        "$A </s> $B </s>",
        {
            "model_type": "t5",
            "is_encoder_decoder": True,
            "d_model": _WIDTH,
            "d_ff": 2 * _WIDTH,
            "d_kv": _WIDTH // 4,
            "num_layers": 1,
            "num_heads": 4,
            "dropout_rate": 0.0,
        },
        {"model_input_names": ["input_ids", "attention_mask"]},
    ),
}


def write_tiny_model(
    folder: pathlib.Path, family: Family, texts: Iterable[str], chat_template: str | None = None
) -> None:
    """Write ``config.json``, ``tokenizer.json`` and ``tokenizer_config.json`` into a new folder.

    The tokenizer is trained on the texts, but can encode any other text too.
    """
    # Imported here, so that `model-hub new` lists tasks without it. The files are written without
    # transformers, which takes seconds to import.
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    special = list(dict.fromkeys(family.special.values()))
    tokenizer = Tokenizer(models.BPE())
    # Bytes as in GPT-2, so that any text can be encoded. A blank before the first word gives it the
    # same token as within a text.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=family.leading_blank)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    token_ids = {token: tokenizer.token_to_id(token) for token in special}
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single=family.single, pair=family.pair, special_tokens=list(token_ids.items())
            ),
        ]
    )
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{name}_token": token for name, token in family.special.items()}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **names, **family.tokenizer}
    if chat_template is not None:
        settings["chat_template"] = chat_template
    _write_json(folder / "tokenizer_config.json", settings)
    config = {**family.config, "vocab_size": tokenizer.get_vocab_size()}
    for name, token in family.special.items():
        if name in ("pad", "bos", "eos"):
            config[f"{name}_token_id"] = token_ids[token]
    if config.get("is_encoder_decoder"):
        config["decoder_start_token_id"] = token_ids[family.special["pad"]]
    _write_json(folder / "config.json", config)


def row_texts(value: Any) -> list[str]:
    """Return all texts in a JSON value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Sequence):
        return [text for item in value for text in row_texts(item)]
    return []


def _write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
