"""Past and present runs of this site."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from pacs_recover.screens.page import Page
from pacs_recover.text import seconds
from pacs_recover.widgets.line import Line, Look, cells
from pacs_recover.widgets.listing import Listing

HEAD = " " + cells(("RUN", 20), ("OUTCOME", 21), ("TOOK", 8), ("PARTS", 18), ("BY", 8))
SYMBOLS: dict[str, tuple[str, Look]] = {
    "restored": ("✓", "ok"),
    "closed": ("✓", "ok"),
    "running": ("▸", "key"),
    "unfinished": ("✗", "bad"),
    "rollback_incomplete": ("✗", "bad"),
}


def row(run: dict[str, Any]) -> Line:
    """One run."""
    symbol, look = SYMBOLS.get(run["outcome"], ("↶" if run["outcome"] == "rolled_back" else "!", "warn"))
    outcome = f"{symbol} {run['outcome'].replace('_', ' ')}"
    took = seconds(run["total_seconds"]) if run.get("total_seconds") is not None else "-"
    parts = ",".join(run["components"]) or "-"
    text = cells((run["run"], 20), (outcome, 21), (took, 8), (parts, 18), (run.get("operator", "-"), 40))
    return Line(text, look)


class RunsPage(Page):
    """A row per run, newest first."""

    heading = "Runs"
    AUTO_FOCUS = "Listing"
    about = "Past and present runs, newest first. enter shows the report, or the run itself while it has not ended."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="runs.open", tooltip="Its report, or the run itself"),
        Binding("v", "history", "times", id="runs.history", tooltip="Recovery times against the RTO as a chart"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[dict[str, Any]] = []

    def body(self) -> ComposeResult:
        """The list."""
        yield Static(HEAD, markup=False, classes="head")
        yield Listing("reading…", id="runs")

    def begin(self) -> None:
        """Read the journals."""
        self.slow("runs", lambda _: self.session.runs(), self._told)

    def _told(self, runs: list[dict[str, Any]]) -> None:
        self.runs = runs
        listing = self.query_one("#runs", Listing)
        listing.show(len(runs), lambda number, _: row(runs[number]), empty="no run yet: c shows what can be restored")

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("runs",)

    def action_history(self) -> None:
        """The chart."""
        self.console.show_history()

    def action_open(self) -> None:
        """Its report, or the run."""
        if not self.runs:
            return
        run = self.runs[self.query_one("#runs", Listing).cursor]
        if run["outcome"] in ("running", "unfinished", "rollback_incomplete"):
            self.console.show_run(run["path"])
        else:
            self.console.show_report(run["path"])
