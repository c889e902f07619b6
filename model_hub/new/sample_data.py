"""Sample data: each public function but `different_rows` makes one row of one kind."""

import random
from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, Any]
MakeRow = Callable[[random.Random], Row]

# The slots of the patterns below, and the words that fill them.
_WORDS = {
    "person": "Agnes Boris Clara Edith Felix Greta Hugo Ida Lars Mabel Nora Otto Petra".split(),
    "place": "Bimbodax,Dornik,Galmus,Kemfix,Limlagus,Port Balville,Upper Delrapia".split(","),
    "animal": "goat snail cow donkey duck hen cat horse".split(),
    "dish": "soup bread cake porridge cheese pudding".split(),
    "instrument": "flute drum fiddle trumpet harp banjo".split(),
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "weather": "sunny rainy windy".split(),
}


def different_rows(make_row: MakeRow, rng: random.Random, count: int) -> list[Row]:
    """Make ``count`` rows that all differ, so that no validation row is among the training rows.

    Raises:
        ValueError: if ``make_row`` makes fewer different rows.
    """
    rows: dict[str, Row] = {}
    for _ in range(50 * count):
        row = make_row(rng)
        rows.setdefault(repr(row), row)
        if len(rows) == count:
            return list(rows.values())
    raise ValueError(f"{make_row.__name__} made only {len(rows)} different rows of {count}")


def _choose_words(rng: random.Random) -> dict[str, str]:
    """Choose a word for each slot; ``other`` is another person than ``person``."""
    words = {slot: rng.choice(choices) for slot, choices in _WORDS.items()}
    words["person"], words["other"] = rng.sample(_WORDS["person"], 2)
    return words


_GOSSIP = (
    "On {day} {person} went to {place}.",
    "{person} plays the {instrument} when it rains.",
    "Every {day} {person} cooks {dish} for {other}.",
    "The {animal} of {person} sleeps in the kitchen.",
    "{other} sold a {animal} to {person} and bought {dish}.",
    "In {place} people eat {dish} and play the {instrument}.",
)


def gossip(rng: random.Random) -> Row:
    """Make a sentence about the people of a village."""
    return {"text": rng.choice(_GOSSIP).format(**_choose_words(rng))}


_SIGHTINGS = (
    "{person} lives in {place} .",
    "Last week {person} met {other} in {place} .",
    "The mayor of {place} is {person} .",
    "From {place} came {person} with a {animal} .",
    "{person} sold the {animal} to {other} .",
    "Nobody in {place} has seen the {animal} of {person} .",
)
_ENTITIES = {"{person}": "person", "{other}": "person", "{place}": "place"}


def tagged_sentence(rng: random.Random) -> Row:
    """Make words with IOB2 tags: persons and places, of which some have two words."""
    words = _choose_words(rng)
    tokens: list[str] = []
    tags: list[str] = []
    for slot in rng.choice(_SIGHTINGS).split():
        filled = slot.format(**words).split()
        tokens += filled
        entity = _ENTITIES.get(slot)
        tags += [f"B-{entity}", *[f"I-{entity}"] * (len(filled) - 1)] if entity else ["O"]
    return {"tokens": tokens, "ner_tags": tags}


_TASTES = {
    "negative": "awful bland stale horrible burnt cold".split(),
    "positive": "wonderful tasty fresh splendid perfect warm".split(),
}
_VERDICTS = (
    "The {dish} was {taste}.",
    "{person} found the {dish} {taste}.",
    "What a {taste} {dish}!",
    "In {place} the {dish} is {taste}.",
)


def review(rng: random.Random) -> Row:
    """Make one or two sentences about dishes, either all positive or all negative."""
    label = rng.choice(list(_TASTES))
    sentences = [
        verdict.format(**_choose_words(rng), taste=rng.choice(_TASTES[label]))
        for verdict in rng.sample(_VERDICTS, rng.choice([1, 2]))
    ]
    return {"sentence": " ".join(sentences), "label": label}


_QUALITIES = (("white", "black", "brown"), ("thin", "fat"), ("tiny", "huge"))
_PREMISES = ("{person} has a {quality} {animal}.", "The {animal} of {person} is {quality}.")
_HYPOTHESES = ("{person} has a {quality} {animal}.", "The {animal} is {quality}.")


def inference(rng: random.Random) -> Row:
    """Make a premise, and a hypothesis that it entails, contradicts, or leaves open."""
    same, other = rng.sample(_QUALITIES, 2)
    quality, opposite = rng.sample(same, 2)
    qualities = {"entailment": quality, "contradiction": opposite, "neutral": rng.choice(other)}
    label = rng.choice(list(qualities))
    words = _choose_words(rng)
    return {
        "premise": rng.choice(_PREMISES).format(**words, quality=quality),
        "hypothesis": rng.choice(_HYPOTHESES).format(**words, quality=qualities[label]),
        "label": label,
    }


