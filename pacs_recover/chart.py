"""Recovery times against the RTO as a chart of plain characters: a bar a run, by what was recovered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pacs_recover.model import FactState
from pacs_recover.recovery_times import ROWS, Time
from pacs_recover.text import count, safe, seconds

NEWEST = 12
"""Bars of one chart; older runs are counted in its head."""
HOW = {"live": "LIVE ", "drill": "drill"}
ENDS = {
    "rolled_back": "ROLLED BACK",
    "rollback_incomplete": "ROLLBACK INCOMPLETE",
    "failed_untouched": "FAILED, nothing changed",
    "interrupted": "interrupted, nothing changed",
    "closed": "closed by hand",
    "restored": "files only: the service was not started",
}
"""What stands in place of a bar."""
MILD = ("restored", "interrupted", "closed")
"""Of these, what is no failure."""
LEGEND = "#### start to answering, times in UTC; | the RTO; LIVE live restore, drill rehearsal in a sandbox"
BEFORE, AFTER = 25, 15
"""Columns before the bar (time, live or drill) and behind it (the time, and whether that was in time)."""
Row = tuple[str, FactState]


def rows(times: Sequence[Time], width: int) -> Iterator[Row]:
    """The charts, one for each kind of recovery that was tried, in ``width`` columns."""
    kinds = {frozenset(parts): name for name, _, parts in ROWS}
    groups: dict[frozenset[str], list[Time]] = {parts: [] for parts in kinds}
    for one in times:
        groups.setdefault(frozenset(one.components), []).append(one)
    for parts, group in groups.items():
        if group:
            yield from _chart(kinds.get(parts) or ", ".join(sorted(parts)) or "unknown parts", group, width)


def _chart(name: str, group: Sequence[Time], width: int) -> Iterator[Row]:
    shown = group[-NEWEST:]
    rto = next((one.rto_seconds for one in reversed(shown) if one.rto_seconds), None)
    longest = max([one.recovery_seconds or 0.0 for one in shown] + [rto or 0.0]) or 1.0
    room = max(10, width - BEFORE - AFTER)
    older = f"; {count(len(group) - len(shown), 'older run')} not shown" if len(group) > len(shown) else ""
    yield f"{safe(name)}, RTO {seconds(rto)}: {count(len(group), 'run')}{_trend(shown)}{older}", "ok"
    yield from (_bar(one, longest, rto, room) for one in shown)
    yield "", "ok"


def _trend(shown: Sequence[Time]) -> str:
    """The newest time against the one before it."""
    known = [one.recovery_seconds for one in shown if one.recovery_seconds is not None]
    if len(known) < 2:
        return ""
    change = known[-1] - known[-2]
    return f", the last {seconds(abs(change))} {'slower' if change > 0 else 'faster'} than the one before"


def _bar(one: Time, longest: float, rto: float | None, room: int) -> Row:
    """``#`` up to the time it took, ``|`` where the RTO is."""
    when = f"{one.at:%Y-%m-%d %H:%M}" if one.at else "unknown".ljust(16)
    before = f"  {when} {HOW.get(one.mode, '')} "
    if one.recovery_seconds is None:
        return f"{before}{ENDS.get(one.outcome, one.outcome)}", "warn" if one.outcome in MILD else "bad"
    took = max(1, round(one.recovery_seconds / longest * (room - 1)))
    cells = ["#"] * took + [" "] * (room - took)
    if rto:
        cells[min(room - 1, round(rto / longest * (room - 1)))] = "|"
    met = "" if one.met is None else "met" if one.met else "MISSED"
    return (
        f"{before}{''.join(cells)} {seconds(one.recovery_seconds):>7} {met}".rstrip(),
        "bad" if one.met is False else "ok",
    )
