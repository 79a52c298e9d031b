"""Reading the backup that is looked at, one at a time; what was read once is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pacs_recover.errors import RecoverError
from pacs_recover.model import Amount, Backup, Preview
from pacs_recover.screens.background import Task
from pacs_recover.text import size

if TYPE_CHECKING:
    from pacs_recover.screens.page import Page

EVERY = 1.0
"""Seconds between two words on how far it is."""


class Previewing:
    """What is known of one backup, growing."""

    def __init__(self, page: Page, changed: Callable[[], None]) -> None:
        self.page, self.changed = page, changed
        self.of: Backup | None = None
        self.seen: Preview | None = None
        self.progress = ""
        self.problem = ""
        self.fresh = True
        """Whether another backup has just come into view."""
        self._task: Task | None = None

    def look_at(self, backup: Backup | None) -> None:
        """Another backup: what was being read is dropped, what is known already is shown."""
        if self._task:
            self._task.stop()
            self._task = None
        self.of, self.progress, self.problem = backup, "", ""
        self.seen = self.page.console.previews.get(backup) if backup else None
        self._tell(fresh=True)

    def read(self) -> None:
        """Read it to its end, unless that was done."""
        if self.of is None or self.seen is not None or self._task:
            return
        backup, session, began = self.of, self.page.session, time.monotonic()
        deliver = self.page.console.background.deliver

        def work(task: Task) -> Preview:
            told = [began]

            def amount(read: Amount) -> None:
                now = time.monotonic()
                if now - told[0] >= EVERY:
                    told[0] = now
                    deliver(lambda: None if task.stopped else self._amount(read, now - began))

            return session.preview(backup, task.stopping, amount)

        self._task = self.page.slow(f"preview {backup.id}", work, self._done, self._failed)

    def _amount(self, read: Amount, took: float) -> None:
        if read.unit == "bytes" and took > 0:
            of = f" of {size(read.total)}" if read.total else ""
            left = f", {(read.total - read.done) * took / read.done:.0f} s left" if read.total and read.done else ""
            self.progress = f"reading: {size(read.done)}{of}, {size(read.done / took)}/s{left}"
            self._tell()

    def _done(self, seen: Preview) -> None:
        self.seen = seen
        if self.of:
            self.page.console.previews[self.of] = seen
        self._tell()

    def _failed(self, error: RecoverError) -> None:
        self.problem = error.message + (f" - next: {error.hint}" if error.hint else "")
        self._tell()

    def _tell(self, *, fresh: bool = False) -> None:
        self.fresh = fresh
        self.changed()
