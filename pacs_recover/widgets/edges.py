"""What stands at the edges of every screen: the bar with the mode above, messages and the keys that work below."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from pacs_recover.text import safe
from pacs_recover.widgets.line import fit

MODES = {
    "READ-ONLY": "reverse",
    "NOT ARMED": "reverse",
    "DRILL": "bold black on cyan",
    "LIVE RESTORE": "bold white on red",
    "ROLLING BACK": "bold black on yellow",
}
"""What can happen from here, in words, and how it looks."""


class Bar(Static):
    """The first line: the mode, the screen, the site."""

    def __init__(self) -> None:
        super().__init__(markup=False, id="bar")
        self._told: tuple[str, str, str] = ("", "", "")

    def tell(self, mode: str, heading: str, site: str) -> None:
        """Show these three; nothing is drawn where nothing changed."""
        if (mode, heading, site) != self._told:
            self._told = (mode, heading, site)
            self.refresh()

    def render(self) -> Content:
        """One line as wide as the window."""
        mode, heading, site = self._told
        left = f" {mode} "
        room = self.size.width - cell_len(left) - 2
        middle = fit(safe(heading), room)
        right = fit(safe(site), max(0, room - cell_len(middle) - 2))
        gap = " " * max(1, room - cell_len(middle) - cell_len(right) + 1)
        return Content.assemble((left, MODES.get(mode, "reverse")), f" {middle}{gap}{right}")


class Notice(Static):
    """The last word: what went wrong and what to do next, or what was done."""

    def __init__(self) -> None:
        super().__init__("", markup=False, id="notice")
        self.text = ""

    def say(self, text: str, look: str = "") -> None:
        """Show a message; an empty one takes no room, and the same one is not drawn again."""
        if safe(text, 1000) == self.text:
            return
        self.text = safe(text, 1000)
        self.set_classes(look)
        self.display = bool(text)
        self.update(Content(self.text))


class KeyLine(Static):
    """The last line: the keys that work here and now."""

    def __init__(self) -> None:
        super().__init__(markup=False, id="keys")
        self._keys: list[tuple[str, str]] = []

    def on_mount(self) -> None:
        """Follow the screen's bindings."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self._follow())

    def _follow(self) -> None:
        """Draw only where other keys work than before."""
        if (keys := shown(self.screen)) != self._keys:
            self._keys = keys
            self.refresh()

    def render(self) -> Content:
        """As many keys as there is room for; help and quit always."""
        parts: list[tuple[str, str]] = []
        for key, word in fitting(shown(self.screen), self.size.width):
            parts += [(f" {key} ", "bold"), (f"{word} ", "")]
        return Content.assemble(*parts)


def shown(screen: Screen[Any]) -> list[tuple[str, str]]:
    """The keys that work on a screen now, with their word; while something is typed only those of the input line."""
    typing = isinstance(screen.focused, Input)
    active = [
        found.binding
        for found in screen.active_bindings.values()
        if found.binding.show and found.enabled and (not typing or found.node is screen.focused)
    ]
    unique = {binding.action: binding for binding in reversed(active)}
    order = sorted(dict(reversed(unique.items())).values(), key=rank)
    return [(display(binding), binding.description) for binding in order]


def rank(binding: Binding) -> int:
    """What only this screen can do comes first, then what every screen can."""
    general = ("page.", "app.", "list.", "reading.")
    return next((number for number, begin in enumerate(general, 1) if (binding.id or "").startswith(begin)), 0)


NAMES = {"question_mark": "?", "slash": "/", "escape": "esc", "left": "←", "right": "→"}


def display(binding: Binding) -> str:
    """A key as it is written."""
    return binding.key_display or NAMES.get(binding.key, binding.key.replace("ctrl+", "^"))


LEAST = ("all", "reread", "cmd")
"""What can be missed first in a narrow window."""


def fitting(keys: Iterable[tuple[str, str]], width: int) -> list[tuple[str, str]]:
    """The keys that fit into a line, in order; of too many, the ones that help names as well go first."""
    keys = list(keys)
    for least in (*LEAST, *(word for _, word in reversed(keys) if word not in ("help", "quit", "back"))):
        if sum(cell_len(key) + cell_len(word) + 3 for key, word in keys) <= width:
            break
        keys = [pair for pair in keys if pair[1] != least]
    return keys


class Typed(Input):
    """One line to type into; its cursor never blinks, so that nothing is drawn while nobody types."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "done", id="typed.done", tooltip="Take what is typed"),
        Binding("escape", "screen.leave_typing", "leave it", id="typed.leave", tooltip="Leave the input line"),
    ]

    def __init__(self, placeholder: str = "", *, id: str | None = None) -> None:
        super().__init__(placeholder=placeholder, id=id, compact=True, select_on_focus=False)
        self.cursor_blink = False
