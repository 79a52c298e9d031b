"""A list with a cursor, of any length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.message import Message

from pacs_recover.text import safe
from pacs_recover.widgets.line import LONGEST, Line, fit
from pacs_recover.widgets.scrolled import Scrolled

Draw = Callable[[int, int], Line]
"""The line of a row by its number, for a width in columns."""


class Listing(Scrolled, inherit_bindings=False):
    """Rows of which one is under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False, id="list.up", tooltip="The row above"),
        Binding("down,j", "move(1)", "down", show=False, id="list.down", tooltip="The row below"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="list.page_up", tooltip="A page up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, id="list.page_down", tooltip="A page down"),
        Binding("home,g", "edge(0)", "first", show=False, id="list.first", tooltip="The first row"),
        Binding("end,G", "edge(-1)", "last", show=False, id="list.last", tooltip="The last row"),
    ]

    class Moved(Message):
        """The operator put the cursor on another row."""

        def __init__(self, listing: Listing, row: int) -> None:
            super().__init__()
            self.listing, self.number = listing, row

        @property
        def control(self) -> Listing:
            """The list."""
            return self.listing

    def __init__(self, empty: str = "nothing here", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.empty = empty
        self.count = 0
        self.cursor = 0
        self._draw: Draw = lambda _, __: Line("")

    def show(self, count: int, draw: Draw, cursor: int | None = None, empty: str | None = None) -> None:
        """Show other rows, the cursor on the given one, else where it was."""
        self.count, self._draw = count, draw
        self.empty = self.empty if empty is None else empty
        self.cursor = max(0, min(self.cursor if cursor is None else cursor, count - 1))
        self.resize_rows(max(1, count))
        self._into_sight()
        self.refresh()

    def show_lines(self, lines: Sequence[Line], before: Sequence[Line]) -> None:
        """Show these few lines; only what differs from those before is drawn anew."""
        if len(lines) != len(before):
            return self.show(len(lines), lambda number, _: lines[number])
        self._draw = lambda number, _: lines[number]
        for number, (line, old) in enumerate(zip(lines, before, strict=True)):
            if line != old:
                self.refresh_line(number)
        return None

    def row(self, number: int, width: int) -> tuple[str, str, bool]:
        """A row with the cursor's mark, which is more than a colour."""
        if not self.count:
            return (f" {self.empty}" if number == 0 else ""), "", False
        if number >= self.count:
            return "", "", False
        line, here = self._draw(number, width - 1), number == self.cursor
        text = fit(safe(line.start + line.text, LONGEST), width - 1)
        return ("▌" if here else " ") + text, line.look, here

    def place(self, number: int) -> bool:
        """Put the cursor on a row; whether it was on another."""
        number = max(0, min(number, self.count - 1))
        if number == self.cursor or not self.count:
            return False
        old, self.cursor = self.cursor, number
        self.refresh_line(old)
        self.refresh_line(number)
        self._into_sight()
        return True

    def move_to(self, number: int) -> None:
        """The same for the operator, of which the screen is told."""
        if self.place(number):
            self.post_message(self.Moved(self, self.cursor))

    def _into_sight(self) -> None:
        top, height = self.scroll_offset.y, max(1, self.scrollable_content_region.height)
        if self.cursor < top:
            self.go(self.cursor)
        elif self.cursor >= top + height:
            self.go(self.cursor - height + 1)

    def on_resize(self, _: Resize) -> None:
        """Keep the cursor in sight."""
        self.resize_rows(max(1, self.count))
        self._into_sight()

    def action_move(self, by: int) -> None:
        """Up or down."""
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """A screenful up or down."""
        self.move_to(self.cursor + by * max(1, self.scrollable_content_region.height - 1))

    def action_edge(self, number: int) -> None:
        """The first or the last row."""
        self.move_to(number if number >= 0 else self.count - 1)
