"""Taking a run up again: rolling it back, going on with it, or closing it; each is shown first, then armed."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from pacs_recover.errors import RecoverError
from pacs_recover.front import Following
from pacs_recover.screens.arming import Arming
from pacs_recover.screens.page import Page
from pacs_recover.widgets.line import Line
from pacs_recover.widgets.reading import Reading

HEADINGS = {
    "rollback": "Roll back",
    "resume": "Go on with a run",
    "close": "Close a run",
    "take over": "Take over the questions",
}
EXPLAINED = {
    "resume": (
        "Goes on where the run was cut: what the cut step changed is undone first, the staged files' hashes are "
        "checked again, then the steps that are left are done. Only for a run that never failed.",
    ),
    "close": (
        "Ends the run without touching the site: for a site that a person put right by hand. What it set aside stays "
        "in the catalog (source aside). You write down what was done; that goes into the run's record.",
    ),
    "take over": (
        "The run goes on as it is. Its questions belong to the operator who started it; from now on only you answer "
        "them, and the run's journal and the audit say so. Talk to them first, if you can.",
    ),
}
ASKS = {
    "rollback": "ROLLBACK.",
    "resume": "GO ON with the LIVE RESTORE.",
    "close": "What did you do? Write it down:",
    "take over": "TAKE OVER the questions.",
}


class UndoPage(Page):
    """What taking the run up would do."""

    about = "Shown first, then armed by typing the site's name; closing asks what a person did, for the record."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "arm", "arm it", id="undo.arm", tooltip="Type what is asked for, and it begins")
    ]

    def __init__(self, run: Path, purpose: str) -> None:
        super().__init__()
        self.run, self.purpose = run, purpose
        self.heading = HEADINGS[purpose]
        self._ready = False

    def body(self) -> ComposeResult:
        """What it would do, and the line to arm it with."""
        yield Reading(id="undo")
        yield Arming()

    def begin(self) -> None:
        """Look at what it would do."""
        if self.purpose == "rollback":
            self.query_one("#undo", Reading).show([Line("looking at what it would bring back…", "", "… ")])
            self.slow("rollback", lambda _: self.session.undo_plan(self.run), self._told, self._failed)
        else:
            self._told([f"{HEADINGS[self.purpose]}: {self.run.name}", *(f"  {t}" for t in EXPLAINED[self.purpose])])

    def _told(self, lines: list[str]) -> None:
        self._ready = True
        head, *rest = lines
        shown = [Line(head, "title"), *(Line(text.strip(), "", "  ") for text in rest), Line("")]
        self.query_one("#undo", Reading).show([*shown, self._how()])
        self.refresh_bindings()

    def _how(self) -> Line:
        if self.session.read_only:
            return Line("READ-ONLY: this console cannot arm it", "warn", "! ")
        return Line("nothing happens before it is armed: press a", "ok", "✓ ")

    def _failed(self, error: RecoverError) -> None:
        next_step = [Line(f"next: {error.hint}", "", "  ")] if error.hint else []
        self.query_one("#undo", Reading).show([Line(error.message, "bad", "✗ "), *next_step])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Armed only where it was shown, and never in a read-only console."""
        if action == "arm":
            return self._ready and not self.session.read_only
        return super().check_action(action, parameters)

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        if self.purpose == "take over":
            return ("attach", self.run.name, "--take-over")
        return (self.purpose, self.run.name, *(("--why", "WHAT YOU DID") if self.purpose == "close" else ()))

    def action_arm(self) -> None:
        """Ask for the name, or for what was done."""
        arming = self.query_one(Arming)
        if self.purpose == "close":
            arming.ask_for(ASKS["close"])
        else:
            arming.ask(ASKS[self.purpose], self.session.site.name)

    def action_leave_typing(self) -> None:
        """Not armed."""
        self.query_one(Arming).shut()
        self.set_focus(self.query_one("#undo", Reading))
        self.say("not armed: nothing was changed")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Begin."""
        typed = event.value
        self.query_one(Arming).shut()
        self.set_focus(self.query_one("#undo", Reading))
        if self.purpose == "close":
            self.slow("close", lambda _: self.session.close(self.run, typed), self._is_closed)
        elif self.purpose == "take over":
            self.slow("take over", lambda _: self.session.take_over(self.run, typed), self._started)
        else:
            self.slow("arm", lambda _: self.session.take_up(self.run, self.purpose, typed), self._started)

    def _started(self, following: Following) -> None:
        self.console.show_started(following)

    def _is_closed(self, _: object) -> None:
        self.console.show_overview()
        self.console.page.say(f"run {self.run.name} is closed")
