"""The points in time of the queue's Litestream replicas, and what going back to each would gain and lose."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import Input, Static

from pacs_recover import points
from pacs_recover.errors import UsageError
from pacs_recover.model import Backup
from pacs_recover.screens import points_view as view
from pacs_recover.screens.page import Page
from pacs_recover.screens.weighing import Weighing
from pacs_recover.selection import moment
from pacs_recover.text import precise
from pacs_recover.widgets.edges import Typed
from pacs_recover.widgets.line import Line
from pacs_recover.widgets.listing import Listing
from pacs_recover.widgets.once import once
from pacs_recover.widgets.reading import Reading

REST = 0.4
"""Seconds that the cursor has to rest before the point under it is restored and compared."""


class PointsPage(Page):
    """Real points only, newest first, and the stretches in which there is none."""

    heading = "Points in time"
    AUTO_FOCUS = "#points"
    about = (
        "Every state of the queue that its Litestream replica can really give, newest first, and the stretches of time "
        "in which there is none. The one under the cursor is restored in private scratch and compared with what lives: "
        "AGAIN is how many messages would be sent again or become dead letters, LOST how many arrived since and would "
        "be gone. / goes to a time (02:00, 2h ago, 2026-11-10T02:00Z). Nothing live is touched."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "look", id="points.open", tooltip="All facts about this point, and its changes"),
        Binding("p", "plan", "plan", id="points.plan", tooltip="Plan a restore of the queue as it was then"),
        Binding("slash", "go", "go to", id="points.go", tooltip="To the newest point at or before a time"),
        Binding("r", "again", "reread", id="points.again", tooltip="Read the replicas again"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.found = points.Points((), (), ())
        self.rows: list[view.Row] = []
        self.weighing = Weighing(self, self.draw)
        self._resting: Timer | None = None

    def body(self) -> ComposeResult:
        """Summary, list, and what is known of the point under the cursor."""
        yield Reading(id="summary", passive=True)
        yield Typed("a time, such as 2h ago or 2026-11-10T02:00:00Z; enter goes there, esc leaves", id="filter")
        yield Static(view.head(), markup=False, classes="head")
        yield Listing("no point in time", id="points")
        yield Reading(id="point")

    def begin(self) -> None:
        """Show what has been read so far."""
        self.query_one("#filter", Typed).display = False
        self.gathered()

    def gathered(self) -> None:
        """Another source answered: the cursor stays on its point."""
        here = self.row
        self.found = points.of(self.console.gathered.catalog)
        self.rows = view.rows(self.found)
        place = self.rows.index(here) if here in self.rows else 0
        waiting = bool(self.console.gathered.waiting)
        self.query_one("#points", Listing).show(
            len(self.rows), self.line, place, "reading…" if waiting else "no point in time"
        )
        self.query_one("#summary", Reading).show_whole(view.summary(self.found, waiting), 4, self.size.width - 3)
        self.moved()

    def line(self, number: int, _: int) -> Line:
        """One row."""
        return view.line(self.rows[number], self.session.now(), self.weighing.known)

    @property
    def row(self) -> view.Row | None:
        """What is under the cursor."""
        cursor = self.query_one("#points", Listing).cursor
        return self.rows[cursor] if cursor < len(self.rows) else None

    @property
    def backup(self) -> Backup | None:
        """The point under the cursor; none on a gap."""
        return self.row if isinstance(self.row, Backup) else None

    def on_listing_moved(self, _: Listing.Moved) -> None:
        """What was being compared is not wanted any more; the next is once the cursor rests."""
        self.moved()

    def moved(self) -> None:
        """Show what is known at once, then compare."""
        self.weighing.look_at(self.backup)
        self.draw()
        if self._resting:
            self._resting.stop()
        self._resting = once(self, REST, self.weighing.read)

    def draw(self) -> None:
        """What is known of the point under the cursor, also in its row."""
        if not self.is_mounted:
            return
        now, listing = self.weighing, self.query_one("#points", Listing)
        listing.refresh_line(listing.cursor)
        self.query_one("#point", Reading).show(view.below(self.row, now.compared, now.progress, now.problem))

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("points", "--at", precise(self.backup.taken_at)) if self.backup else ("points",)

    def action_open(self) -> None:
        """Everything about this point."""
        if self.backup:
            self.console.show_preview(self.backup)

    def action_plan(self) -> None:
        """Choose with this point."""
        if self.backup:
            self.console.choose((), {**self.console.picked, "queue": self.backup})
        else:
            self.say("there is no state of this time to restore: choose the point before or after it", "warn")

    def action_go(self) -> None:
        """Type a time."""
        box = self.query_one("#filter", Typed)
        box.value, box.display = "", True
        self.set_focus(box)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """To that time."""
        try:
            self.go(moment(event.value, self.session.now()))
        except UsageError as error:
            self.complain(error)
        else:
            self.action_leave_typing()

    def go(self, at: datetime) -> None:
        """Put the cursor on the newest point at or before a time."""
        place = view.nearest(self.rows, at)
        if place is None:
            self.say("there is no point at or before that time", "warn")
        else:
            self.say("")
            self.query_one("#points", Listing).move_to(place)

    def action_leave_typing(self) -> None:
        """Back to the list."""
        self.query_one("#filter", Typed).display = False
        self.set_focus(self.query_one("#points", Listing))

    def action_again(self) -> None:
        """Read everything again; what lives may have moved on, so everything is compared again too."""
        self.weighing.known.clear()
        self.weighing.problems.clear()
        self.console.gather()
        self.gathered()
