"""One backup in full."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from pacs_recover.components import Comparison
from pacs_recover.errors import RecoverError
from pacs_recover.model import Backup
from pacs_recover.screens import preview_view as view
from pacs_recover.screens.page import Page
from pacs_recover.screens.previewing import Previewing
from pacs_recover.screens.thaw import ThawPage, may_thaw
from pacs_recover.widgets.reading import Reading


class PreviewPage(Page):
    """Facts in full, then the difference against what lives."""

    heading = "Preview"
    about = (
        "The backup was read to its end in private scratch and judged: ✓ fine, ! look at it, ✗ must not be restored. "
        "Below, what restoring it would change; secrets and messages are never shown. Nothing live is touched."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "plan", "plan", id="preview.plan", tooltip="Plan a restore of this backup"),
        Binding("space", "pick", "set", id="preview.pick", tooltip="Put this backup into the recovery set, or out"),
        Binding("t", "thaw", "thaw", id="preview.thaw", tooltip="Have this archived backup made readable"),
    ]

    def __init__(self, backup: Backup) -> None:
        super().__init__()
        self.backup = backup
        self.compared: Comparison | None = None
        self.why_not = ""
        self.previewing = Previewing(self, self.draw)

    def body(self) -> ComposeResult:
        """One page."""
        yield Reading(id="facts")

    def begin(self) -> None:
        """Read it, then compare it."""
        self.previewing.look_at(self.backup)
        self.previewing.read()
        self.draw()

    def draw(self) -> None:
        """As far as it has come."""
        now = self.previewing
        if now.seen and now.seen.state == "bad":
            self.why_not = "it is not compared with what lives, because it is bad"
        self.query_one("#facts", Reading).show(
            view.lines(self.backup, now.seen, now.progress, now.problem, self.compared, self.why_not)
        )
        if now.seen and self.compared is None and not self.why_not and not self._tasks_for("compare"):
            self.slow("compare", lambda _: self.session.compare(self.backup), self._done, self._failed)

    def _tasks_for(self, name: str) -> bool:
        return any(task.name == name for task in self._tasks)

    def _done(self, compared: Comparison) -> None:
        self.compared = compared
        self.draw()

    def _failed(self, error: RecoverError) -> None:
        self.why_not = f"it could not be compared: {error.message}"
        self.draw()

    def words(self) -> tuple[str, ...]:
        """The same as a command."""
        return ("preview", self.backup.id)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is archived can be thawed, and never in a read-only console."""
        if action == "thaw":
            return may_thaw(self.backup, self.session.read_only)
        return super().check_action(action, parameters)

    def action_thaw(self) -> None:
        """What a thaw would take."""
        self.console.push_screen(ThawPage(self.backup))

    def action_plan(self) -> None:
        """Choose with this backup."""
        if self.backup.component == "logs":
            self.say("logs are not restored over live ones; get them out with: pacs-recover extract", "warn")
        else:
            self.console.choose((), {**self.console.picked, self.backup.component: self.backup})

    def action_pick(self) -> None:
        """Into the recovery set, or out of it."""
        if self.backup.component != "logs":
            self.console.pick(self.backup)
            ids = [backup.id for backup in self.console.picked.values()]
            self.say(f"recovery set: {', '.join(ids)}" if ids else "the recovery set is empty")
