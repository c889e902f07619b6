"""Small models without weights: a configuration, and a tokenizer of the sample texts."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: Longest sequence of the families that count positions, in tokens.
POSITIONS = 128
_WIDTH = 64
_VOCABULARY = 800


@dataclasses.dataclass(frozen=True)
class Family:
    """One kind of model.

    Attributes:
        title: its name as people write it.
        special: its special tokens, by the name that transformers gives them.
        single: how a text is written, as ``TemplateProcessing`` of `tokenizers` has it.
        pair: the same for two texts.
        config: ``config.json`` without the vocabulary.
        tokenizer: more of ``tokenizer_config.json``.
        leading_blank: whether a text gets a blank in front.
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
        {
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        },
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
            "max_position_embeddings": POSITIONS,
            "initializer_range": 0.1,
        },
        {"model_max_length": POSITIONS},
    ),
    "gpt2": Family(
        "GPT-2",
        {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"},
        "$A",
        "$A $B",
        {
            "model_type": "gpt2",
            "n_embd": _WIDTH,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": POSITIONS,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
        },
        {
            "model_max_length": POSITIONS,
            "model_input_names": ["input_ids", "attention_mask"],
        },
        leading_blank=False,
    ),
    "xlnet": Family(
        "XLNet",
        {
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "cls_token": "<cls>",
            "sep_token": "<sep>",
            "mask_token": "<mask>",
        },
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
        {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
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
    """Writes ``config.json``, ``tokenizer.json`` and ``tokenizer_config.json``.

    Args:
        folder: it is made.
        family: the kind of model.
        texts: what the tokenizer's pieces are taken from; others can be written in them too.
        chat_template: how a conversation is written as text.
    """
    # Put off: `model-hub --help` need not wait for it. transformers, which takes seconds to import,
    # is not needed to write its files.
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    special = list(dict.fromkeys(family.special.values()))
    tokenizer = Tokenizer(models.BPE())
    # As GPT-2's: pieces of bytes, so that any text can be written.
    # A blank before the first word makes it the same piece there as within a text.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=family.leading_blank)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    numbers = {token: tokenizer.token_to_id(token) for token in special}
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single=family.single, pair=family.pair, special_tokens=list(numbers.items())
            ),
        ]
    )
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **family.special, **family.tokenizer}
    if chat_template is not None:
        settings["chat_template"] = chat_template
    _write_json(folder / "tokenizer_config.json", settings)
    ids = {f"{name}_id": numbers[token] for name, token in family.special.items()}
    ids = {name: number for name, number in ids.items() if name[:3] in ("pad", "bos", "eos")}
    if family.config.get("is_encoder_decoder"):
        ids["decoder_start_token_id"] = numbers[family.special["pad_token"]]
    _write_json(
        folder / "config.json", {**family.config, "vocab_size": tokenizer.get_vocab_size(), **ids}
    )


def row_texts(value: Any) -> list[str]:
    """All texts in a value of JSON."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Sequence):
        return [text for item in value for text in row_texts(item)]
    return []


def _write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
