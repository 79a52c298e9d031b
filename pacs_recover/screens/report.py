"""The report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize

from pacs_recover import report as reports
from pacs_recover.errors import RecoverError
from pacs_recover.report import Report
from pacs_recover.screens.page import Page
from pacs_recover.widgets.line import Line, Look
from pacs_recover.widgets.reading import Reading

LOOKS: tuple[tuple[str, Look], ...] = (("  ✗", "bad"), ("  !", "warn"), ("  ↶", "warn"), ("  ✓", "ok"))


def lines(report: Report, width: int) -> list[Line]:
    """The report as it is printed, its headline and states coloured."""
    printed = reports.as_text(report, width).splitlines()
    good = "good" if report.outcome in ("restored", "closed") else "" if report.outcome == "running" else "bad"
    return [Line(text, good if number == 0 else _look(text), fixed=True) for number, text in enumerate(printed)]  # type: ignore[arg-type]


def _look(text: str) -> Look:
    if text and not text.startswith(" "):
        return "title"
    return next((look for start, look in LOOKS if text.startswith(start)), "")


class ReportPage(Page):
    """How a run went, in full."""

    heading = "Report"
    about = "How the run went: times against the RTO, downtime, every step with its evidence, what was kept and where."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "undo", "roll back", id="report.rollback", tooltip="Plan the rollback of this run"),
        Binding("n", "notes", "note", id="report.notes", tooltip="Write a note with its time into the run's record"),
        Binding("h", "handover", "hand over", id="report.handover", tooltip="The run in a few lines to paste"),
        Binding("o", "overview", "overview", id="report.overview", tooltip="Back to the first screen"),
    ]

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run = run
        self.report: Report | None = None

    def body(self) -> ComposeResult:
        """One page."""
        yield Reading([Line("reading the journal…", "", "… ")], id="report")

    def begin(self) -> None:
        """Read the journal."""
        self.slow("report", lambda _: self.session.report(self.run), self._told, self._failed)

    def _told(self, report: Report) -> None:
        self.report = report
        self.draw()
        self.refresh_bindings()

    def _failed(self, error: RecoverError) -> None:
        self.query_one("#report", Reading).show([Line(error.message, "bad", "✗ "), Line(error.hint, "", "  ")])

    def draw(self) -> None:
        """Laid out for this width."""
        page = self.query_one("#report", Reading)
        if self.report and page.scrollable_content_region.width:
            page.show(lines(self.report, max(40, page.scrollable_content_region.width)))

    def on_resize(self, _: Resize) -> None:
        """Lay it out anew."""
        self.call_after_refresh(self.draw)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what ended well and is in force can be rolled back."""
        if action == "undo":
            return not self.session.read_only and self.report is not None and self._in_force(self.report)
        return super().check_action(action, parameters)

    @staticmethod
    def _in_force(report: Report) -> bool:
        in_force = any(effect.state != "undone" for effect in report.effects)
        return in_force and report.mode == "live" and report.outcome in ("restored", "closed")

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("report", self.run.name)

    def action_undo(self) -> None:
        """Show what a rollback would do."""
        self.console.show_undo(self.run, "rollback")

    def action_notes(self) -> None:
        """What was noted, and a line to add to it."""
        self.console.show_notes(self.run)

    def action_handover(self) -> None:
        """A few lines to paste."""
        self.console.show_handover(self.run)

    def action_overview(self) -> None:
        """Home."""
        self.console.show_overview()
