"""Tagging schemes: which labels begin, continue and end entities.

Patterns are those of seqeval's strict mode (https://github.com/chakki-works/seqeval), which defines
entities by pairs of neighbouring labels.
"""

import dataclasses
import re
from collections.abc import Sequence

from model_hub.errors import UserError

OUTSIDE = "O"

_ANY = "BIELMSUO"
# Pairs of positions, and whether both labels must have the same type; None: they need not.
_Patterns = tuple[tuple[str, str, bool | None], ...]


@dataclasses.dataclass(frozen=True)
class TagScheme:
    """A tagging scheme.

    A pattern has the positions that a label and the next one may have, and whether their types must
    be the same (true), different (false), or either (None).

    Attributes:
        positions: the letters of labels inside of entities.
        start: an entity can start with the second label.
        inside: the second label continues the entity of the first.
        end: the entity of the first label can end there.
    """

    positions: str
    start: _Patterns
    inside: _Patterns
    end: _Patterns = ((_ANY, _ANY, None),)


def _bracketed(begin: str, inside: str, last: str, single: str) -> TagScheme:
    """Return a scheme in which first, last and only labels of entities have positions."""
    return TagScheme(
        begin + inside + last + single,
        start=((_ANY, begin + single, None),),
        inside=((begin + inside, inside + last, True),),
        end=((last + single, _ANY, None),),
    )


#: The rule of ``conlleval`` and of seqeval's default mode: any label continues an entity or starts
#: one. It reads what is written in IOB1, IOB2, IOE1, IOE2 or IOBES.
CONLL = TagScheme("BIES", start=((_ANY, "BIES", None),), inside=(("BI", "IE", True),))

#: Schemes that ``data.tag_scheme`` can name.
SCHEMES = {
    "IOB1": TagScheme(
        "BI",
        start=(("OB", "I", None), ("I", "I", False), ("BI", "B", True)),
        inside=(("BI", "I", True),),
        end=(("BI", "O", None), ("BI", "I", False), ("I", "B", None), ("B", "B", True)),
    ),
    "IOB2": TagScheme(
        "BI",
        start=((_ANY, "B", None),),
        inside=(("BI", "I", True),),
        end=(("BI", "BO", None), ("BI", "I", False)),
    ),
    "IOE1": TagScheme(
        "IE",
        start=(("OE", "I", None), ("I", "I", False), ("E", "E", True)),
        inside=(("I", "IE", True),),
        end=(("I", "O", None), ("I", "IE", False), ("E", "IE", True)),
    ),
    "IOE2": TagScheme(
        "IE",
        start=(("OE", "IE", None), ("I", "IE", False)),
        inside=(("I", "IE", True),),
        end=(("E", _ANY, None),),
    ),
    "IOBES": _bracketed("B", "I", "E", "S"),
    "BILOU": _bracketed("B", "I", "L", "U"),
    "BMES": _bracketed("B", "M", "E", "S"),
}
# Other names of the same, as spaCy, flair and others write them.
_SYNONYMS = {
    "BIO": "IOB2",
    "IOB": "IOB2",
    "BIO2": "IOB2",
    "BIO1": "IOB1",
    "BIOES": "IOBES",
    "BILUO": "BILOU",
    "BMESO": "BMES",
}
_LABEL = re.compile(rf"[{_ANY}](-|$)")


def scheme_name(requested: str) -> str:
    """Return the name in :data:`SCHEMES` of what ``data.tag_scheme`` says.

    Raises:
        UserError: when there is none.
    """
    name = requested.upper()
    name = _SYNONYMS.get(name, name)
    if name not in SCHEMES:
        raise UserError(
            f"data.tag_scheme is {requested!r}. Write one of {', '.join(SCHEMES)}, or remove the "
            "key; then the scheme is found by the labels."
        )
    return name


def split_labels(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Split labels into positions and types.

    Positions may be in lower case if those of all labels are.

    Args:
        labels: ``O``, ``B-PER`` and the like (the type may have hyphens: ``B-creative-work``), a
            bare ``B``, or anything else.

    Returns:
        For each label its position, a capital letter, and its type, which is empty for ``O`` and
        bare positions. A label of another form (``NOUN``) has no position (an empty text), and is
        the type itself.
    """
    inner = [label for label in labels if label.upper() != OUTSIDE]
    lower = bool(inner) and all(
        label[:1].islower() and _LABEL.match(label.upper()) for label in inner
    )
    result = []
    for label in labels:
        position, _, kind = label.partition("-")
        position = position.upper() if lower or label.upper() == OUTSIDE else position
        is_label = len(position) == 1 and position in _ANY
        result.append((position, kind) if is_label else ("", label))
    return result


def find_scheme(labels: Sequence[str], requested: str | None = None) -> TagScheme:
    """Return the scheme in which labels are written.

    Args:
        labels: their names.
        requested: ``data.tag_scheme``; None finds the scheme by the labels.

    Returns:
        The requested scheme; BILOU or BMES if the labels have positions that only these have; else
        :data:`CONLL`.

    Raises:
        UserError: when labels are not of the scheme, or of no scheme although some have positions
            of BILOU or BMES.
    """
    positions = {p: label for (p, _), label in zip(split_labels(labels), labels, strict=True)}
    positions.pop(OUTSIDE, None)
    if requested is not None:
        name = scheme_name(requested)
        wrong = sorted(label for p, label in positions.items() if p not in SCHEMES[name].positions)
        wrong = [positions[""]] if "" in positions else wrong
        if wrong:
            raise UserError(
                f"data.tag_scheme is {requested}, whose labels are O and "
                f"{', '.join(f'{p}-TYPE' for p in SCHEMES[name].positions)}, but there is the "
                f"label {wrong[0]!r}. Write another scheme, or remove the key."
            )
        return SCHEMES[name]
    if "" in positions or not positions.keys() & set("LMU"):
        return CONLL
    for name in ("BILOU", "BMES"):
        if positions.keys() <= set(SCHEMES[name].positions):
            return SCHEMES[name]
    raise UserError(
        f"the labels {', '.join(sorted(labels))} are of no tagging scheme: their positions "
        f"{', '.join(sorted(positions))} are not those of BILOU or BMES. Rename labels, or write "
        "data.tag_scheme."
    )
