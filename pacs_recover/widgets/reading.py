"""A page of text, of any length, wrapped to the window."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Resize

from pacs_recover.text import safe
from pacs_recover.widgets.line import LONGEST, Line
from pacs_recover.widgets.scrolled import Scrolled


class Reading(Scrolled, inherit_bindings=False):
    """Lines that are read; the keys scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll(-1)", "up", show=False, id="reading.up", tooltip="A line up"),
        Binding("down,j", "scroll(1)", "down", show=False, id="reading.down", tooltip="A line down"),
        Binding("pageup,ctrl+b", "leaf(-1)", "page up", show=False, id="reading.page_up", tooltip="A page up"),
        Binding(
            "pagedown,space,ctrl+f", "leaf(1)", "page down", show=False, id="reading.page_down", tooltip="A page on"
        ),
        Binding("home,g", "edge(0)", "top", show=False, id="reading.top", tooltip="The first line"),
        Binding("end,G", "edge(1)", "end", show=False, id="reading.end", tooltip="The last line"),
    ]

    def __init__(self, lines: Sequence[Line] = (), *, id: str | None = None, passive: bool = False) -> None:
        super().__init__(id=id)
        self.can_focus = not passive
        self.lines: tuple[Line, ...] = tuple(lines)
        self._rows: list[tuple[str, str]] = []
        self._width = 0
        self._height = 0

    def show(self, lines: Sequence[Line], *, top: bool = False) -> None:
        """Show other lines; what stays the same is not drawn again."""
        if tuple(lines) != self.lines:
            self.lines = tuple(lines)
            self._lay_out()
        if top:
            self.go(0)

    def show_whole(self, lines: Sequence[Line], most: int, width: int, frame: int = 0) -> None:
        """Show these lines in as many rows as they take, ``most`` at most, and its frame; no lines take no room."""
        rows = min(most, sum(len(line.wrapped(max(20, width))) for line in lines))
        if rows != self._height:
            self._height = rows
            self.display = rows > 0
            self.styles.height = max(1, rows) + frame
        self.show(lines)

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width
        if not width:
            return
        before, self._width = self._rows, width
        self._rows = [(row, line.look) for line in self.lines for row in line.wrapped(width)]
        if len(before) != len(self._rows):
            self.resize_rows(len(self._rows))
        for number, (old, new) in enumerate(zip_longest(before, self._rows)):
            if old != new:
                self.refresh_line(number)

    def row(self, number: int, _: int) -> tuple[str, str, bool]:
        """One wrapped row."""
        if number >= len(self._rows):
            return "", "", False
        text, look = self._rows[number]
        return safe(text, LONGEST), look, False

    def on_resize(self, _: Resize) -> None:
        """Wrap again where the width changed; what was drawn of the old rows goes too."""
        self.resize_rows(len(self._rows))
        if self.scrollable_content_region.width != self._width:
            self._lay_out()
            self.refresh()

    def action_scroll(self, by: int) -> None:
        """A line up or down."""
        self.go(self.scroll_offset.y + by)

    def action_leaf(self, by: int) -> None:
        """A screenful up or down."""
        self.go(self.scroll_offset.y + by * max(1, self.scrollable_content_region.height - 1))

    def action_edge(self, end: int) -> None:
        """The first or the last screenful."""
        self.go(len(self._rows) if end else 0)
