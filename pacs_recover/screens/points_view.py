"""What the points in time say: a row per point and per gap, and what a point gains or loses against what lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pacs_recover.components import Comparison
from pacs_recover.model import Backup
from pacs_recover.points import Gap, Points
from pacs_recover.screens.ages import short_age
from pacs_recover.text import count, safe
from pacs_recover.widgets.line import Line, cells, stated

Row = Backup | Gap
LABELS = (
    ("resent", "message", "would be SENT AGAIN: in it and no longer waiting", "warn"),
    ("dead_lettered", "message", "past the time to live would become DEAD LETTERS", "warn"),
    ("lost_since", "message", "arrived since and would be LOST from the queue", "bad"),
)
"""The numbers of a comparison, as a person reads them, and how bad each is where it is not 0."""


def rows(found: Points) -> list[Row]:
    """The points, newest first, each gap below the point after it."""
    gaps = found.gaps_below()
    return [row for one in found.backups for row in (one, gaps.get(one.id)) if row is not None]


def head() -> str:
    """The heads of the columns."""
    return "   " + cells(*_columns("TAKEN (UTC)", "LOCAL", "AGE", "AGAIN", "LOST"))


def line(row: Row, now: datetime, known: Mapping[str, Comparison]) -> Line:
    """One row."""
    if isinstance(row, Gap):
        return Line(f"nothing for {short_age(row.seconds)}: {row.reason}", "warn", "! ")
    again, lost = numbers(known.get(row.id))
    age = short_age((now - row.taken_at).total_seconds())
    text = cells(*_columns(clock(row.taken_at), f"{row.taken_at.astimezone():%H:%M:%S}", age, again, lost))
    return Line(text, "warn" if row.findings else "", "! " if row.findings else "  ")


def _columns(taken: str, local: str, age: str, again: str, lost: str) -> tuple[tuple[str, int], ...]:
    return (taken, 23), (local, 8), (age, 5), (again.rjust(7), 7), (lost.rjust(7), 7)


def clock(at: datetime) -> str:
    """A time in UTC to the millisecond."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


def numbers(compared: Comparison | None) -> tuple[str, str]:
    """How many messages come again, one way or the other, and how many are lost; nothing where that is not known."""
    replay: Mapping[str, Any] = (compared.replay if compared else None) or {}
    if replay.get("resent") is None:
        return ("?", "?") if compared else ("", "")
    return f"{replay['resent'] + replay['dead_lettered']:,}", f"{replay['lost_since']:,}"


def nearest(of: Sequence[Row], at: datetime) -> int | None:
    """The row of the newest point at or before a time; None where there is none."""
    found = (n for n, row in enumerate(of) if isinstance(row, Backup) and row.taken_at <= at)
    return next(found, None)


def summary(found: Points, waiting: bool) -> list[Line]:
    """How much there is, and what cannot be had."""
    names = ", ".join(safe(state.name) for state in found.sources)
    reading = "; reading…" if waiting else ""
    many = count(len(found.backups), "point")
    lines = [Line(f"{many} in time of {names or 'no replica'}, {count(len(found.gaps), 'gap')}{reading}")]
    for state in found.sources:
        lines += [Line(f"{safe(state.name)}: {one.reason}", "bad", "✗ ") for one in state.problems]
        if state.error and not state.problems:
            lines.append(Line(f"{safe(state.name)} CANNOT BE READ: {state.error}", "bad", "✗ "))
    return lines


def below(row: Row | None, compared: Comparison | None, progress: str, problem: str) -> list[Line]:
    """What is known of the row under the cursor."""
    if row is None:
        return []
    if isinstance(row, Gap):
        return _gap(row)
    lines = [Line(f"{safe(row.id)}  (local {row.taken_at.astimezone():%Y-%m-%d %H:%M:%S %Z})", "title")]
    lines += [stated(fact.state, f"{fact.label}: {fact.value}", "") for fact in row.findings]
    if problem:
        return [*lines, Line(problem, "bad", "✗ ")]
    if compared is None:
        return [*lines, Line(progress or "move on, or rest here to compare it with what lives", "", "… ")]
    return [*lines, *against(compared)]


def _gap(gap: Gap) -> list[Line]:
    return [
        Line(f"Nothing between {clock(gap.after.taken_at)} and {clock(gap.before.taken_at)} UTC", "title"),
        Line(f"{gap.reason}. No state of this time can be restored from {safe(gap.before.source)}.", "warn", "! "),
    ]


def against(compared: Comparison) -> list[Line]:
    """What restoring it would do to messages, against the live queue."""
    replay = compared.replay or {}
    if replay.get("resent") is None:
        return [Line(change, "warn", "! ") for change in compared.changes]
    if not any(replay[key] for key, *_ in LABELS):
        return [Line("the live queue holds the same messages: nothing sent again, nothing lost", "ok", "✓ ")]
    return [
        stated(state if replay[key] else "ok", f"{count(replay[key], noun)} {what}", "")
        for key, noun, what, state in LABELS
    ]
