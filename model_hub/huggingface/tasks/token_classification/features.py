"""Features of token classification: words with labels become tokens with labels."""

import itertools
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import transformers

from model_hub.huggingface.tasks._common.padding import NO_LABEL, side_to_pad
from model_hub.huggingface.tasks.token_classification.schemes import split_labels

# Words that tell whether a tokenizer marks the blanks before words.
_PROBES = ("a", "e", "1", "\u0430", "\u4e00")


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
    """Make features of rows of words and labels; a function for ``Dataset.map(batched=True)``.

    The first token of a word has its label and the others none. With ``label_all_tokens`` all have
    one: ``B-PER`` is followed by ``I-PER``, and ``S-PER`` becomes ``B-PER`` to ``E-PER``, so that
    the word stays in one entity (in other schemes in the same way); if there is no such label, only
    the first token is labelled. Rows without a labelled token are left out.

    Args:
        examples: a column of lists of words and one of lists of labels, equally long.
        tokenizer: a fast tokenizer.
        tokens_column: name of the column with the words.
        tags_column: name of the column with the labels.
        labels: names of the labels, in the order of the model's outputs.
        names: names of the numbers in ``tags_column``; None if it holds names.
        max_seq_length: tokens of the longest sequence, including special tokens; longer ones are
            cut.
        pad_to_max_length: store every sequence padded; the collator pads to the longest of a batch.
        label_all_tokens: label all tokens of a word.

    Returns:
        Lists with one entry per row, ``input_ids``, ``attention_mask``, ``token_type_ids`` if the
        tokenizer makes them, ``labels`` (all lists of int; -100 is no label), and ``words`` (int),
        the number of words with a labelled token.
    """
    encoded = tokenizer(
        _words_with_blanks(examples[tokens_column], tokenizer),
        is_split_into_words=True,
        truncation=True,
        max_length=max_seq_length,
        padding="max_length" if pad_to_max_length else False,
        padding_side=side_to_pad(tokenizer) if pad_to_max_length else None,
        return_attention_mask=True,
    )
    tags = examples[tags_column]
    words = [encoded.word_ids(row) for row in range(len(tags))]
    token_labels, word_counts = _label_tokens(words, tags, labels, names, label_all_tokens)
    features = {**encoded, "labels": token_labels, "words": word_counts}
    kept = [row for row, count in enumerate(word_counts) if count]
    if len(kept) == len(tags):
        return features
    return {name: [column[row] for row in kept] for name, column in features.items()}


def _words_with_blanks(
    rows: Sequence[Sequence[str]], tokenizer: transformers.PreTrainedTokenizerBase
) -> list[list[str]]:
    """Return the words, with a blank before each if the tokenizer makes it part of the token.

    Many tokenizers (GPT-2, Llama, Gemma) have different tokens for "Paris" inside a word and for
    " Paris". Some of them add the blank to each word of a list, the others take all words as the
    former.
    """
    if not _needs_blanks(tokenizer):
        return [list(words) for words in rows]
    # An empty word must stay empty: it has no token.
    return [
        [f" {word}" if word and not word[0].isspace() else word for word in words] for words in rows
    ]


def _needs_blanks(tokenizer: transformers.PreTrainedTokenizerBase) -> bool:
    """Return whether a word of a list has the tokens of running text only after a blank."""

    def tokens(text: str | list[str]) -> list[int]:
        split = isinstance(text, list)
        encoded = tokenizer(text, is_split_into_words=split, add_special_tokens=False)
        return list(encoded["input_ids"])

    for word in _PROBES:
        bare, blank = tokens([word]), tokens([f" {word}"])
        if bare != blank:  # Otherwise the vocabulary may not have it.
            first, both = tokens(word), tokens(f"{word} {word}")
            in_text = both[len(first) :]
            return in_text == blank and in_text != bare
    return False


def _label_tokens(
    words: Sequence[Sequence[int | None]],
    tags: Sequence[Sequence[Any]],
    labels: Sequence[str],
    names: Sequence[str] | None,
    label_all_tokens: bool,
) -> tuple[list[list[int]], list[int]]:
    """Return labels of all tokens, -100 for none, and the number of labelled words, by row.

    Args:
        words: by row the number of each token's word, None for special tokens.
        tags: by row the label of each word.
        labels: names of the labels, in the order of the model's outputs.
        names: names of the numbers in ``tags``; None if they are names.
        label_all_tokens: label all tokens of a word.
    """
    # All rows concatenated; neighbours of the same row and word are the tokens of a word.
    lengths = np.array([len(row) for row in words], dtype=np.int64)
    row = np.repeat(np.arange(len(words)), lengths)
    flat = pa.array(list(itertools.chain.from_iterable(words)), pa.int64())
    word = flat.fill_null(-1).to_numpy(zero_copy_only=False)
    begins = np.flatnonzero(np.diff(word, prepend=-2) | np.diff(row, prepend=-1))
    counts = np.diff(begins, append=len(word))
    begins, counts = begins[word[begins] >= 0], counts[word[begins] >= 0]

    coded = pa.array(list(itertools.chain.from_iterable(tags))).dictionary_encode()
    code = coded.indices.to_numpy()
    first_tag = np.cumsum([0, *map(len, tags)])
    tag = code[first_tag[row[begins]] + word[begins]]
    numbers = {name: number for number, name in enumerate(labels)}
    found = np.full(len(word), NO_LABEL)
    for number, value in enumerate(coded.dictionary.to_pylist()):
        name = value if names is None else names[value]
        alike = tag == number
        for count in np.unique(counts[alike]).tolist():
            spread = _spread(name, count, numbers) if label_all_tokens else [name]
            chosen = begins[alike & (counts == count)]
            for place, label in enumerate(spread):
                found[chosen + place] = numbers[label]
    ends = np.cumsum(lengths).tolist()
    all_labels = found.tolist()
    return (
        [
            all_labels[end - length : end]
            for end, length in zip(ends, lengths.tolist(), strict=True)
        ],
        np.bincount(row[begins], minlength=len(words)).tolist(),
    )


def _spread(tag: str, count: int, known: Container[str]) -> list[str]:
    """Return labels for the tokens of a word that keep it in one entity.

    Args:
        tag: label of the word.
        count: number of its tokens.
        known: all labels; if they lack one that the word needs, only its first token is labelled.
    """
    if count == 1:
        return [tag]
    letter, rest = tag[:1], tag[1:]
    [(position, _)] = split_labels([tag])
    # First, middle and last token; the middle is I or, in BMES, M.
    parts = {
        "B": ("B", "IM", "IM"),
        "E": ("IM", "IM", "E"),
        "L": ("I", "I", "L"),
        "S": ("B", "IM", "E"),
        "U": ("B", "I", "L"),
    }.get(position)
    if parts is None:
        return [tag] * count
    chosen = []
    for letters, number in zip(parts, (1, count - 2, 1), strict=True):
        cased = letters if letter.isupper() else letters.lower()
        label = next((f"{x}{rest}" for x in cased if f"{x}{rest}" in known), None)
        if label is None and number:
            return [tag]
        chosen += [label] * number if label is not None else []
    return chosen
