"""Sample rows to classify, choose from, and find answers in; a function makes one row."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
WriteRow = Callable[[random.Random], Row]

PEOPLE = "Agnes Boris Clara Edith Felix Greta Hugo Ida Lars Mabel Nora Otto Petra Wilma".split()
TOWNS = ["Bimbodax", "Dornik", "Galmus", "Kemfix", "Limlagus", "Port Balville", "Upper Delrapia"]
ANIMALS = "goat snail cow donkey duck hen cat horse".split()
DISHES = "soup bread cake porridge cheese pudding".split()
INSTRUMENTS = "flute drum fiddle trumpet harp banjo".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


def different_rows(write: WriteRow, rng: random.Random, count: int) -> list[Row]:
    """Rows of which no two are the same, so that validation shows none that was trained on.

    Args:
        write: makes a row.
        rng: all chance is taken from it.
        count: number of rows.

    Raises:
        ValueError: when ``write`` knows fewer different rows.
    """
    rows: dict[str, Row] = {}
    for _ in range(50 * count):
        row = write(rng)
        rows.setdefault(repr(row), row)
        if len(rows) == count:
            return list(rows.values())
    raise ValueError(f"{write.__name__} made only {len(rows)} different rows of {count}")


_SIGHTINGS = (
    "{person} lives in {place} .",
    "Last week {person} met {other} in {place} .",
    "The mayor of {place} is {person} .",
    "From {place} came {person} with a {animal} .",
    "{person} sold the {animal} to {other} .",
    "Nobody in {place} has seen the {animal} of {person} .",
)


def tagged_sentence(rng: random.Random) -> Row:
    """Words with tags: persons and places are entities, some places of two words."""
    person, other = rng.sample(PEOPLE, 2)
    values = {"{person}": person, "{other}": other, "{place}": rng.choice(TOWNS)}
    tokens: list[str] = []
    tags: list[str] = []
    for slot in rng.choice(_SIGHTINGS).replace("{animal}", rng.choice(ANIMALS)).split():
        words = values.get(slot, slot).split()
        tokens += words
        if slot in values:
            kind = "place" if slot == "{place}" else "person"
            tags += [f"B-{kind}", *[f"I-{kind}"] * (len(words) - 1)]
        else:
            tags.append("O")
    return {"tokens": tokens, "ner_tags": tags}


_GOOD = "wonderful tasty fresh splendid perfect warm".split()
_BAD = "awful bland stale horrible burnt cold".split()
_VERDICTS = (
    "The {dish} was {word}.",
    "{person} found the {dish} {word}.",
    "What a {word} {dish}!",
    "In {place} the {dish} is {word}.",
)


def review(rng: random.Random) -> Row:
    """One or two verdicts on a dish, all of them good or all bad."""
    label = rng.choice(["negative", "positive"])
    patterns = rng.sample(_VERDICTS, rng.choice([1, 2]))
    text = " ".join(
        pattern.format(
            dish=rng.choice(DISHES),
            person=rng.choice(PEOPLE),
            place=rng.choice(TOWNS),
            word=rng.choice(_GOOD if label == "positive" else _BAD),
        )
        for pattern in patterns
    )
    return {"sentence": text, "label": label}


_QUALITIES = (("white", "black", "brown"), ("thin", "fat"), ("tiny", "huge"))
_PREMISES = ("{person} has a {quality} {animal}.", "The {animal} of {person} is {quality}.")
_HYPOTHESES = ("{person} has a {quality} {animal}.", "The {animal} is {quality}.")


def inference(rng: random.Random) -> Row:
    """A premise, and a hypothesis that follows from it, contradicts it, or says another thing."""
    asked, other = rng.sample(_QUALITIES, 2)
    quality, opposite = rng.sample(asked, 2)
    said = {"entailment": quality, "contradiction": opposite, "neutral": rng.choice(other)}
    label = rng.choice(list(said))
    names = {"person": rng.choice(PEOPLE), "animal": rng.choice(ANIMALS)}
    return {
        "premise": rng.choice(_PREMISES).format(quality=quality, **names),
        "hypothesis": rng.choice(_HYPOTHESES).format(quality=said[label], **names),
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
    """The beginning of a story, and four ends of which one goes with it."""
    situations = rng.sample(list(_SITUATIONS), 4)
    label = rng.randrange(4)
    person = rng.choice(PEOPLE)
    row: dict[str, str | int] = {"sent1": f"{person} {situations[label]}.", "sent2": person}
    for number, situation in enumerate(situations):
        row[f"ending{number}"] = f"{rng.choice(_SITUATIONS[situation])}."
    return {**row, "label": label}


# Sentence, question, answers.
_FACTS: Sequence[tuple[str, str, Sequence[str]]] = (
    ("{person} lives in {answer}.", "Where does {person} live?", TOWNS),
    ("{person} feeds a {answer}.", "Which animal does {person} feed?", ANIMALS),
    ("{person} cooks {answer} every day.", "What does {person} cook?", DISHES),
    ("{person} plays the {answer} at night.", "Which instrument does {person} play?", INSTRUMENTS),
)


def question(rng: random.Random) -> Row:
    """Three facts about a person, and a question about one of them."""
    person = rng.choice(PEOPLE)
    facts = rng.sample(_FACTS, 3)
    asked = rng.choice(facts)
    context, start, found = "", 0, ""
    for fact in facts:
        answer = rng.choice(fact[2])
        before, after = fact[0].split("{answer}")
        context += " " if context else ""
        context += before.format(person=person)
        if fact is asked:
            start, found = len(context), answer
        context += answer + after
    return {
        "id": f"{rng.getrandbits(40):010x}",
        "context": context,
        "question": asked[1].format(person=person),
        "answers": {"text": [found], "answer_start": [start]},
    }


_STORY = (
    "On {day} {person} went to {place}.",
    "{person} plays the {instrument} when it rains.",
    "Every {day} {person} cooks {dish} for {other}.",
    "The {animal} of {person} sleeps in the kitchen.",
    "{other} sold a {animal} to {person} and bought {dish}.",
    "In {place} people eat {dish} and play the {instrument}.",
)


def story(rng: random.Random) -> Row:
    """Three sentences of village gossip."""
    return {"text": " ".join(_filled(rng, pattern) for pattern in rng.sample(_STORY, 3))}


def sentence(rng: random.Random) -> Row:
    """One of them."""
    return {"text": _filled(rng, rng.choice(_STORY))}


def _filled(rng: random.Random, pattern: str) -> str:
    person, other = rng.sample(PEOPLE, 2)
    return pattern.format(
        person=person,
        other=other,
        day=rng.choice(DAYS),
        place=rng.choice(TOWNS),
        animal=rng.choice(ANIMALS),
        dish=rng.choice(DISHES),
        instrument=rng.choice(INSTRUMENTS),
    )


_OPENINGS = (
    "It was a {weather} {day} in {place}.",
    "The {weather} {day} brought many people to {place}.",
)
_CLOSINGS = ("All the neighbours talked about it.", "Then there was {dish} for everybody.")


def report(rng: random.Random) -> Row:
    """A report of four sentences, and who bought what where."""
    values = {
        "person": rng.choice(PEOPLE),
        "place": rng.choice(TOWNS),
        "animal": rng.choice(ANIMALS),
        "day": rng.choice(DAYS),
        "weather": rng.choice(["sunny", "rainy", "windy"]),
        "dish": rng.choice(DISHES),
    }
    document = (
        rng.choice(_OPENINGS),
        "{person} came to the market early and looked at every stall.",
        "In the end {person} bought a {animal}.",
        rng.choice(_CLOSINGS),
    )
    return {
        "document": " ".join(document).format(**values),
        "summary": "{person} bought a {animal} in {place}.".format(**values),
    }


# English and German; in the nominative, so that articles need no other form.
_SUBJECTS = {
    "the cat": "die Katze",
    "the cow": "die Kuh",
    "the duck": "die Ente",
    "the dog": "der Hund",
    "the donkey": "der Esel",
    "the neighbour": "der Nachbar",
    "the horse": "das Pferd",
    "the child": "das Kind",
}
_VERBS = {
    "sleeps": "schläft",
    "sings": "singt",
    "waits": "wartet",
    "dances": "tanzt",
    "dreams": "träumt",
    "works": "arbeitet",
}
_TIMES = {
    "today": "heute",
    "often": "oft",
    "never": "nie",
    "always": "immer",
    "again": "wieder",
}
_WHERE = {
    "in the garden": "im Garten",
    "in the kitchen": "in der Küche",
    "on the roof": "auf dem Dach",
    "behind the house": "hinter dem Haus",
    "at the market": "auf dem Markt",
}


def translation(rng: random.Random) -> Row:
    """A sentence in English and German; the words of time stand in different places."""
    subject, verb, time, where = (
        rng.choice(list(words.items())) for words in (_SUBJECTS, _VERBS, _TIMES, _WHERE)
    )
    english = f"{subject[0]} {time[0]} {verb[0]} {where[0]}."
    german = f"{subject[1]} {verb[1]} {time[1]} {where[1]}."
    if time[0] in ("today", "again"):
        english = f"{subject[0]} {verb[0]} {where[0]} {time[0]}."
    english, german = (text[0].upper() + text[1:] for text in (english, german))
    return {"translation": {"en": english, "de": german}}


_KNOWN = {
    "What does the cow say": "the cow says moo",
    "What does the cat say": "the cat says meow",
    "What does the duck say": "the duck says quack",
    "What does the donkey say": "the donkey says hee-haw",
    "How much is one plus two": "one plus two is three",
    "How much is two plus two": "two plus two is four",
    "How much is three plus two": "three plus two is five",
    "What is the opposite of hot": "the opposite of hot is cold",
    "What is the opposite of big": "the opposite of big is small",
    "What is the opposite of old": "the opposite of old is new",
    "Which day comes after Monday": "Tuesday comes after Monday",
    "Which day comes after Friday": "Saturday comes after Friday",
}


def conversation(rng: random.Random) -> Row:
    """Somebody gives a name and asks; the answer uses both, sometimes after a greeting."""
    person = rng.choice(PEOPLE)
    asked, answer = rng.choice(list(_KNOWN.items()))
    messages = [("user", f"My name is {person}. {asked}?"), ("assistant", f"{person}, {answer}.")]
    if rng.random() < 0.5:
        place = rng.choice(TOWNS)
        greeting = [
            ("user", f"Hello from {place}!"),
            ("assistant", f"Hello! How is the weather in {place}?"),
        ]
        messages = [*greeting, *messages]
    return {"messages": [{"role": role, "content": content} for role, content in messages]}
