"""Comparing the point that is looked at with what lives, one at a time; what was compared once is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pacs_recover.components import Comparison
from pacs_recover.errors import Interrupted, RecoverError
from pacs_recover.model import Backup
from pacs_recover.screens.background import Task

if TYPE_CHECKING:
    from pacs_recover.screens.page import Page


class Weighing:
    """What restoring one point would do; points are many, and restoring one to compare it takes a while."""

    def __init__(self, page: Page, changed: Callable[[], None]) -> None:
        self.page, self.changed = page, changed
        self.of: Backup | None = None
        self.known: dict[str, Comparison] = {}
        self.problems: dict[str, str] = {}
        self._task: Task | None = None
        self._wanted = False

    def look_at(self, backup: Backup | None) -> None:
        """Another point: the one before is not wanted any more."""
        if backup != self.of:
            self.of, self._wanted = backup, False

    @property
    def compared(self) -> Comparison | None:
        """What is known of the one that is looked at."""
        return self.known.get(self.of.id) if self.of else None

    @property
    def problem(self) -> str:
        """Why it could not be compared."""
        return self.problems.get(self.of.id, "") if self.of else ""

    @property
    def progress(self) -> str:
        """Whether it is being compared."""
        return "restoring it in private scratch and comparing it with what lives…" if self._wanted else ""

    def read(self) -> None:
        """Compare it, unless that was done; one that is still at work ends first."""
        if self.of is None or self.compared or self.problem:
            return
        self._wanted = True
        if self._task is None:
            self._start(self.of)
        self.changed()

    def _start(self, backup: Backup) -> None:
        session = self.page.session

        def work(task: Task) -> Comparison:
            return session.compare(backup, lambda: task.stopped or self.of != backup)

        def done(compared: Comparison) -> None:
            self.known[backup.id] = compared
            self._next()

        def failed(error: RecoverError) -> None:
            if not isinstance(error, Interrupted):
                self.problems[backup.id] = error.message + (f" - next: {error.hint}" if error.hint else "")
            self._next()

        self._task = self.page.slow(f"compare {backup.id}", work, done, failed)

    def _next(self) -> None:
        self._task = None
        if self._wanted:
            self._wanted = False
            self.read()
        self.changed()
