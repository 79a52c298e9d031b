"""The guide's table of recovery time objectives, its column "Actual (Test)" filled from real runs and drills."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from pacs_recover.errors import SourceError
from pacs_recover.journal import read
from pacs_recover.report import Report, reading
from pacs_recover.runs import planned
from pacs_recover.site import Site
from pacs_recover.state import JOURNAL, State

ROWS = (
    ("Configuration", "config", ("config",)),
    ("Certificates", "certs", ("certs",)),
    ("Queue", "queue", ("queue",)),
    ("Full System", "full", ("config", "certs", "queue")),
)
"""Recovery types of the guide's table (and the certificates, which it leaves out), objective, and what is restored."""


class Actual(Struct, frozen=True, kw_only=True):
    """One line of the table."""

    type: str
    objective: str
    components: tuple[str, ...]
    rto_seconds: float
    actual_seconds: float | None
    """Of the newest run that recovered it, from its start to answering; None where there was none."""
    met: bool | None
    mode: str | None
    run: str | None
    at: datetime | None
    worst_seconds: float | None
    recovered: int
    """Runs and drills that recovered it."""
    failed: int
    """Those that did not."""
    last_failed: bool
    """Whether the newest of all failed."""


def table(site: Site, state: State) -> list[Actual]:
    """The table from every run of this site in the state directory."""
    told = [report for run in state.runs() if (report := _report(run, site)) is not None]
    return [_row(site, kind, name, parts, told) for kind, name, parts in ROWS]


def _report(run: Any, site: Site) -> Report | None:
    """The report of a run of this site; None where it is another's or cannot be read."""
    try:
        events, _ = read(run / JOURNAL)
        first = planned(events)
        return reading.report_of(run) if first and first.request.site.get("name") == site.name else None
    except SourceError:
        return None


def _row(site: Site, kind: str, name: str, parts: Sequence[str], told: Iterable[Report]) -> Actual:
    """Newest first; a run that is not decided (it goes on, or started no service) says nothing of a time."""
    same = [report for report in told if set(report.components) == set(parts)]
    good = [r for r in same if r.outcome == "restored" and r.recovery_seconds is not None]
    bad = [r for r in same if r.outcome in ("rolled_back", "rollback_incomplete", "failed_untouched")]
    newest = good[0] if good else None
    took = newest.recovery_seconds if newest else None
    rto = float(site.objectives[name].rto)
    return Actual(
        type=kind,
        objective=name,
        components=tuple(parts),
        rto_seconds=rto,
        actual_seconds=took,
        met=None if took is None else took <= rto,
        mode=newest.mode if newest else None,
        run=newest.run if newest else None,
        at=newest.started_at if newest else None,
        worst_seconds=max((r.recovery_seconds or 0.0 for r in good), default=None),
        recovered=len(good),
        failed=len(bad),
        last_failed=bool(bad) and (newest is None or bad[0].run > newest.run),
    )


def to_json(site: Site, rows: Sequence[Actual]) -> dict[str, Any]:
    """The JSON contract of ``rto``."""
    return {"site": site.name, "rows": msgspec.json.decode(msgspec.json.encode(rows))}


class Time(Struct, frozen=True, kw_only=True):
    """One run or drill that tried to recover something."""

    run: str
    mode: str
    components: tuple[str, ...]
    outcome: str
    at: datetime | None
    recovery_seconds: float | None
    """From its start to answering; None where nothing was recovered, or no service was started to answer."""
    rto_seconds: float | None
    met: bool | None


def history(site: Site, state: State) -> list[Time]:
    """Every run of this site that was decided, oldest first."""
    told = [report for run in state.runs() if (report := _report(run, site)) is not None]
    return [_time(report) for report in reversed(told) if report.outcome not in ("running", "unfinished")]


def _time(told: Report) -> Time:
    took = told.recovery_seconds if told.outcome == "restored" else None
    return Time(
        run=told.run,
        mode=told.mode,
        components=told.components,
        outcome=told.outcome,
        at=told.started_at,
        recovery_seconds=took,
        rto_seconds=told.rto_seconds,
        met=told.rto_met,
    )


def history_json(site: Site, times: Sequence[Time]) -> dict[str, Any]:
    """The JSON contract of ``history``."""
    return {"site": site.name, "times": msgspec.json.decode(msgspec.json.encode(times))}
