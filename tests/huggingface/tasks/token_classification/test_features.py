"""Words with labels become tokens with labels; batches."""

import itertools
import pathlib
import pickle
from typing import Any

import datasets
import pytest
import tiny
import tokenizers
import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks import token_classification as tc

Tokenizer = transformers.PreTrainedTokenizerFast
NAMES = ("B-per", "I-per", "O")


def features(
    words: list[list[str]], tags: list[list[Any]], tokenizer: Tokenizer, **changes: Any
) -> dict[str, list[Any]]:
    settings = {"labels": NAMES, "names": None, "max_seq_length": 64, **changes}
    columns = {"tokens_column": "tokens", "tags_column": "ner_tags"}
    rows = {"tokens": words, "ner_tags": tags}
    return tc.prepare_features(rows, tokenizer=tokenizer, **columns, **settings)


def told(tokenizer: Tokenizer, made: dict[str, list[Any]], labels: Any = NAMES) -> list[str]:
    """Tokens of the first row with their labels."""
    tokens = tokenizer.convert_ids_to_tokens(made["input_ids"][0])
    return [
        token if label == -100 else f"{token}={labels[label]}"
        for token, label in zip(tokens, made["labels"][0], strict=True)
    ]


class TestPrepare:
    def test_first_token_of_a_word(self, bert: Tokenizer) -> None:
        made = features([["Paris", "was", "xy"]], [["B-per", "O", "I-per"]], bert)
        expected = "[CLS] paris=B-per was=O x=I-per ##y [SEP]"
        assert told(bert, made) == expected.split()
        assert made["words"] == [3]
        assert set(made) == {"input_ids", "token_type_ids", "attention_mask", "labels", "words"}

    @pytest.mark.parametrize(
        ("labels", "tag", "expected"),
        [
            ("B-per I-per O", "B-per", "x=B-per ##y=I-per ##z=I-per"),
            ("B-per I-per O", "I-per", "x=I-per ##y=I-per ##z=I-per"),
            ("B-per I-per O", "O", "x=O ##y=O ##z=O"),
            # The type may have hyphens itself.
            ("B-a-b I-a-b", "B-a-b", "x=B-a-b ##y=I-a-b ##z=I-a-b"),
            ("B-p I-p E-p S-p", "S-p", "x=B-p ##y=I-p ##z=E-p"),
            ("B-p I-p E-p S-p", "E-p", "x=I-p ##y=I-p ##z=E-p"),
            ("B I O", "B", "x=B ##y=I ##z=I"),
            ("NOUN VERB", "NOUN", "x=NOUN ##y=NOUN ##z=NOUN"),
            # No name for what follows.
            ("B-per O", "B-per", "x=B-per ##y ##z"),
            ("S-per O", "S-per", "x=S-per ##y ##z"),
        ],
    )
    def test_all_tokens_of_a_word(
        self, labels: str, tag: str, expected: str, bert: Tokenizer
    ) -> None:
        names = labels.split()
        made = features([["xyz"]], [[tag]], bert, labels=names, label_all_tokens=True)
        assert told(bert, made, names) == ["[CLS]", *expected.split(), "[SEP]"]

    def test_entities_stay_what_they_were(self, bert: Tokenizer) -> None:
        """With all tokens labelled there are as many entities as with the first ones."""
        words = [["xy", "zz", "was", "abc", "the", "xy"]]
        tags = [["B-per", "I-per", "O", "B-per", "B-per", "O"]]
        tables = tc.LabelTables(NAMES)
        for every in (False, True):
            made = features(words, tags, bert, label_all_tokens=every)
            labels = torch.tensor(made["labels"])
            counts = tc.count_entities(labels.clamp(min=0), labels, tables)
            assert counts["gold"].tolist() == counts["matched"].tolist() == [3]
            assert counts["tokens"] == (len(made["labels"][0]) - 2 if every else 6)

    def test_every_family(self, tokenizer: Tokenizer) -> None:
        """Each word has as many tokens as alone, and its label at the first of them."""
        words = ["the", "paris", "is", "xyzzy", ",", "an"]
        tags = ["O", "B-per", "I-per", "O", "B-per", "I-per"]
        for every in (False, True):
            made = features([words], [tags], tokenizer, label_all_tokens=every)
            expected = []
            for word, tag in zip(words, tags, strict=True):
                alone = len(tokenizer(f" {word}", add_special_tokens=False)["input_ids"])
                number = NAMES.index(tag)
                following = NAMES.index("I-per") if tag == "B-per" else number
                expected += [number, *[following if every else -100] * (alone - 1)]
            special = tokenizer.get_special_tokens_mask(
                made["input_ids"][0], already_has_special_tokens=True
            )
            plain = [n for n, mask in zip(made["labels"][0], special, strict=True) if not mask]
            assert plain == expected
            around = [n for n, mask in zip(made["labels"][0], special, strict=True) if mask]
            assert set(around) <= {-100}

    @pytest.mark.parametrize("family", [transformers.GPT2Tokenizer, transformers.RobertaTokenizer])
    @pytest.mark.parametrize("prefix", [False, True])
    def test_words_are_tokenized_as_within_a_text(
        self, family: Any, prefix: bool, gpt: Tokenizer, tmp_path: pathlib.Path
    ) -> None:
        vocabulary = dict(gpt.get_vocab())
        for special in ("<|endoftext|>", "<s>", "</s>", "<pad>", "<unk>", "<mask>"):
            vocabulary[special] = len(vocabulary)
        merges = [("t", "h"), ("th", "e"), ("i", "s"), ("Ġ", "the"), ("a", "n")]
        family(vocab=vocabulary, merges=merges, add_prefix_space=prefix).save_pretrained(tmp_path)
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
        assert isinstance(tokenizer, family)
        made = features([["the", "", "cat", "is"]], [["O", "O", "B-per", "O"]], tokenizer)
        assert made["input_ids"] == [tokenizer(" the cat is")["input_ids"]]
        assert [label.split("=")[0] for label in told(tokenizer, made) if "=O" in label] == [
            "Ġthe",
            "Ġ",
        ]
        assert made["words"] == [3]

    @pytest.mark.parametrize("kind", ["always", "first", "never", "gemma", "llama", "wordpiece"])
    def test_blanks_of_all_kinds_of_tokenizers(self, kind: str) -> None:
        """Words of a list have the tokens that they have in a text."""
        tokenizer = marking_blanks(kind)
        made = features([["the", "", "cat", "is"]], [["O", "O", "B-per", "O"]], tokenizer)
        (ids,) = made["input_ids"]
        text = tokenizer("is the cat is")["input_ids"]
        assert ids == text[len(tokenizer("is")["input_ids"]) :]
        assert tokenizer.decode(ids).split() == ["the", "cat", "is"]
        assert made["words"] == [3]

    def test_what_has_no_token_is_left_out(self, bert: Tokenizer) -> None:
        # A control character and an empty word have none; the second and third row have nothing.
        words = [["the", "\u0007", "", "paris"], [], ["\u0007"], ["is"]]
        tags = [["O", "B-per", "B-per", "I-per"], [], ["O"], ["O"]]
        made = features(words, tags, bert)
        assert told(bert, made) == ["[CLS]", "the=O", "paris=I-per", "[SEP]"]
        assert made["words"] == [2, 1]
        assert {len(column) for column in made.values()} == {2}

    def test_long_sentences_are_cut(self, bert: Tokenizer) -> None:
        made = features([["the", "abc", "paris"]], [["O", "B-per", "O"]], bert, max_seq_length=5)
        assert told(bert, made) == ["[CLS]", "the=O", "a=B-per", "##b", "[SEP]"]
        assert made["words"] == [2]

    def test_padding_is_stored_if_asked_for(self, left: Tokenizer) -> None:
        made = features([["the"]], [["O"]], left, max_seq_length=6, pad_to_max_length=True)
        assert told(left, made) == ["[CLS]", "the=O", "[SEP]", "[PAD]", "[PAD]", "[PAD]"]
        assert made["attention_mask"] == [[1, 1, 1, 0, 0, 0]]

    def test_numbers_are_those_of_the_model(self, bert: Tokenizer) -> None:
        """The rows' numbers have other names than the model's."""
        made = features(
            [["the", "paris"]], [[0, 1]], bert, names=("O", "B-per", "I-per"), labels=NAMES
        )
        assert told(bert, made) == ["[CLS]", "the=O", "paris=B-per", "[SEP]"]


