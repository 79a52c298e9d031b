"""A clock that costs a line and nothing else."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from pacs_recover.text import safe
from pacs_recover.widgets.line import Line


class Ticking(Static):
    """One line, never laid out anew: only its own cells are drawn when it ticks."""

    def __init__(self, *, id: str) -> None:
        super().__init__("", markup=False, id=id)
        self._told: Line | None = None

    def tell(self, line: Line) -> None:
        """Show another time; the same one is not drawn again."""
        if line == self._told:
            return
        if self._told is None or self._told.look != line.look:
            self.set_classes(line.look)
        self._told = line
        self.update(Content(safe(line.start + line.text)), layout=False)