_SITUATIONS = {
    "is hungry": ("eats a bowl of soup", "bakes a loaf of bread", "looks for some cheese"),
    "is tired": ("goes to bed", "falls asleep on the sofa", "takes a long nap"),
    "is cold": ("puts on a thick coat", "lights the stove", "looks for a blanket"),
    "is thirsty": ("drinks a glass of water", "makes a pot of tea", "runs to the well"),
    "is bored": ("reads a book", "plays the flute", "invites a friend to play chess"),
    "is dirty": ("takes a bath", "washes both hands", "asks for soap and a towel"),
    "is late": ("runs to the station", "calls a taxi", "takes the short way"),
    "is ill": ("sends for the doctor", "swallows a pill", "stays at home with a fever"),
}


def endings(rng: random.Random) -> Row:
    """Make the beginning of a story and four endings, one of which fits."""
    situations = rng.sample(list(_SITUATIONS), 4)
    label = rng.randrange(4)
    person = rng.choice(_WORDS["person"])
    row: dict[str, str | int] = {"sent1": f"{person} {situations[label]}.", "sent2": person}
    for number, situation in enumerate(situations):
        row[f"ending{number}"] = f"{rng.choice(_SITUATIONS[situation])}."
    return {**row, "label": label}


# By the slot that is asked for: a statement, and the question that it answers.
_FACTS = {
    "place": ("{person} lives in {place}.", "Where does {person} live?"),
    "animal": ("{person} feeds a {animal}.", "Which animal does {person} feed?"),
    "dish": ("{person} cooks {dish} every day.", "What does {person} cook?"),
    "instrument": ("{person} plays the {instrument}.", "Which instrument does {person} play?"),
}


def question(rng: random.Random) -> Row:
    """Make three facts about a person, and a question about one of them."""
    words = _choose_words(rng)
    slots = rng.sample(list(_FACTS), 3)
    asked = rng.choice(slots)
    context = " ".join(_FACTS[slot][0] for slot in slots).format(**words)
    return {
        "id": f"{rng.getrandbits(40):010x}",
        "context": context,
        "question": _FACTS[asked][1].format(**words),
        "answers": {"text": [words[asked]], "answer_start": [context.index(words[asked])]},
    }


def conversation(rng: random.Random) -> Row:
    """Make a conversation: three facts about a person, and one or two questions about them."""
    words = _choose_words(rng)
    slots = rng.sample(list(_FACTS), 3)
    messages: list[tuple[str, str]] = []
    introduction = " ".join(_FACTS[slot][0] for slot in slots) + " "
    for slot in rng.sample(slots, rng.choice([1, 2])):
        answer, asked = _FACTS[slot]
        messages += [("user", introduction + asked), ("assistant", answer)]
        introduction = ""
    return {"messages": [{"role": role, "content": t.format(**words)} for role, t in messages]}


_OPENINGS = (
    "It was a {weather} {day} in {place}.",
    "The {weather} {day} brought many people to {place}.",
)
_CLOSINGS = ("All the neighbours talked about it.", "Then there was {dish} for everybody.")


def report(rng: random.Random) -> Row:
    """Make a report of four sentences, and a summary: who bought what and where."""
    words = _choose_words(rng)
    document = (
        rng.choice(_OPENINGS),
        "{person} came to the market early and looked at every stall.",
        "In the end {person} bought a {animal}.",
        rng.choice(_CLOSINGS),
    )
    return {
        "document": " ".join(document).format(**words),
        "summary": "{person} bought a {animal} in {place}.".format(**words),
    }


# English and German; the subjects are in the nominative, so that articles need no other form.
_SUBJECTS = {"the cat": "die Katze", "the cow": "die Kuh", "the duck": "die Ente"}
_SUBJECTS |= {"the dog": "der Hund", "the donkey": "der Esel", "the child": "das Kind"}
_VERBS = {"sleeps": "schläft", "sings": "singt", "waits": "wartet", "dances": "tanzt"}
_TIMES = {"often": "oft", "never": "nie", "today": "heute", "again": "wieder"}
_WHERE = {"in the garden": "im Garten", "in the kitchen": "in der Küche"}
_WHERE |= {"on the roof": "auf dem Dach", "behind the house": "hinter dem Haus"}


def translation(rng: random.Random) -> Row:
    """Make a sentence in English and German, between which the order of the words differs."""
    subject, verb, time, where = (
        rng.choice(list(words.items())) for words in (_SUBJECTS, _VERBS, _TIMES, _WHERE)
    )
    english = f"{subject[0]} {time[0]} {verb[0]} {where[0]}."
    german = f"{subject[1]} {verb[1]} {time[1]} {where[1]}."
    if time[0] in ("today", "again"):
        english = f"{subject[0]} {verb[0]} {where[0]} {time[0]}."
    english, german = (text[0].upper() + text[1:] for text in (english, german))
    return {"translation": {"en": english, "de": german}}
