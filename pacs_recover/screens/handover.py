"""A run in a few lines of plain text, to paste for whoever takes over."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from pacs_recover.errors import RecoverError
from pacs_recover.screens.page import Page
from pacs_recover.widgets.line import Line
from pacs_recover.widgets.reading import Reading


class HandoverPage(Page):
    """The summary alone, so that it can be marked with the terminal's own means."""

    heading = "Hand-over"
    about = (
        "How the run stands, for whoever takes over: what was done, what is next, when it ends, who answers, how to go "
        "on. It was copied where the terminal allows that; elsewhere mark the text, or take it from the command that y "
        "shows. Neither patients' data nor secrets nor what people noted are in it. h brings it up to date."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "again", "now", id="handover.again", tooltip="The same as of now, copied again")
    ]

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run = run

    def body(self) -> ComposeResult:
        """The text."""
        yield Reading([Line("reading the journal…", "", "… ")], id="handover")

    def begin(self) -> None:
        """As of now."""
        self.action_again()

    def _told(self, lines: list[str]) -> None:
        self.query_one("#handover", Reading).show([Line(text) for text in lines])
        self.console.copy_to_clipboard("\n".join(lines) + "\n")
        self.say("copied, where the terminal allows that; the same on a command line: y")

    def _failed(self, error: RecoverError) -> None:
        self.query_one("#handover", Reading).show([Line(error.message, "bad", "✗ "), Line(error.hint, "", "  ")])

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("handover", self.run.name)

    def action_again(self) -> None:
        """Read the journal."""
        self.slow("handover", lambda _: self.session.handover(self.run), self._told, self._failed)
