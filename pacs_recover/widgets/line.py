"""One line of a screen as plain data: what views make and widgets draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pacs_recover.text import safe
from pacs_recover.wrapping import SYMBOLS, clean, columns, pad, wrap

Look = Literal["", "ok", "good", "warn", "bad", "title", "key"]
"""How a line looks, ``ok`` by its symbol alone; the state that a colour stands for is in the line's words too."""
LOOKS: dict[str, Look] = {
    "passed": "ok",
    "ok": "ok",
    "failed": "bad",
    "bad": "bad",
    "warn": "warn",
    "cut": "warn",
    "running": "key",
    "undone": "warn",
}
WORDS = {"warn": "LOOK: ", "bad": "BAD: "}
LONGEST = 4000
"""Characters of a line that are ever looked at."""


@dataclass(frozen=True)
class Line:
    """A line, which a page wraps under its own ``start`` and a list cuts."""

    text: str
    look: Look = ""
    start: str = ""
    """What stands before it; what is wrapped lines up behind it."""
    fixed: bool = False
    """Spaces are kept: it was laid out already."""

    def wrapped(self, width: int) -> list[str]:
        """In rows of at most ``width`` columns; a word that has no room at all is broken."""
        rows = [safe(self.text, LONGEST)] if self.fixed else wrap(self.text, width, self.start)
        return [piece for row in rows for piece in _pieces(row, max(1, width))]


def _pieces(row: str, width: int) -> list[str]:
    if columns(row) <= width:
        return [row]
    pieces, piece, used = [], "", 0
    for char in row:
        wide = columns(char)
        if used + wide > width:
            pieces.append(piece)
            piece, used = "", 0
        piece, used = piece + char, used + wide
    return [*pieces, piece]


def symbol(state: str) -> str:
    """The symbol that a state has everywhere."""
    return SYMBOLS.get(state, "·")


def title(text: str) -> Line:
    """The head of a part of a page."""
    return Line(text, "title")


def stated(state: str, text: str, indent: str = "  ") -> Line:
    """A line with the symbol of its state before it and, where that is not fine, its word."""
    return Line(f"{WORDS.get(state, '')}{text}", LOOKS.get(state, ""), f"{indent}{symbol(state)} ")


def cells(*parts: tuple[object, int]) -> str:
    """Outside text in columns of these widths, cut to fit, one space apart; the last is not padded."""
    texts = [fit(clean(str(text)), width) for text, width in parts]
    return " ".join(pad(text, width) for text, (_, width) in zip(texts, parts, strict=True)).rstrip()


def fit(text: str, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than ``width`` columns."""
    if columns(text) <= width:
        return text
    kept = ""
    for char in text:
        if columns(kept + char) > width - 1:
            break
        kept += char
    return kept + "…"