def marking_blanks(kind: str) -> Tokenizer:
    """A tokenizer with a token for each word, marked if there is a blank before it."""
    words = ["the", "cat", "is", "a"]
    if kind == "wordpiece":
        pieces = ["[UNK]", *words]
        backend = tokenizers.Tokenizer(
            tokenizers.models.WordPiece(
                {piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"
            )
        )
        backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        return Tokenizer(tokenizer_object=backend, unk_token="[UNK]")
    pieces = ["<unk>", "\u2581", *words, *(f"\u2581{word}" for word in words)]
    backend = tokenizers.Tokenizer(
        tokenizers.models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0)
    )
    replace = tokenizers.normalizers.Replace(" ", "\u2581")
    if kind == "gemma":
        backend.normalizer = replace
    elif kind == "llama":
        backend.normalizer = tokenizers.normalizers.Sequence(
            [tokenizers.normalizers.Prepend("\u2581"), replace]
        )
    else:
        backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme=kind)
    backend.decoder = tokenizers.decoders.Metaspace()
    return Tokenizer(tokenizer_object=backend, unk_token="<unk>")


WORDS = [["In", "Paris"], ["no"]]
TAGS = [["O", "B-x"], ["O"]]


class TestCollator:
    def test_on_the_right_whatever_the_tokenizer_says(
        self, bert: Tokenizer, left: Tokenizer
    ) -> None:
        words, tags = [["the"], ["the", "xy"]], [["O"], ["O", "B-per"]]
        for tokenizer in (bert, left):
            made = features(words, tags, tokenizer)
            listed = [{k: v[row] for k, v in made.items() if k != "words"} for row in range(2)]
            batch = pickle.loads(pickle.dumps(tc.TokenClassificationCollator(tokenizer)))(listed)
            assert {tuple(tensor.shape) for tensor in batch.values()} == {(2, 5)}
            assert type(batch) is dict and batch["labels"].dtype == torch.int64
            for name, padding in (("labels", -100), ("attention_mask", 0), ("input_ids", 0)):
                short, filling = made[name][0], [padding] * 2
                assert batch[name].tolist() == [short + filling, made[name][1]], name

    def test_without_padding_token(self, gpt: Tokenizer) -> None:
        made = features([["the"], ["the", "is"]], [["O"], ["O", "O"]], gpt)
        listed = [{k: v[row] for k, v in made.items() if k != "words"} for row in range(2)]
        batch = tc.TokenClassificationCollator(gpt)(listed)
        assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
        assert batch["labels"].tolist() == [[2, -100, -100], [2, 2, -100]]


