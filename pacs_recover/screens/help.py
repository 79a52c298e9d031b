"""What this screen is for and which keys work on it."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen

from pacs_recover.screens.page import Page
from pacs_recover.widgets.edges import NAMES, rank
from pacs_recover.widgets.line import Line, title
from pacs_recover.widgets.reading import Reading
from pacs_recover.wrapping import pad

GENERAL = (
    "The word at the top left says what can happen: READ-ONLY (nothing can be armed), NOT ARMED (you look; nothing "
    "changes before you type the site's name), LIVE RESTORE (a worker changes the site), ROLLING BACK (it takes "
    "everything back).",
    "A run belongs to its worker: leaving the console, a lost connection or a closed terminal does nothing to it. "
    "Open the console again and press a.",
    "States are a symbol and a word: ✓ fine, ! look, ✗ bad, ▸ now, · not yet, ↶ taken back.",
    "Everything here can be done on the command line: y shows how.",
)


def keys(screen: Screen[Any]) -> list[tuple[str, str]]:
    """Every key that works on a screen, and what it does."""
    found: dict[str, tuple[list[str], str]] = {}
    for active in sorted(screen.active_bindings.values(), key=lambda active: rank(active.binding)):
        binding = active.binding
        if active.enabled and binding.tooltip:
            names, _ = found.setdefault(binding.id or binding.action, ([], binding.tooltip))
            names.append(spelled(binding))
    return [(" ".join(dict.fromkeys(names)), tooltip) for names, tooltip in found.values()]


def spelled(binding: Binding) -> str:
    """A key in words that everybody knows."""
    return binding.key_display or NAMES.get(binding.key, binding.key.replace("ctrl+", "^").replace("page", "page "))


def lines(heading: str, about: str, found: list[tuple[str, str]]) -> list[Line]:
    """The help of one screen."""
    wide = max((len(names) for names, _ in found), default=0)
    table = [Line(text, "", f"  {pad(names, wide)}  ") for names, text in found]
    general = [Line(text, "", "  ") for text in GENERAL]
    return [
        title(heading),
        Line(about, "", "  "),
        Line(""),
        title("Keys"),
        *table,
        Line(""),
        title("Good to know"),
        *general,
    ]


class HelpPage(Page):
    """The help of the screen it was asked on."""

    heading = "Help"
    about = "Help."

    def __init__(self, of: Page) -> None:
        super().__init__()
        self._lines = lines(of.heading, of.about, keys(of))

    def body(self) -> ComposeResult:
        """One page."""
        yield Reading(self._lines, id="help")

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("--help",)
