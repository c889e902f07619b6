"""Sample rows to classify, choose from, and find answers in; a function makes one row."""

import random
from collections.abc import Sequence

from model_hub._new.words import ANIMALS, DISHES, INSTRUMENTS, PEOPLE, TOWNS, Row

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
