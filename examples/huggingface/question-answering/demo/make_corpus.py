"""Write the demo's question-answering corpus, and an untrained BERT and tokenizer to go with it.

Each paragraph is village gossip: a few people, and facts about each of them.

    Nora feeds the goat Pimlorax. Otto plays chess with Captain Velgatia. Otto feeds the goat ...
    Which goat does Nora feed?    ->  Pimlorax

A question names a person and a relation, and both are needed: the relation alone fits every person
of the paragraph, the person alone fits several facts. Every answer holds an invented word. Words
invented for validation occur nowhere in training, so the answers cannot be remembered: they have to
be read. People, relations and phrasings are those of training.

Training also has requests such as "Tell me about Nora." with Nora's sentence as the answer.
They are easy, and they teach what the questions need: to find a word of the question again, and to
see which words stand near it. Validation has none of them. With the settings of demo.yaml, seeds 0
and 2 ended at F1 100.0 and 99.9 with them, and at 28 and 43 without.

The model is a RoFormer (Su et al., 2021, https://arxiv.org/abs/2104.09864), which is BERT with
rotary position embeddings. With BERT's learned absolute positions, the same two runs ended at F1 34
and 22: it learned slowly which words stand near each other.

Files written to the output directory (nothing is downloaded):

* ``train.json``, ``validation.json``: JSON lines, one question a line, with the columns ``id``,
  ``title``, ``context``, ``question`` and ``answers`` (``text``, ``answer_start``) of SQuAD;
* ``ask.json``: three questions with context and answer, from paragraphs in neither file;
* ``model/``: ``config.json`` of a small model and a fast WordPiece tokenizer, no weights.

The same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

PEOPLE = (
    "Agnes Boris Clara Dmitri Edith Felix Greta Hugo Ida Lars Mabel Nora Otto Petra Ruben Wilma"
).split()

# An invented word is a beginning, perhaps a middle, and an ending; no piece is in two of the sets.
BEGINNINGS = (
    "bal bel bim bor bru dal del dim dor dru fal fel fim for fru gal gam gil gom gru hal hem hin "
    "hol hum kal kem kip kor kru lam lem lim lor lum mal mel mip mor mun nal nem nip nor num pal "
    "pel pim por pum ral rem rip rom rum sal sel sim sor sum tal tem tip tor tum val vel vim vor "
    "wal wem wip wom yal yem yol zal zem zip zor zum"
).split()
MIDDLES = "ba be bo da de do ga go ka ko la lo ma mo na no pa po ra ro ta to va za".split()
ENDINGS = (
    "bus cki dax dle dorf fax fix gus ham kins lax lia lius mox nia nius pia pix pus rax rius "
    "sby sia ster tia ton tus vik via ville wick zia zus"
).split()

# An answer is a pattern filled with invented words, each a {}: most have one word, some have two.
PLACE = ("{}", "{}", "{}", "Upper {}", "Little {}", "Port {}", "Mount {}")
PERSON = ("{}", "{}", "{}", "Captain {}", "Doctor {}", "Aunt {}", "{} {}")
ANIMAL = ("{}", "{}", "{}", "Mister {}", "Lady {}")
VESSEL = ("{}", "{}", "{}", "Merry {}", "Grumpy {}")
DISH = ("{}", "{}", "{}", "{} Surprise", "{} Special")
TUNE = ("{}", "{}", "{}", "{} Waltz", "{} Blues")
MACHINE = ("{}", "{}", "{}", "{} Deluxe", "{} Nine")


@dataclass(frozen=True)
class Relation:
    """One kind of fact.

    Attributes:
        answers: patterns of the answer.
        facts: sentences with ``{who}`` and ``{answer}``, each written once.
        questions: questions with ``{who}``.
    """

    answers: tuple[str, ...]
    facts: tuple[str, ...]
    questions: tuple[str, ...]


RELATIONS = (
    Relation(
        PLACE,
        (
            "{who} lives in {answer}.",
            "{who} lives in {answer}, inside a teapot.",
            "{who} rents a cupboard in {answer}.",
        ),
        ("Where does {who} live?", "In which town does {who} live?", "Where is the home of {who}?"),
    ),
    Relation(
        PLACE,
        (
            "{who} dreams of {answer}.",
            "{who} dreams of {answer} when it rains.",
            "{who} wants to see {answer}.",
        ),
        ("What does {who} dream of?", "Which place does {who} want to see?"),
    ),
    Relation(
        ANIMAL,
        (
            "{who} has a goat called {answer}.",
            "{who} has a goat called {answer} that eats hats.",
            "{who} feeds the goat {answer}.",
        ),
        ("Which goat does {who} feed?", "What is the goat of {who} called?"),
    ),
    Relation(
        ANIMAL,
        (
            "{who} walks a snail called {answer}.",
            "{who} races the snail {answer}.",
            "{who} races the snail {answer}, mostly uphill.",
        ),
        ("Which snail does {who} race?", "What is the snail of {who} called?"),
    ),
    Relation(
        VESSEL,
        (
            "{who} sails the boat {answer}.",
            "{who} has a boat called {answer}.",
            "{who} has a boat called {answer}, which leaks.",
        ),
        ("Which boat does {who} sail?", "What is the boat of {who} called?"),
    ),
    Relation(
        PERSON,
        (
            "{who} plays chess with {answer}.",
            "{who} loses at chess to {answer}.",
            "{who} plays chess with {answer} on the roof.",
        ),
        ("Who plays chess with {who}?", "With whom does {who} play chess?"),
    ),
    Relation(
        PERSON,
        (
            "{who} is afraid of {answer}.",
            "{who} fears {answer}.",
            "{who} fears {answer} and loud cheese.",
        ),
        ("Whom does {who} fear?", "Of whom is {who} afraid?"),
    ),
    Relation(
        PERSON,
        (
            "{who} blames {answer}.",
            "{who} blames {answer} for the missing trousers.",
            "{who} always blames {answer}.",
        ),
        ("Whom does {who} blame?", "Whom does {who} blame for everything?"),
    ),
    Relation(
        DISH,
        (
            "{who} cooks a soup called {answer}.",
            "{who} cooks the soup {answer}.",
            "{who} cooks the soup {answer}, which glows.",
        ),
        ("Which soup does {who} cook?", "What is the soup of {who} called?"),
    ),
    Relation(
        TUNE,
        (
            "{who} hums the song {answer}.",
            "{who} wrote a song called {answer}.",
            "{who} hums the song {answer} in the bath.",
        ),
        ("Which song does {who} hum?", "What is the song of {who} called?"),
    ),
    Relation(
        MACHINE,
        (
            "{who} built the robot {answer}.",
            "{who} has a robot called {answer}.",
            "{who} built the robot {answer}, which snores.",
        ),
        ("Which robot did {who} build?", "What is the robot of {who} called?"),
    ),
)

# People and relations of a paragraph: every person has every one of its relations.
TRAIN_SHAPES = ((3, 1), (2, 2), (3, 2), (2, 3))
VALIDATION_SHAPES = ((3, 2), (2, 3))
# In training, this share of the rows are requests for the one sentence about a person.
REQUEST_SHARE = 0.5
REQUEST = "Tell me about {who}."
REQUEST_PEOPLE = (2, 3, 4)

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_POSITIONS = 128

MODEL_CONFIG: dict[str, Any] = {
    "architectures": ["RoFormerForQuestionAnswering"],
    "model_type": "roformer",
    "hidden_size": 128,
    "embedding_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "intermediate_size": 256,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": MAX_POSITIONS,
    "rotary_value": False,
    "type_vocab_size": 2,
    # Larger than usual: with 0.05, runs of this length ended at F1 74 to 100.
    "initializer_range": 0.1,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}


@dataclass(frozen=True)
class Fact:
    """One sentence of a paragraph; positions are characters of the paragraph.

    Attributes:
        who: the person the sentence begins with.
        relation: what it tells of the person.
        answer: the invented name.
        answer_start: where ``answer`` begins.
        sentence_start: where the sentence begins.
    """

    who: str
    relation: Relation
    answer: str
    answer_start: int
    sentence_start: int


@dataclass(frozen=True)
class Paragraph:
    """A paragraph's text and its facts, in the order of the text."""

    text: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Corpus:
    """Rows as SQuAD has them, flat."""

    train: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    ask: list[dict[str, str]]


