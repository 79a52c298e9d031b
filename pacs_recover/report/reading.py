"""A run's report, read from the journal that lies in its directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pacs_recover.journal import is_written, read
from pacs_recover.report import contract, folding
from pacs_recover.report.contract import Report
from pacs_recover.state import JOURNAL


def run_summary(run: Path) -> dict[str, Any]:
    """One row of ``runs``."""
    return contract.summary(report_of(run), run.name)


def report_of(run: Path) -> Report:
    """A run's report as far as it has come. SourceError."""
    alive = is_written(run / JOURNAL)
    events, damage = read(run / JOURNAL)
    return folding.fold(events, damage, alive=alive, run=run.name)
