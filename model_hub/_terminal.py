"""Colours, where there is a terminal that shows them."""

import os
from typing import Literal, TextIO

_CODES = {"red": "31", "yellow": "33", "green": "32"}


def painted(text: str, colour: Literal["red", "yellow", "green"], stream: TextIO) -> str:
    """The text in a colour if the stream is a terminal, else as it is.

    The environment variable ``NO_COLOR`` turns colours off, see https://no-color.org.
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain else f"\x1b[{_CODES[colour]}m{text}\x1b[0m"
