"""A page of text, of any length, wrapped to the window."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Resize

from pacs_recover.text import safe
from pacs_recover.widgets.line import LONGEST, Line
from pacs_recover.widgets.once import once
from pacs_recover.widgets.scrolled import Scrolled

SLICE, PAUSE = 0.03, 0.02
"""Seconds that wrapping takes at a time, and that the keys have between."""
STRIDE = 50
"""Lines between two looks at the clock."""


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
        self._rows: list[tuple[str, str, int]] = []
        """What is wrapped, each row with the number of its line."""
        self._width = 0
        self._height = 0
        self._next = 0
        """The first line that is not wrapped yet."""
        self._round = 0
        """Counts what was shown: a slice of lines that are gone is not wrapped."""
        self._keep = 0
        """The line to come back to once it is wrapped; 0 for none."""
        self._to_end = False
        """Whether the operator asked for the end, while not all is wrapped."""

    def show(self, lines: Sequence[Line], *, top: bool = False) -> None:
        """Show other lines; what stays the same is not drawn again."""
        if tuple(lines) != self.lines:
            self.lines = tuple(lines)
            self._lay_out()
        if top:
            self.go(0)

    def show_whole(self, lines: Sequence[Line], most: int, width: int, frame: int = 0) -> None:
        """Show these lines in as many rows as they take, ``most`` at most, and its frame; no lines take no room."""
        rows = min(most, sum(len(line.wrapped(max(20, width))) for line in lines[:most]))
        if rows != self._height:
            self._height = rows
            self.display = rows > 0
            self.styles.height = max(1, rows) + frame
        self.show(lines)

    def _lay_out(self) -> None:
        """Wrap as much as takes no time; the rest follows a little at a time, and keys work in between."""
        width, top = self.scrollable_content_region.width, self.scroll_offset.y
        if not width:
            return
        before = self._rows
        self._keep = before[top][2] if width != self._width and 0 < top < len(before) else 0
        self._width, self._rows, self._next, self._round = width, [], 0, self._round + 1
        self._wrap()
        if len(before) != len(self._rows):
            self.resize_rows(len(self._rows))
        for number in range(top, top + self.scrollable_content_region.height):
            if before[number : number + 1] != self._rows[number : number + 1]:
                self.refresh_line(number)
        self._go_on(self._round)

    def _wrap(self) -> None:
        """Wrap more lines until the time of a slice is up, or all are."""
        until = time.perf_counter() + SLICE
        while self._next < len(self.lines) and time.perf_counter() < until:
            for number in range(self._next, min(self._next + STRIDE, len(self.lines))):
                line = self.lines[number]
                self._rows += [(row, line.look, number) for row in line.wrapped(self._width)]
            self._next += STRIDE

    def _go_on(self, round: int) -> None:
        """Return to what was read before the width changed; plan the next slice, unless all is wrapped."""
        if 0 < self._keep < self._next:
            self.go(bisect_left(self._rows, self._keep, key=lambda row: row[2]))
            self._keep = 0
        elif self._to_end:
            self.go(len(self._rows))
        if self._next < len(self.lines):
            once(self, PAUSE, lambda: self._slice(round))

    def _slice(self, round: int) -> None:
        if round == self._round:  # else other lines came
            self._wrap()
            self.resize_rows(len(self._rows))
            self._go_on(round)

    def row(self, number: int, _: int) -> tuple[str, str, bool]:
        """One wrapped row."""
        if number >= len(self._rows):
            return "", "", False
        text, look, _ = self._rows[number]
        return safe(text, LONGEST), look, False

    def on_resize(self, _: Resize) -> None:
        """Wrap again where the width changed; what was drawn of the old rows goes too."""
        self.resize_rows(len(self._rows))
        if self.scrollable_content_region.width != self._width:
            self._lay_out()
            self.refresh()

    def action_scroll(self, by: int) -> None:
        """A line up or down."""
        self._to_end = False
        self.go(self.scroll_offset.y + by)

    def action_leaf(self, by: int) -> None:
        """A screenful up or down."""
        self._to_end = False
        self.go(self.scroll_offset.y + by * max(1, self.scrollable_content_region.height - 1))

    def action_edge(self, end: int) -> None:
        """The first or the last screenful."""
        self._to_end = bool(end)
        self.go(len(self._rows) if end else 0)
