"""What a list and a page have in common: rows drawn one by one, of which only the ones in sight are ever made."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

STYLES = {
    "": Style(),
    "ok": Style(),
    "good": Style(color="green", bold=True),
    "warn": Style(color="yellow"),
    "bad": Style(color="red", bold=True),
    "title": Style(bold=True),
    "key": Style(bold=True),
}
LIGHT = {**STYLES, "warn": Style(color="magenta")}
"""On a light background, where the terminal's own yellow cannot be read."""

CURSOR = Style(reverse=True)
TICK = "✓"
"""What is fine is told by its symbol; colour on whole lines is for what is not."""


class Scrolled(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows by number through the line API: a hundred thousand cost what a screenful does."""

    def resize_rows(self, count: int) -> None:
        """Take this many rows; while they fit into the window nothing is laid out, and so drawn, anew."""
        window = self.scrollable_content_region.size
        size = Size(window.width, max(count, window.height))
        if max(size.height, self.virtual_size.height) <= window.height:
            self.set_reactive(Scrolled.virtual_size, size)
        else:
            self.virtual_size = size
            if size.height == window.height:  # a bar that a smaller window brought stays otherwise
                self.show_vertical_scrollbar = False

    def render_line(self, y: int) -> Strip:
        """The row at this place of the window."""
        width, base = self.scrollable_content_region.width, self.rich_style
        text, look, here = self.row(y + self.scroll_offset.y, width)
        styles = STYLES if self.app.current_theme.dark else LIGHT
        style = base + (CURSOR if here else styles[look])
        before, tick, after = text.partition(TICK) if look == "ok" and not here else (text, "", "")
        parts = [Segment(before, style), Segment(tick, base + styles["good"]), Segment(after, style)]
        return Strip([part for part in parts if part.text]).adjust_cell_length(width, style)

    def row(self, number: int, width: int, /) -> tuple[str, str, bool]:
        """The text and look of a row, and whether the cursor is on it; nothing behind the last."""
        raise NotImplementedError

    def go(self, y: float) -> None:
        """Scroll to this row at once."""
        self.scroll_to(y=y, animate=False, immediate=True, force=True)
