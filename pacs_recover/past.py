"""What a console is told of a site's past: its runs, their reports and times, who did what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacs_recover import anchoring, pace, recovery_times
from pacs_recover.audit import Record, checking
from pacs_recover.audit.checking import Verified
from pacs_recover.errors import RecoverError
from pacs_recover.recovery_times import Time
from pacs_recover.report import Report, reading
from pacs_recover.site import Site
from pacs_recover.state import State


@dataclass
class Past:
    """The records of one site in one state directory."""

    site: Site
    state: State

    def runs(self) -> list[dict[str, Any]]:
        """Past and present runs, newest first, each with its directory under ``path``."""
        return [{**_summary(run), "path": run} for run in self.state.runs()]

    def records(self) -> list[Record]:
        """What the audit says, oldest first. SourceError."""
        return list(checking.records(self.state.audit.home))

    def verify_audit(self) -> Verified:
        """Whether the audit is whole, and how far that is proven. SourceError."""
        return anchoring.verify(self.site, self.state)

    def report(self, run: Path) -> Report:
        """A run's report as far as it has come. SourceError."""
        return reading.report_of(run)

    def pace(self) -> dict[str, float]:
        """How many seconds each step took here when it last went well, by its title."""
        return pace.of(self.state, self.site.name)

    def history(self) -> list[Time]:
        """Every decided run and drill of this site with its time, oldest first."""
        return recovery_times.history(self.site, self.state)


def _summary(run: Path) -> dict[str, Any]:
    try:
        return reading.run_summary(run)
    except RecoverError as error:
        return {"run": run.name, "outcome": "unreadable", "components": [], "started_at": None, "error": error.message}
