"""The palette: everything that can be done on the screen below, found by typing."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from pacs_recover.screens.help import spelled
from pacs_recover.screens.page import Page
from pacs_recover.widgets.edges import Typed
from pacs_recover.widgets.line import Line, cells
from pacs_recover.widgets.listing import Listing

ALWAYS = {"page.next", "page.before", "list.", "reading.", "typed.", "app.commands", "app.quit_", "app.interrupt"}
"""Bindings that nobody looks for in a palette begin so."""


class Picking(Typed):
    """Types words and moves the cursor of the list below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "do it", id="commands.do", tooltip="Do what is under the cursor"),
        Binding("up", "screen.move(-1)", "up", show=False, id="commands.up", tooltip="The row above"),
        Binding("down", "screen.move(1)", "down", show=False, id="commands.down", tooltip="The row below"),
    ]


def matching(commands: list[tuple[str, str, str]], words: str) -> list[tuple[str, str, str]]:
    """The commands in whose words all of these are found."""
    wanted = words.lower().split()
    return [command for command in commands if all(word in f"{command[1]} {command[0]}".lower() for word in wanted)]


class CommandsPage(Page):
    """What can be done, as sentences."""

    heading = "What do you want to do?"
    about = "Everything that can be done on the screen below."
    AUTO_FOCUS = "Typed"

    def __init__(self, of: Page) -> None:
        super().__init__()
        self.commands = self._of(of)
        self.shown = self.commands

    @staticmethod
    def _of(page: Page) -> list[tuple[str, str, str]]:
        """Key, sentence and action of each."""
        found: dict[str | None, tuple[str, str, str]] = {}
        for active in page.active_bindings.values():
            binding = active.binding
            if active.enabled and binding.tooltip and not (binding.id or "").startswith(tuple(ALWAYS)):
                found.setdefault(binding.id, (spelled(binding), binding.tooltip, binding.action))
        return list(found.values())

    def body(self) -> ComposeResult:
        """A line to type into, and the list."""
        yield Picking("type a few letters", id="words")
        yield Listing("nothing like that", id="commands")

    def begin(self) -> None:
        """Everything at first."""
        self.draw()

    def draw(self) -> None:
        """What fits the words."""
        shown = self.shown
        self.query_one(Listing).show(len(shown), lambda n, _: Line(cells((shown[n][0], 8), (shown[n][1], 200))), 0)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow it down."""
        self.shown = matching(self.commands, event.value)
        self.draw()

    def action_move(self, by: int) -> None:
        """The cursor of the list."""
        self.query_one(Listing).action_move(by)

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Do it on the screen below."""
        if self.shown:
            action = self.shown[self.query_one(Listing).cursor][2]
            self.app.pop_screen()
            self.app.call_later(self.console.do, action)

    def action_leave_typing(self) -> None:
        """Nothing, then."""
        self.app.pop_screen()