def english_words() -> list[str]:
    """Every word of the sentences, questions and answer patterns, and the people's names."""
    texts: list[str] = [*PEOPLE, REQUEST]
    for relation in RELATIONS:
        texts += [*relation.answers, *relation.facts, *relation.questions]
    without_slots = (re.sub(r"\{\w*\}", " ", text) for text in texts)
    return sorted({word for text in without_slots for word in re.findall(r"[A-Za-z]+", text)})


def invent_words(rng: random.Random, count: int) -> list[str]:
    """``count`` different capitalised words, none of them a word of the templates."""
    taken = {word.lower() for word in english_words()}
    words: list[str] = []
    while len(words) < count:
        middle = rng.choice(MIDDLES) if rng.random() < 0.4 else ""
        word = rng.choice(BEGINNINGS) + middle + rng.choice(ENDINGS)
        if word not in taken:
            taken.add(word)
            words.append(word.capitalize())
    return words


def write_paragraph(
    rng: random.Random, words: Sequence[str], pairs: Sequence[tuple[str, Relation]]
) -> Paragraph:
    """Write one sentence for each pair of person and relation, in the order given."""
    # Two words a sentence suffice for every pattern; without replacement, so that an answer stands
    # in the paragraph once.
    unused = iter(rng.sample(words, 2 * len(pairs)))
    text = ""
    facts = []
    for who, relation in pairs:
        pattern = rng.choice(relation.answers)
        answer = pattern.format(*(next(unused) for _ in range(pattern.count("{}"))))
        before, after = rng.choice(relation.facts).format(who=who, answer="\n").split("\n")
        text += " " if text else ""
        sentence_start = len(text)
        text += before
        facts.append(Fact(who, relation, answer, len(text), sentence_start))
        text += answer + after
    return Paragraph(text, tuple(facts))


