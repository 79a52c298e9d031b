"""What operators noted of a run, and a line to add to it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from pacs_recover.events import Topic
from pacs_recover.report import Report
from pacs_recover.screens.page import Page
from pacs_recover.text import both_times
from pacs_recover.widgets.edges import Typed
from pacs_recover.widgets.line import Line, title
from pacs_recover.widgets.reading import Reading

WARNING = "It goes into the report: no patients' data, no secrets."


def lines(report: Report) -> list[Line]:
    """Every note with its time and who wrote it, oldest first; of a drill what was observed and is to be improved."""
    told = [title(f"Notes of run {report.run}"), Line("")]
    for note in report.notes:
        told += [Line(f"{both_times(note.at)}, {note.title}", "key"), Line(note.evidence, "", "  ")]
    told += [] if report.notes else [Line("none yet", "", "  ")]
    if drill := report.drill:
        for head, texts in (("Observed", drill.observations), ("To be improved", drill.actions)):
            told += [Line(""), title(head), *(Line(text, "", "  • ") for text in texts or ("none recorded",))]
    return told


class NoteLine(Typed):
    """The line that a note is typed into."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "note it", id="notes.submit", tooltip="Add what is typed to the run's record")
    ]


class NotesPage(Page):
    """The notes of one run."""

    heading = "Notes"
    about = (
        "What operators wrote down of this run, each with its time, while it goes on and afterwards. Notes are kept in "
        "the run's journal and are in its report. No patients' data and no secrets: reports are handed on."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "write('note')", "write one", id="notes.write", tooltip="Write a note with its time"),
        Binding("o", "write('observation')", "observed", id="notes.observe", tooltip="What was observed in this drill"),
        Binding("m", "write('action')", "improve", id="notes.improve", tooltip="What is to be improved, by whom"),
    ]

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run = run
        self.topic: Topic = "note"
        self.report: Report | None = None

    def body(self) -> ComposeResult:
        """The notes, and the line."""
        yield Reading([Line("reading the journal…", "", "… ")], id="notes")
        yield NoteLine("a note; enter adds it, esc leaves it", id="note")

    def begin(self) -> None:
        """Read the notes; whoever comes here wants to write one."""
        self.query_one("#note", Typed).display = False
        self.read()
        if not self.session.read_only:
            self.action_write("note")

    def read(self) -> None:
        """Show what the journal has."""
        self.slow("notes", lambda _: self.session.report(self.run), self._told)

    def _told(self, report: Report) -> None:
        self.report = report
        self.query_one("#notes", Reading).show(lines(report))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A read-only console writes nothing; only of a drill that is over is told what was observed."""
        if action == "write":
            drilled = self.report is not None and self.report.drill is not None and self.report.outcome != "running"
            return not self.session.read_only and (parameters == ("note",) or drilled)
        return super().check_action(action, parameters)

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("note", self.run.name, "WHAT YOU NOTE")

    def action_write(self, topic: Topic) -> None:
        """To the line."""
        self.topic = topic
        box = self.query_one("#note", Typed)
        box.value, box.display = "", True
        self.set_focus(box)
        self.say(WARNING)

    def action_leave_typing(self) -> None:
        """Back to the notes."""
        self.query_one("#note", Typed).display = False
        self.set_focus(self.query_one("#notes", Reading))
        self.say("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Add it."""
        text, topic = event.value, self.topic
        self.action_leave_typing()
        self.slow("note", lambda _: self.session.note(self.run, text, topic), self._added)

    def _added(self, taken_up: bool) -> None:
        self.say("noted" if taken_up else "left for the run's worker, which takes it up when its step says something")
        self.read()
