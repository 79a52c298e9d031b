"""The first screen: what there is to restore from, what runs, and what needs somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import ScreenResume
from textual.timer import Timer
from textual.widgets import Static

from pacs_recover.screens import overview_view as view
from pacs_recover.screens.background import Task
from pacs_recover.screens.page import Page
from pacs_recover.widgets.line import Line
from pacs_recover.widgets.listing import Listing
from pacs_recover.widgets.once import once
from pacs_recover.widgets.reading import Reading

if TYPE_CHECKING:
    from pacs_recover.session import OpenRun

SOON = 0.25
"""Seconds in which what comes is drawn together."""


class Overview(Page):
    """One row per component, what lives now, the sources, the run that has not ended."""

    heading = "Overview"
    AUTO_FOCUS = "Listing"
    about = (
        "One row per component: its newest usable backup, how old it is against its RPO (how old it may be), and what "
        "pacs-recover verify found of just this backup. Below: what lives now (the services, how much waits in the "
        "queue, how long the certificates last), when the backups were verified and a restore was rehearsed, the "
        "sources, the last run. A line on top says what needs somebody."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "attach", "watch", id="overview.attach", tooltip="Show the run that has not ended"),
        Binding("enter", "open", "backups", id="overview.open", tooltip="The backups of this component"),
        Binding("c", "catalog", "catalog", id="overview.catalog", tooltip="All backups of all sources"),
        Binding("p", "plan", "plan", id="overview.plan", tooltip="Plan a restore of this component's newest backup"),
        Binding("f", "full", "full", id="overview.full", tooltip="Plan a restore of config, certs and queue together"),
        Binding("i", "points", "in time", id="overview.points", tooltip="The queue's points in time (Litestream)"),
        Binding("t", "runs", "runs", id="overview.runs", tooltip="Past and present runs and their reports"),
        Binding("d", "drill", "drill", show=False, id="overview.drill", tooltip="Rehearse a restore in a sandbox"),
        Binding("v", "history", "times", show=False, id="overview.history", tooltip="Recovery times against the RTO"),
        Binding("w", "app.audit", "audit", show=False, id="overview.audit", tooltip="Who looked, planned, restored"),
        Binding("r", "again", "reread", id="overview.again", tooltip="Read the sources and what lives again"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.status: dict[str, Any] | None = None
        self.live: dict[str, Any] | None = None
        self.runs: list[OpenRun] | None = None
        self.needs_root = False
        self.last: dict[str, Any] | None = None
        self._asking: Task | None = None
        self._reading: Task | None = None
        self._draws: Timer | None = None
        self._looks: Timer | None = None
        self._rows: list[Line] = []

    def body(self) -> ComposeResult:
        """Banner, table, the rest."""
        yield Reading(id="banner", passive=True)
        yield Static(view.head(), markup=False, classes="head")
        yield Listing("reading the site…", id="components")
        yield Reading(id="below")

    def begin(self) -> None:
        """Show what is known at once, and read; before the site is open there is nothing to know."""
        if not self.console.is_open:
            return
        self.action_again()

    def on_screen_resume(self, event: ScreenResume) -> None:
        """A run may have ended in between."""
        super().on_screen_resume(event)
        if not self.console.is_open:
            return
        if self.console.is_stale:
            self.action_again()
        elif self.status is not None:
            self.look()

    def look(self) -> None:
        """Ask for the services and the runs."""
        self._looks = None
        if self._asking:
            self._asking.stop()
        found = self.console.gathered.catalog

        def ask(_: Task) -> tuple[Any, ...]:
            runs = self.session.runs()
            return self.session.status(found), self.session.open_runs(), self.session.needs_root(), runs[:1]

        self._asking = self.slow("status", ask, self.answered)

    def answered(self, told: tuple[Any, ...]) -> None:
        """Show what came."""
        self.status, self.runs, self.needs_root, last = told
        self.last = last[0] if last else None
        self.draw_soon()

    def read_live(self) -> None:
        """Read the live queue and certificates; what is known of them stays until then."""
        if self._reading:
            self._reading.stop()
        self._reading = self.slow("live", lambda _: self.session.live(), self.live_read)

    def live_read(self, told: dict[str, Any]) -> None:
        """Fill their rows."""
        self.live = told
        self.draw_soon()

    def gathered(self) -> None:
        """Another source answered."""
        self.draw_soon()
        if self._looks:
            self._looks.stop()
        self._looks = once(self, SOON, self.look)

    def draw_soon(self) -> None:
        """Draw once for all that comes in a moment: on a slow link each row that moves costs."""
        if self._draws is None:
            self._draws = once(self, SOON, self._draw_now)

    @property
    def is_pending(self) -> bool:
        """Whether something came that is drawn in a moment."""
        return self._draws is not None or self._looks is not None

    def _draw_now(self) -> None:
        self._draws = None
        self.draw()
        self.refresh_bindings()

    def draw(self) -> None:
        """Everything on it."""
        gathered, session = self.console.gathered, self.session
        lines = view.rows(self.status if gathered.parts else None, gathered, session.now())
        listing = self.query_one("#components", Listing)
        listing.show_lines(lines, self._rows)
        self._rows = lines
        banner = view.banner(self.runs, session.read_only, self.needs_root, session.command)
        self.query_one("#banner", Reading).show_whole(banner, 7, self.size.width - 3)
        self.query_one("#below", Reading).show(view.below(self.status, self.live, gathered, self.last))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A run can be watched while there is one."""
        if action == "attach" and self.console.is_open:
            return any(run.outcome != "unreadable" for run in self.runs or ())
        return super().check_action(action, parameters)

    def component(self) -> str:
        """What the cursor stands on."""
        return view.PARTS[self.query_one("#components", Listing).cursor]

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("status",)

    def action_attach(self) -> None:
        """Show the newest run that has not ended."""
        run = next((run for run in self.runs or () if run.outcome != "unreadable"), None)
        if run:
            self.console.show_run(run.path)

    def action_open(self) -> None:
        """The backups of the component under the cursor."""
        self.console.show_catalog(self.component())

    def action_catalog(self) -> None:
        """All backups."""
        self.console.show_catalog("")

    def action_plan(self) -> None:
        """Choose a recovery set that begins with this component."""
        self.console.choose(() if self.component() == "logs" else (self.component(),))
        if self.component() == "logs":
            self.say("logs are not restored over live ones; their backups are looked at with enter", "warn")

    def action_full(self) -> None:
        """Choose a recovery set of all three."""
        self.console.choose(("config", "certs", "queue"))

    def action_runs(self) -> None:
        """Past and present runs."""
        self.console.show_runs()

    def action_drill(self) -> None:
        """The newest of everything, into a sandbox."""
        self.console.show_drill((), ("config", "certs", "queue"))

    def action_history(self) -> None:
        """Recovery times."""
        self.console.show_history()

    def action_again(self) -> None:
        """Read everything again."""
        self.console.gather()
        self.read_live()
        self.look()
        self.draw()
