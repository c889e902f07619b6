"""Tokens of texts in any script, for ROUGE."""

import functools
import unicodedata
from typing import Any

# First and last code points of scripts that are written without blanks between words.
_WITHOUT_BLANKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x30FF),  # Kana and iteration marks of Chinese and Japanese
    (0x31F0, 0x31FF),
    (0x3400, 0x9FFF),  # Chinese characters
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x20000, 0x3FFFF),
)
# Latin letters, and letters that are symbols.
_LATIN = (
    (0x0000, 0x036F),
    (0x1D00, 0x1DFF),
    (0x1E00, 0x1EFF),
    (0x2000, 0x2BFF),
    (0x2C60, 0x2C7F),
    (0xA720, 0xA7FF),
    (0xAB30, 0xAB6F),
    (0xFB00, 0xFB06),
    (0xFF00, 0xFF5E),
)
# Joiners, which are parts of words in Indian scripts and Persian.
_JOINERS = "\u200c\u200d"


class ScriptTokenizer:
    """Splits text into words by its scripts, for ``rouge_score.rouge_scorer.RougeScorer``.

    Chinese, Japanese and other scripts without blanks are split into characters (with their marks),
    other alphabets into words of letters, marks and digits, in lower case.

    Args:
        latin: has a method ``tokenize`` for Latin text.
    """

    def __init__(self, latin: Any) -> None:
        self._latin = latin

    def tokenize(self, text: str) -> list[str]:
        """Return the tokens of a text."""
        runs: list[tuple[str, str]] = []
        for character in text:
            kind = _kind(character)
            last = runs[-1] if runs else ("", "")
            if kind == "mark":
                kind = last[0] or "latin"
            elif kind == "character" or kind != last[0]:
                last = (kind, "")
                runs.append(last)
            if not runs:
                runs.append((kind, ""))
            runs[-1] = (kind, last[1] + character)
        tokens: list[str] = []
        for kind, run in runs:
            tokens += self._latin.tokenize(run) if kind == "latin" else [run.lower()]
        return tokens


@functools.cache
def _kind(character: str) -> str:
    """Return what a character is: ``word``, ``character``, ``mark``, or for all else ``latin``."""
    number = ord(character)
    category = unicodedata.category(character)
    if character in _JOINERS:
        return "mark"
    if category[0] not in "LM" and category != "Nd":
        return "latin"
    if any(first <= number <= last for first, last in _LATIN):
        return "latin"
    if category[0] == "M":
        return "mark"
    if any(first <= number <= last for first, last in _WITHOUT_BLANKS):
        return "character"
    return "word"
