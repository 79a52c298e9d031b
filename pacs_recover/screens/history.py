"""Recovery times against the RTO, run by run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize

from pacs_recover import chart
from pacs_recover.errors import RecoverError
from pacs_recover.recovery_times import Time
from pacs_recover.screens.page import Page
from pacs_recover.widgets.line import Line, Look
from pacs_recover.widgets.reading import Reading

LOOKS: dict[str, Look] = {"ok": "", "warn": "warn", "bad": "bad"}


def lines(times: Sequence[Time], width: int) -> list[Line]:
    """The charts as a page."""
    if not times:
        return [Line("no run and no drill yet: pacs-recover drill measures without touching the site", "", "  ")]
    rows = [
        Line(text, LOOKS[state] if text.startswith(" ") else "title", fixed=True)
        for text, state in chart.rows(times, width)
    ]
    return [*rows, Line(chart.LEGEND)]


class HistoryPage(Page):
    """A bar a run."""

    heading = "History: recovery times against the RTO"
    about = (
        "How long each recovery took, from its start to the service's answer, for each kind of recovery: live restores "
        "and drills, oldest first, the mark | where the RTO is. What did not recover has words in place of a bar."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "runs", "runs", id="history.runs", tooltip="Past and present runs and their reports")
    ]

    def __init__(self) -> None:
        super().__init__()
        self.times: list[Time] | None = None

    def body(self) -> ComposeResult:
        """One page."""
        yield Reading([Line("reading the journals…", "", "… ")], id="history")

    def begin(self) -> None:
        """Read the journals."""
        self.slow("history", lambda _: self.session.history(), self._told, self._failed)

    def _told(self, times: list[Time]) -> None:
        self.times = times
        self.draw()

    def _failed(self, error: RecoverError) -> None:
        self.query_one("#history", Reading).show([Line(error.message, "bad", "✗ "), Line(error.hint, "", "  ")])

    def draw(self) -> None:
        """Laid out for this width."""
        page = self.query_one("#history", Reading)
        if self.times is not None and page.scrollable_content_region.width:
            page.show(lines(self.times, page.scrollable_content_region.width))

    def on_resize(self, _: Resize) -> None:
        """Lay it out anew."""
        self.call_after_refresh(self.draw)

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("history",)

    def action_runs(self) -> None:
        """The list."""
        self.console.show_runs()