def as_row(
    row_id: str, paragraph: Paragraph, question: str, start: int, end: int
) -> dict[str, Any]:
    """A flat SQuAD row whose answer is ``paragraph.text[start:end]``."""
    return {
        "id": row_id,
        "title": "Village gossip",
        "context": paragraph.text,
        "question": question,
        "answers": {"text": [paragraph.text[start:end]], "answer_start": [start]},
    }


def write_question(
    rng: random.Random, words: Sequence[str], shapes: Sequence[tuple[int, int]], row_id: str
) -> dict[str, Any]:
    """A paragraph in which all people have the same relations, and a question on one fact."""
    num_people, num_relations = rng.choice(shapes)
    people, relations = rng.sample(PEOPLE, num_people), rng.sample(RELATIONS, num_relations)
    pairs = [(who, relation) for who in people for relation in relations]
    rng.shuffle(pairs)
    paragraph = write_paragraph(rng, words, pairs)
    fact = rng.choice(paragraph.facts)
    question = rng.choice(fact.relation.questions).format(who=fact.who)
    end = fact.answer_start + len(fact.answer)
    return as_row(row_id, paragraph, question, fact.answer_start, end)


def write_request(rng: random.Random, words: Sequence[str], row_id: str) -> dict[str, Any]:
    """A paragraph with one sentence a person; the answer is a sentence up to its invented name."""
    num_people = rng.choice(REQUEST_PEOPLE)
    people, relations = rng.sample(PEOPLE, num_people), rng.sample(RELATIONS, num_people)
    paragraph = write_paragraph(rng, words, list(zip(people, relations, strict=True)))
    fact = rng.choice(paragraph.facts)
    end = fact.answer_start + len(fact.answer)
    return as_row(row_id, paragraph, REQUEST.format(who=fact.who), fact.sentence_start, end)


def make_corpus(seed: int, train_rows: int, validation_rows: int) -> Corpus:
    """Build the corpus; words invented for one split do not occur in the other."""
    rng = random.Random(seed)
    words = invent_words(rng, 8_000)
    train_words, held_out_words = words[:6_000], words[6_000:]
    train = []
    for number in range(train_rows):
        row_id = f"train-{number}"
        if rng.random() < REQUEST_SHARE:
            train.append(write_request(rng, train_words, row_id))
        else:
            train.append(write_question(rng, train_words, TRAIN_SHAPES, row_id))
    held_out = [
        write_question(rng, held_out_words, VALIDATION_SHAPES, f"validation-{number}")
        for number in range(validation_rows + 3)
    ]
    ask = [
        {
            "context": row["context"],
            "question": row["question"],
            "answer": row["answers"]["text"][0],
        }
        for row in held_out[validation_rows:]
    ]
    return Corpus(train, held_out[:validation_rows], ask)


def build_vocabulary() -> dict[str, int]:
    """Pieces and their numbers: English words whole, invented ones by syllable, the rest by letter.

    The letters make sure that no ASCII text holds an unknown token.
    """
    letters = [chr(code) for code in range(33, 127)]
    pieces = [
        *SPECIAL_TOKENS,
        *letters,
        *("##" + letter for letter in letters),
        *(syllable.capitalize() for syllable in BEGINNINGS),
        *("##" + syllable for syllable in (*MIDDLES, *ENDINGS)),
        *english_words(),
    ]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def build_tokenizer() -> Tokenizer:
    """A cased WordPiece tokenizer that does to text what BERT's does."""
    vocabulary = build_vocabulary()
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def write_json(path: Path, content: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write one JSON document, indented."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_json_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_model(directory: Path) -> None:
    """Write ``config.json`` and the tokenizer's files, for transformers' Auto classes."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    tokenizer.save(str(directory / "tokenizer.json"))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "BertTokenizerFast",
            "do_lower_case": False,
            "model_max_length": MAX_POSITIONS,
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            **dict(zip(names, SPECIAL_TOKENS, strict=True)),
        },
    )
    write_json(
        directory / "config.json", {**MODEL_CONFIG, "vocab_size": tokenizer.get_vocab_size()}
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and write everything."""
    parser = argparse.ArgumentParser(
        description="Write the demo's corpus, model config, tokenizer."
    )
    parser.add_argument("--output-dir", type=Path, required=True, help="made if absent")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-rows", type=int, default=15_000)
    parser.add_argument("--validation-rows", type=int, default=600)
    options = parser.parse_args(arguments)

    corpus = make_corpus(options.seed, options.train_rows, options.validation_rows)
    write_model(options.output_dir / "model")
    write_json_lines(options.output_dir / "train.json", corpus.train)
    write_json_lines(options.output_dir / "validation.json", corpus.validation)
    write_json(options.output_dir / "ask.json", corpus.ask)
    print(
        f"{len(corpus.train)} rows to train on and {len(corpus.validation)} to validate with "
        f"are in {options.output_dir}"
    )


if __name__ == "__main__":
    main()
