"""Sample texts to continue, to fill in, to shorten, to translate and to answer; one row a call."""

import random

from model_hub._new.words import ANIMALS, DAYS, DISHES, INSTRUMENTS, PEOPLE, TOWNS, Row

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
