"""A drill: the restore of a recovery set into a sandbox, shown first, then started by whoever takes part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from pacs_recover import drilling
from pacs_recover.drilling import Made
from pacs_recover.errors import RecoverError
from pacs_recover.front import Following
from pacs_recover.model import Backup
from pacs_recover.report.drill_page import SANDBOXES
from pacs_recover.screens.arming import Arming
from pacs_recover.screens.background import Task
from pacs_recover.screens.page import Page
from pacs_recover.text import both_times, safe, seconds
from pacs_recover.widgets.line import Line, title
from pacs_recover.widgets.reading import Reading

ASKS = "DRILL into a sandbox; production is not touched. Who takes part? Names, commas between them; enter STARTS it."
READ_ONLY = "READ-ONLY: this console cannot start a drill"


def lines(made: Made) -> list[Line]:
    """What will be done, and what stands against it."""
    request = made.request
    assert request.drill is not None
    told = [
        Line(f"Drill of {', '.join(request.components)} for {safe(request.site['name'])}: not started yet", "title"),
        Line(f"RTO {seconds(request.rto_seconds)}; the time is taken as of a live restore", "", "  "),
        Line(""),
        title("Sandbox"),
        Line(SANDBOXES[request.drill.sandbox], "", "  "),
    ]
    if request.drill.why:
        told.append(Line(f"the service will not be started: {request.drill.why}", "warn", "  ! "))
    told += [Line(text, "", "  ") for text in made.swept]
    told += [Line(""), title("Recovery set")]
    told += [Line(f"{safe(c.backup.id)}  {both_times(c.backup.taken_at)}", "", "  • ") for c in request.choices]
    return [*told, *_verdict(made)]


def _verdict(made: Made) -> list[Line]:
    if made.problem is None:
        good = Line("every backup was read to its end and is good: a asks who takes part and starts it", "good", "✓ ")
        return [Line(""), good]
    return [
        Line(made.problem.message, "bad", "  ✗ "),
        Line(""),
        Line("a records that: it is what the drill found, and the drill has failed with it", "warn", "! "),
    ]


class DrillPage(Page):
    """What a drill of these backups would do."""

    heading = "Drill"
    about = (
        "The steps of a live restore, into a sandbox without a network that cannot touch production, then test "
        "messages and a report with the times. The backups are read and judged first; a asks who takes part and starts "
        "it. When it is over, n on its screen takes what was observed (o) and what is to be improved (m)."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "start", "start: DRILL", id="drill.start", tooltip="Say who takes part, and the drill starts")
    ]

    def __init__(self, backups: Sequence[Backup], names: Sequence[str]) -> None:
        super().__init__()
        self.backups, self.names = tuple(backups), tuple(names)
        self.made: Made | None = None
        self._busy = False

    def body(self) -> ComposeResult:
        """The drill, and the line to start it with."""
        yield Reading(id="drill")
        yield Arming()

    def begin(self) -> None:
        """Read and judge, in the background; a read-only console may not even sweep up after earlier drills."""
        if self.session.read_only:
            self.query_one("#drill", Reading).show([Line(READ_ONLY, "warn", "! ")])
            return
        found = self.console.gathered.catalog

        def make(_: Task) -> Made:
            return self.session.drill(self.backups, self.names, found)

        what = f"reading and judging the backups of {', '.join(self.names)}; production is not touched"
        self.query_one("#drill", Reading).show([Line(what, "", "… ")])
        self.slow("drill", make, self._told, self._failed)

    def _told(self, made: Made) -> None:
        self.made = made
        self.query_one("#drill", Reading).show(lines(made))
        self.refresh_bindings()

    def _failed(self, error: RecoverError) -> None:
        next_step = [Line(f"next: {error.hint}", "", "  ")] if error.hint else []
        self.query_one("#drill", Reading).show([Line(error.message, "bad", "✗ "), *next_step])

    def mode(self) -> str:
        """A drill, unless nothing may be done at all."""
        return super().mode() if self.console.read_only else "DRILL"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Once it was shown, and never in a read-only console."""
        if action == "start":
            return self.made is not None and not self._busy and not self.session.read_only
        return super().check_action(action, parameters)

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("drill", *(word for backup in self.backups for word in ("--backup", backup.id)))

    def action_start(self) -> None:
        """Ask who takes part."""
        self.query_one(Arming).ask_for(ASKS)

    def action_leave_typing(self) -> None:
        """Not started."""
        self.query_one(Arming).shut()
        self.set_focus(self.query_one("#drill", Reading))
        self.say("not started")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Start it."""
        made, who = self.made, drilling.names(event.value)
        self.query_one(Arming).shut()
        self.set_focus(self.query_one("#drill", Reading))
        if made is None or self._busy:
            return
        self._busy = True
        self.refresh_bindings()
        self.slow("start drill", lambda _: self.session.start_drill(made, who), self._started, self._refused)

    def _refused(self, error: RecoverError) -> None:
        self._busy = False
        self.refresh_bindings()
        self.complain(error)

    def _started(self, following: Following) -> None:
        self.console.show_started(following)
