"""What a list and a page have in common: rows drawn one by one, of which only the ones in sight are ever made."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

STYLES = {
    "": Style(),
    "ok": Style(color="green"),
    "warn": Style(color="yellow"),
    "bad": Style(color="red", bold=True),
    "title": Style(bold=True),
    "key": Style(bold=True),
}


class Scrolled(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows by number through the line API: a hundred thousand cost what a screenful does."""

    def resize_rows(self, count: int) -> None:
        """Take this many rows."""
        self.virtual_size = Size(self.scrollable_content_region.width, count)

    def render_line(self, y: int) -> Strip:
        """The row at this place of the window."""
        width, base = self.scrollable_content_region.width, self.rich_style
        text, style = self.row(y + self.scroll_offset.y, width)
        return Strip([Segment(text, base + style)]).adjust_cell_length(width, base + style)

    def row(self, number: int, width: int, /) -> tuple[str, Style]:
        """The text and style of a row; nothing behind the last."""
        raise NotImplementedError

    def go(self, y: float) -> None:
        """Scroll to this row at once."""
        self.scroll_to(y=y, animate=False, immediate=True, force=True)
