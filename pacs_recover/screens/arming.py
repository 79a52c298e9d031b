"""Arming: nothing is changed until the site's name is typed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from pacs_recover.text import safe
from pacs_recover.widgets.edges import Typed


class Name(Typed):
    """The line that arms."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "START IT", id="arming.start", tooltip="Start it, if what is typed is the name")
    ]


class Arming(Vertical):
    """The line to type the site's name into; hidden until it is wanted."""

    def __init__(self) -> None:
        super().__init__(id="arming")

    def compose(self) -> ComposeResult:
        """What is armed, and the line."""
        yield Static(markup=False, id="arming-what")
        yield Name(id="arming-name")

    def on_mount(self) -> None:
        """Not yet."""
        self.display = False

    def ask(self, what: str, name: str) -> None:
        """Ask for the name; the answer comes as the input line's own message."""
        self.query_one(Static).update(f"{safe(what)} To arm it, type the site's name: {safe(name)}")
        self.open("")

    def ask_for(self, what: str) -> None:
        """Ask for other words."""
        self.query_one(Static).update(safe(what))
        self.open("")

    def open(self, value: str) -> None:
        """Show the line and go there."""
        self.display = True
        box = self.query_one(Typed)
        box.value = value
        self.screen.set_focus(box)

    def shut(self) -> None:
        """Take it away again."""
        self.query_one(Typed).value = ""
        self.display = False
