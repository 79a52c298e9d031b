"""Lines for a terminal: symbols, and outside text made harmless and wrapped by the columns it really takes."""

from __future__ import annotations

import unicodedata

from pacs_recover.text import safe

SYMBOLS = {
    "waiting": "·",
    "running": "▸",
    "passed": "✓",
    "failed": "✗",
    "cut": "!",
    "undone": "↶",
    "made": "•",
    "ok": "✓",
    "warn": "!",
    "bad": "✗",
}
"""State is always a symbol and a word, never colour alone."""
LONGEST = 2000
"""Characters of one piece of outside text; evidence is a sentence, not a file."""

FIRST_ODD = "\u0300"
"""The first character that may take other than one column."""


def clean(text: str) -> str:
    """Outside text on one line, its control characters escaped."""
    return safe(" ".join(text[: LONGEST + 1].split()), LONGEST)


def columns(text: str) -> int:
    """The columns that a terminal gives it: two for a wide character, none for a combining one."""
    return len(text) if text.isascii() else sum(_width(char) for char in text)


def _width(char: str) -> int:
    if char < FIRST_ODD:
        return 1
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def pad(text: str, wide: int) -> str:
    """The text with spaces after it, up to so many columns."""
    return text + " " * (wide - columns(text))


def wrap(text: str, width: int, start: str = "") -> list[str]:
    """The text in lines of at most ``width`` columns: ``start`` before the first, its width in spaces before the rest.

    A word without room beside the indent gets less of it, and is never broken: it is a path or a command to copy.
    """
    lines, line, gap = [], start, ""
    indent = used = columns(start)
    for word in clean(text).split(" "):
        wide = columns(word)
        if used + len(gap) + wide <= width:
            line += gap + word
            used += len(gap) + wide
        else:
            lines += [line.rstrip()] if line.strip() else []
            less = max(0, min(indent, width - wide))
            line, used = " " * less + word, less + wide
        gap = " "
    return [*lines, line.rstrip()]
