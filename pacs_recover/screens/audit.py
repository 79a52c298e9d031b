"""The audit: who did what, newest first, and whether the record is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.widgets import Static

from pacs_recover.screens import audit_view as view
from pacs_recover.screens.page import Page
from pacs_recover.widgets.line import Line
from pacs_recover.widgets.listing import Listing
from pacs_recover.widgets.reading import Reading

if TYPE_CHECKING:
    from pacs_recover.audit import Record
    from pacs_recover.audit.checking import Verified


class AuditPage(Page):
    """A row per record."""

    heading = "Audit"
    AUTO_FOCUS = "Listing"
    about = (
        "Every look into a backup, plan, run, question, answer, rollback and refusal, newest first. Each record has "
        "the hash of the one before it: VERIFIED means that none was changed, put in or taken away, and that the "
        "system's log (or the site's bucket) says the same up to the last; UNPROVEN that nothing outside says how it "
        "went on; DAMAGED says where. The uid is a fact; login, sudo and SSH are what the session claims."
    )

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []

    def body(self) -> ComposeResult:
        """The verdict, the list, the record under the cursor."""
        yield Reading(id="verdict", passive=True)
        yield Static(view.HEAD, markup=False, classes="head")
        yield Listing("reading…", id="records")
        yield Reading(id="record", passive=True)

    def begin(self) -> None:
        """Read it, then check it."""
        self.verdict(None)
        self.slow("audit", lambda _: self.session.records(), self.told)
        self.slow("audit verify", lambda _: self.session.verify_audit(), self.verdict)

    def told(self, records: list[Record]) -> None:
        """The records, newest first."""
        self.records = records[::-1]
        self.query_one("#records", Listing).show(len(records), self.line, empty="nothing was recorded yet")
        self.draw_record()

    def verdict(self, found: Verified | None) -> None:
        """Whether it is whole."""
        self.query_one("#verdict", Reading).show_whole(view.summary(found), 7, self.size.width - 3)

    def line(self, number: int, _: int) -> Line:
        """One row."""
        return view.row(self.records[number])

    def draw_record(self) -> None:
        """All of the one under the cursor."""
        cursor = self.query_one("#records", Listing).cursor
        lines = view.whole(self.records[cursor]) if self.records else []
        self.query_one("#record", Reading).show_whole(lines, 7, self.size.width - 3, frame=1)

    def on_listing_moved(self, _: Listing.Moved) -> None:
        """Another one."""
        self.draw_record()

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("audit", "verify")
