"""A group of sites in one table: the first screen where a directory of site files was named."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from pacs_recover.screens import sites_view as view
from pacs_recover.screens.background import Task
from pacs_recover.screens.page import Page
from pacs_recover.widgets.line import Line
from pacs_recover.widgets.listing import Listing
from pacs_recover.widgets.reading import Reading

if TYPE_CHECKING:
    from pathlib import Path

    from pacs_recover.group import Member
    from pacs_recover.screens.sites_view import Told
    from pacs_recover.sessions import Sessions

AT_ONCE = 8
"""Sites that are read side by side: one whose disks hang holds up an eighth of the others, for seconds."""


class SitesPage(Page):
    """A row per site."""

    heading = "Sites"
    AUTO_FOCUS = "Listing"
    about = (
        "One row per site: how long ago its newest backups were verified and a restore was rehearsed, and the worst of "
        "all that its status tells; below, everything that is not fine of the one under the cursor. enter opens the "
        "site, esc there comes back. A file that is no site keeps nobody from the others."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="sites.open", tooltip="The console of this site"),
        Binding("r", "again", "reread", id="sites.again", tooltip="Read every site again"),
    ]

    def __init__(self, sites: Sessions) -> None:
        super().__init__()
        self.sites = sites
        self.members: list[Member] = []
        self.told: dict[Path, Told] = {}
        self._rows: list[Line] = []

    def body(self) -> ComposeResult:
        """How many, the table, the one under the cursor."""
        yield Reading([Line("reading the site files…", "", "… ")], id="sites-summary", passive=True)
        yield Static(view.head(), markup=False, classes="head")
        yield Listing("reading…", id="sites")
        yield Reading(id="site-below")

    def begin(self) -> None:
        """Find the site files, then read every site."""
        self.slow("sites", lambda _: self.sites.members(), self._found)

    def _found(self, members: list[Member]) -> None:
        self.members, self.told = members, {}
        self.draw()
        left: SimpleQueue[Member] = SimpleQueue()
        for member in members:
            if member.site:
                left.put(member)
        for _ in range(min(AT_ONCE, len(members))):
            self.slow("status of sites", lambda task: self._read(task, left), lambda _: None)

    def _read(self, task: Task, left: SimpleQueue[Member]) -> None:
        """Sites one after the other, until none is left."""
        while not task.stopped:
            try:
                member = left.get_nowait()
            except Empty:
                return
            self.console.background.tell(task, self._answered, (member, self.sites.status(member)))

    def _answered(self, one: tuple[Member, Told]) -> None:
        self.told[one[0].path] = one[1]
        self.draw()

    def draw(self) -> None:
        """Only the rows that changed are drawn."""
        lines = [view.row(member, self.told.get(member.path)) for member in self.members]
        self.query_one("#sites", Listing).show_lines(lines, self._rows)
        self._rows = lines
        self.query_one("#sites-summary", Reading).show([view.summary(self.members, self.told)])
        self.draw_below()

    def draw_below(self) -> None:
        """What is not fine of the site under the cursor."""
        member = self.member
        self.query_one("#site-below", Reading).show(view.below(member, self.told.get(member.path)) if member else [])

    @property
    def member(self) -> Member | None:
        """The site under the cursor."""
        cursor = self.query_one("#sites", Listing).cursor
        return self.members[cursor] if cursor < len(self.members) else None

    def on_listing_moved(self, _: Listing.Moved) -> None:
        """Another site."""
        self.draw_below()

    def place(self) -> str:
        """Where the site files are."""
        return str(self.sites.directory)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """It works on no site: what it can do does not depend on one."""
        if action in ("open", "again", "command"):
            return True
        return action != "audit" and super().check_action(action, parameters)

    def command_line(self) -> str:
        """The same as a command."""
        return self.sites.line()

    def action_open(self) -> None:
        """The console of the site under the cursor."""
        member = self.member
        if member and member.problem:
            self.complain(member.problem)
        elif member:
            self.console.enter(self.sites, member)

    def action_again(self) -> None:
        """Everything again."""
        for task in self._tasks:
            task.stop()
        self.begin()
