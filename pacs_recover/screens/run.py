"""A run, live: checklist, clock, evidence, questions, rollback; it goes on whether anybody watches or not."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer

from pacs_recover import report as reports
from pacs_recover.errors import RecoverError
from pacs_recover.events import AnyEvent, Progress
from pacs_recover.front import Following
from pacs_recover.report import Report
from pacs_recover.screens import run_view as view
from pacs_recover.screens.page import Page
from pacs_recover.widgets.line import Line, fit
from pacs_recover.widgets.listing import Listing
from pacs_recover.widgets.reading import Reading
from pacs_recover.widgets.ticking import Ticking

LOOK_EVERY = 0.25
"""Seconds between two looks at the journal; the clock ticks once a second."""


class RunPage(Page):
    """Follows one run."""

    heading = "Run"
    AUTO_FOCUS = "Listing"
    about = (
        "The checklist with its state and seconds, the clock against the RTO, below it what was seen of the step under "
        "the cursor. The cursor follows the run until you move it (. follows again). esc leaves this screen and q the "
        "console: the run goes on. A question waits inline: A accepts, D declines. A failure is undone by itself, and "
        "each change that is taken back is listed."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "report", "report", id="run.report", tooltip="The report as far as it has come"),
        Binding("A", "answer(True)", "ACCEPT", id="run.accept", tooltip="Accept what is asked: the run goes on"),
        Binding("D", "answer(False)", "DECLINE", id="run.decline", tooltip="Decline what is asked: nothing is changed"),
        Binding("T", "take_over", "take over", id="run.take_over", tooltip="Answer in place of who started the run"),
        Binding("u", "take_up('resume')", "go on", id="run.resume", tooltip="Go on where the run was cut"),
        Binding("b", "take_up('rollback')", "roll back", id="run.rollback", tooltip="Undo what the run changed"),
        Binding("x", "close_run", "close", id="run.close", tooltip="End it: a person put the site right by hand"),
        Binding("n", "notes", "note", id="run.notes", tooltip="Write a note with its time into the run's record"),
        Binding("h", "handover", "hand over", id="run.handover", tooltip="The run in a few lines to paste"),
        Binding("full_stop", "follow", "follow", key_display=".", id="run.follow", tooltip="Follow the step that runs"),
    ]

    def __init__(self, run: Path, following: Following | None = None) -> None:
        super().__init__()
        self.run = run
        self.following = following or Following(run)
        self.events: list[AnyEvent] = []
        self.report: Report | None = None
        self.pace: dict[str, float] = {}
        self.follows = True
        self.rows: list[Line] = []
        self._timer: Timer | None = None
        self._beats = 0
        self._over = False

    def body(self) -> ComposeResult:
        """Head, clock, checklist, evidence, question."""
        yield Ticking(id="run-head")
        yield Ticking(id="clock")
        yield Listing("waiting for the worker…", id="checklist")
        yield Reading(id="evidence")
        yield Reading(id="question", passive=True)

    def begin(self) -> None:
        """Show what happened so far, then follow."""
        self.slow("pace", lambda _: self.session.pace(), self._paced, lambda _: None)
        self._timer = self.set_interval(LOOK_EVERY, self.look)
        self.look()

    def _paced(self, pace: dict[str, float]) -> None:
        self.pace = pace
        self.draw()

    def look(self) -> None:
        """What is new in the journal; the clock once a second; nothing at all once it is over."""
        self._beats += 1
        try:
            gone = self._is_gone()
            fresh = self.following.more()
        except (RecoverError, OSError) as error:
            return self._stop(f"the journal cannot be read: {error}")
        self.events += fresh
        if fresh and self.following.question is None:
            self.say("")
        if gone and not fresh:
            self._stop("")
        if gone or not all(isinstance(event, Progress) and event.unit == "seconds" for event in fresh):
            self.draw()
        elif self._beats % 4 == 1:
            self.tick()
        return None

    def _is_gone(self) -> bool:
        """Whether nothing more will come; a worker that takes a finished run up again has yet to say so."""
        process = self.following.process
        if process is not None and process.poll() is None:
            return False
        return self.following.ended is not None or (self._beats % 4 == 1 and self.following.over())

    def _stop(self, why: str) -> None:
        if self._timer:
            self._timer.stop()
        self._over = self.console.is_stale = True
        self.draw()
        if why:
            self.say(f"✗ {why}", "bad")
        elif not self.events:
            self.say(f"✗ the worker ended before it began: {self.following.last_words()}; nothing was changed", "bad")

    def fold(self) -> Report | None:
        """The report as of now."""
        if not self.events:
            return None
        return reports.fold(self.events, alive=not self._over, now=self.session.now(), run=self.run.name)

    def tick(self) -> None:
        """The clock, and nothing else."""
        self.report = self.fold()
        if self.report:
            told = view.clock(self.report, self.pace, self.events, self.size.width - 2)
            self.query_one("#clock", Ticking).tell(told)

    def draw(self) -> None:
        """Everything; of the rows only those that changed."""
        self.tick()
        if self.report is None:
            return
        head = view.head(self.report)
        text = fit(head.start + head.text, max(10, self.size.width - 2))
        self.query_one("#run-head", Ticking).tell(Line(text, head.look))
        listing, before = self.query_one("#checklist", Listing), self.rows
        self.rows = view.checklist(self.report)
        listing.show_lines(self.rows, before)
        if self.follows:
            listing.place(view.current(self.report))
        self.draw_evidence()
        self.draw_question()
        self.tell_mode()
        self.refresh_bindings()

    def draw_evidence(self) -> None:
        """Of the row under the cursor; after a bad end, what a person has to do and why, until the cursor is moved."""
        if self.report is None:
            return
        box, cursor = self.query_one("#evidence", Reading), self.query_one("#checklist", Listing).cursor
        lines = (
            view.ending(self.report, self.following.last_words())
            if self.report.outcome != "running" and self.follows
            else []
        )
        box.set_class(bool(lines), "tall")
        box.show(lines or view.evidence(self.report, cursor))

    def draw_question(self) -> None:
        """The open question, if there is one."""
        asked, box = self.following.question, self.query_one("#question", Reading)
        owner = "" if self.session.may_answer(self.following) else self.following.owner
        lines = view.question(asked, owner) if asked and not self._over else []
        if self.query_one("#evidence").display == bool(lines):
            self.query_one("#evidence").display = not lines
        box.show_whole(lines, 8, self.size.width - 3, frame=1)

    def on_listing_moved(self, _: Listing.Moved) -> None:
        """Whoever moves the cursor wants to read there."""
        self.follows = False
        self.refresh_bindings()
        self.draw_evidence()

    @property
    def _is_asked(self) -> bool:
        return self.following.question is not None and not self._over

    @property
    def _is_live(self) -> bool:
        return self.report is not None and self.report.mode == "live"

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody works on it though it has not ended."""
        return self._over and self._is_live and self.report.outcome in ("unfinished", "rollback_incomplete")  # type: ignore[union-attr]

    def run_in_sight(self) -> str:
        """This run, while it goes on."""
        return self.run.name if self.report and self.report.outcome == "running" else ""

    def mode(self) -> str:
        """What is happening, in words."""
        if self.report and self.report.mode == "drill":
            return "DRILL"
        if self.report and self.report.outcome == "running":
            return "ROLLING BACK" if self.report.going_back else "LIVE RESTORE"
        return super().mode()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Each key only where it does something."""
        writes = not self.session.read_only
        match action:
            case "answer":
                return writes and self._is_asked and self.session.may_answer(self.following)
            case "take_over":
                return writes and self._is_asked and not self.session.may_answer(self.following)
            case "take_up" if parameters == ("resume",):
                return writes and self.is_abandoned and bool(self.report) and not self.report.going_back  # type: ignore[union-attr]
            case "take_up":
                return writes and self._over and bool(self.report) and self._can_go_back()
            case "close_run":
                return writes and self.is_abandoned
            case "follow":
                return not self.follows
            case "report" | "notes" | "handover":
                return bool(self.events)
            case _:
                pass
        return super().check_action(action, parameters)

    def _can_go_back(self) -> bool:
        assert self.report is not None
        in_force = any(effect.state != "undone" for effect in self.report.effects)
        return self.is_abandoned or (self._is_live and in_force and self.report.outcome in ("restored", "closed"))

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("report" if self._over else "attach", self.run.name)

    def action_answer(self, yes: bool) -> None:
        """Answer the open question."""
        said = "accepted" if yes else "declined: the run ends with nothing changed"
        self.slow("answer", lambda _: self.session.answer(self.following, yes), lambda _: self.say(said))

    def action_take_over(self) -> None:
        """Take the questions over: explained first, then armed."""
        self.console.show_undo(self.run, "take over")

    def action_follow(self) -> None:
        """Back to the step that runs."""
        self.follows = True
        self.draw()

    def action_notes(self) -> None:
        """What was noted, and a line to add to it."""
        self.console.show_notes(self.run)

    def action_handover(self) -> None:
        """A few lines to paste."""
        self.console.show_handover(self.run)

    def action_report(self) -> None:
        """The report."""
        self.console.show_report(self.run)

    def action_take_up(self, purpose: str) -> None:
        """Resume or roll back: shown first, then armed."""
        self.console.show_undo(self.run, purpose)

    def action_close_run(self) -> None:
        """End it by hand."""
        self.console.show_undo(self.run, "close")