class TestBuildDatasets:
    def build(self, tokenizer: Any, **keys: Any) -> tc.TokenClassificationDatasets:
        rows = {
            "train": {"tokens": [*WORDS, []], "ner_tags": [*TAGS, []]},
            "validation": {"tokens": [["the"] * 9], "ner_tags": [["O"] * 9]},
        }
        splits = {name: datasets.Dataset.from_dict(columns) for name, columns in rows.items()}
        settings = tc.TokenClassificationDataKwargs(**keys)
        return tc.build_datasets(
            splits, tokenizer, settings, tc.read_tagging(splits, settings), tiny.bert_config()
        )

    def test_both_splits(self, bert: Tokenizer, caplog: pytest.LogCaptureFixture) -> None:
        built = self.build(bert, max_seq_length=32)
        assert [len(built.train), len(built.validation)] == [2, 1]
        assert not caplog.records

    def test_words_that_the_model_does_not_see(
        self, bert: Tokenizer, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.build(bert, max_seq_length=4)
        train, validation = caplog.messages
        assert "train data: 1 of 3 words" in train
        assert "validation data: 7 of 9 words" in validation and "4 tokens" in validation

    def test_complaints(self, bert: Tokenizer, gpt: Tokenizer) -> None:
        with pytest.raises(UserError, match=r"data\.max_seq_length is 2,.* 2 special tokens"):
            self.build(bert, max_seq_length=2)
        with pytest.raises(UserError, match=r"data\.max_seq_length is 40.*model.*32"):
            self.build(bert, max_seq_length=40)
        with pytest.raises(UserError, match=r"data\.pad_to_max_length is true.*padding token"):
            self.build(gpt, pad_to_max_length=True)
        slow = transformers.CanineTokenizer(model_max_length=128)
        with pytest.raises(UserError, match=r"CanineTokenizer.*hyperparameters\.tokenizer_name"):
            self.build(slow)


def test_labels_are_the_same_in_any_batching(bert: Tokenizer) -> None:
    """The function is pure: a row's features do not depend on its neighbours."""
    words = [["xy", "the"], ["paris"], ["is", "xyz", "was"]]
    tags = [["B-per", "O"], ["B-per"], ["O", "I-per", "O"]]
    whole = features(words, tags, bert)
    single = [features([w], [t], bert) for w, t in zip(words, tags, strict=True)]
    for name, column in whole.items():
        assert column == list(itertools.chain(*(each[name] for each in single)))
