"""Words with labels become tokens with labels."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import transformers

from model_hub.huggingface.tasks._padding import NO_LABEL
from model_hub.huggingface.tasks._tag_entities import parse_label


def prepare_features(
    examples: Mapping[str, Sequence[Any]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    tokens_column: str,
    tags_column: str,
    labels: Sequence[str],
    names: Sequence[str] | None,
    max_seq_length: int,
    pad_to_max_length: bool = False,
    label_all_tokens: bool = False,
) -> dict[str, list[Any]]:
    """Makes features of rows of words and labels; for ``Dataset.map(batched=True)``.

    A word becomes one or more tokens. The first has the word's label and the others none; with
    ``label_all_tokens`` all have one: after ``B-PER`` follows ``I-PER``, and an ``S-PER`` becomes
    ``B-PER`` to ``E-PER``, so that the word stays in one entity. Where the labels have no name for
    the tokens that follow, only the first is labelled. Rows without a labelled token are left out.

    Args:
        examples: a column of lists of words and one of lists of labels, equally long.
        tokenizer: a fast tokenizer.
        tokens_column: name of the column with the words.
        tags_column: name of the column with the labels.
        labels: names of the labels, in the order of the numbers that the model learns.
        names: names of the numbers in ``tags_column``; None if it holds names itself.
        max_seq_length: tokens of the longest sequence, special ones included; the rest is cut off.
        pad_to_max_length: store every sequence padded; the collator pads to the longest of a batch.
        label_all_tokens: give all tokens of a word a label.

    Returns:
        Lists with one entry per row: ``input_ids``, ``attention_mask``, ``token_type_ids`` if the
        tokenizer makes them, ``labels`` (all lists of int; -100 is no label), and ``words`` (int):
        how many words have a token with a label.
    """
    numbers = {name: number for number, name in enumerate(labels)}
    encoded = tokenizer(
        _as_in_a_text(examples[tokens_column], tokenizer),
        is_split_into_words=True,
        truncation=True,
        max_length=max_seq_length,
        padding="max_length" if pad_to_max_length else False,
        return_attention_mask=True,
    )
    features: dict[str, list[Any]] = {name: [] for name in (*encoded.keys(), "labels", "words")}
    for row, tags in enumerate(examples[tags_column]):
        word_of_token = encoded.word_ids(row)
        words = len({word for word in word_of_token if word is not None})
        if not words:
            continue
        for name in encoded:
            features[name].append(encoded[name][row])
        tag_names = tags if names is None else [names[tag] for tag in tags]
        features["labels"].append(
            _label_tokens(word_of_token, tag_names, numbers, label_all_tokens)
        )
        features["words"].append(words)
    return features


def _as_in_a_text(
    rows: Sequence[Sequence[str]], tokenizer: transformers.PreTrainedTokenizerBase
) -> list[list[str]]:
    """The words, with a blank before each where the tokenizer counts that to the word.

    Byte-level tokenizers (GPT-2, RoBERTa, Llama 3) know "Paris" at the beginning of a text and
    " Paris" within it as different tokens. From a list of words they would take all of them as
    the former, or rather as the continuation of the word before.
    """
    pre_tokenizer = tokenizer.backend_tokenizer.pre_tokenizer
    state = b"" if pre_tokenizer is None else pre_tokenizer.__getstate__()
    if b'"ByteLevel"' not in state:
        return [list(words) for words in rows]
    # An empty word must stay one: it has no token.
    return [
        [f" {word}" if word and not word[0].isspace() else word for word in words] for words in rows
    ]


def _label_tokens(
    word_of_token: Sequence[int | None],
    tags: Sequence[str],
    numbers: Mapping[str, int],
    label_all_tokens: bool,
) -> list[int]:
    labels: list[int] = []
    for word, group in itertools.groupby(word_of_token):
        count = len(list(group))
        if word is None:
            labels += [NO_LABEL] * count
            continue
        spread = _spread(tags[word], count) if label_all_tokens else [tags[word]]
        if any(name not in numbers for name in spread):
            spread = [tags[word]]
        labels += [numbers[name] for name in spread]
        labels += [NO_LABEL] * (count - len(spread))
    return labels


def _spread(tag: str, count: int) -> list[str]:
    """Labels of the tokens of one word, in which its entity stays one."""
    position, _ = parse_label(tag)
    if count == 1:
        return [tag]
    rest = tag.removeprefix(position)
    inside = f"I{rest}"
    if position == "B":
        return [tag, *[inside] * (count - 1)]
    if position == "E":
        return [*[inside] * (count - 1), tag]
    if position == "S":
        return [f"B{rest}", *[inside] * (count - 2), f"E{rest}"]
    return [tag] * count
