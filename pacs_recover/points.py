"""The points in time of Litestream replicas, newest first, and between which of them nothing can be had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

from msgspec import Struct

from pacs_recover import catalog
from pacs_recover.catalog import Catalog, SourceState
from pacs_recover.errors import UsageError
from pacs_recover.model import Backup
from pacs_recover.sources import REPLICA, Source
from pacs_recover.sources.litestream import missing_between
from pacs_recover.text import precise

SHORTEST = 60.0
"""Seconds between two points that are never a gap: Litestream merges older ones to two a minute."""
USUAL = 5
"""How many times longer than usual a stretch without a point is where it is shown."""


class Gap(Struct, frozen=True):
    """A stretch of time in which a replica has no point."""

    after: Backup
    """The last point before it."""
    before: Backup
    """The first point after it."""
    reason: str

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.before.taken_at - self.after.taken_at).total_seconds()


@dataclass(frozen=True)
class Points:
    """What the replicas of a site can give."""

    backups: tuple[Backup, ...]
    """Newest first."""
    gaps: tuple[Gap, ...]
    sources: tuple[SourceState, ...]

    def until(self, at: datetime | None) -> tuple[Backup, ...]:
        """The points at or before a time; all where none is given."""
        return tuple(backup for backup in self.backups if at is None or backup.taken_at <= at)

    def gaps_below(self) -> dict[str, Gap]:
        """Each gap by the id of the point after it."""
        return {gap.before.id: gap for gap in self.gaps}


def replicas(sources: Iterable[Source], name: str | None = None) -> list[Source]:
    """The Litestream replicas among these sources, or the one of this name. UsageError where there is none."""
    found = [source for source in sources if source.kind == REPLICA]
    wanted = [source for source in found if name in (None, source.name)]
    if not found:
        raise UsageError(
            "this site has no Litestream replica, so no points in time", "name one under sources: docs/site.md"
        )
    if not wanted:
        raise UsageError(f"{name} is no Litestream replica of this site", f"one of: {', '.join(s.name for s in found)}")
    return wanted


def read(sources: Iterable[Source], name: str | None = None) -> Points:
    """The points of all replicas, or of the one of this name, as far as they can be listed in time. UsageError."""
    return of(catalog.read(replicas(sources, name)))


def of(found: Catalog) -> Points:
    """The points among what was listed."""
    states = tuple(state for state in found.sources if state.kind == REPLICA)
    names = [state.name for state in states]
    by_name = {name: [backup for backup in found.backups if backup.source == name] for name in names}
    backups = tuple(backup for backup in found.backups if backup.source in by_name)
    gaps = [gap for points in by_name.values() for gap in _gaps(points)]
    return Points(backups, tuple(sorted(gaps, key=lambda gap: gap.before.taken_at, reverse=True)), states)


def _gaps(points: Sequence[Backup]) -> Iterator[Gap]:
    """Where one replica's points, newest first, are much farther apart than usual, or belong to no one history."""
    if len(points) < 2:
        return
    apart = [(newer.taken_at - older.taken_at).total_seconds() for newer, older in pairwise(points)]
    longest = max(SHORTEST, USUAL * median(apart))
    for (newer, older), seconds in zip(pairwise(points), apart, strict=True):
        reason, always = missing_between(older, newer)
        if always or seconds > longest:
            yield Gap(older, newer, reason)


def to_json(found: Points, shown: Sequence[Backup]) -> dict[str, Any]:
    """The JSON contract of ``points``: newest first, times to the millisecond."""
    return {
        "points": [
            {"at": precise(one.taken_at), "source": one.source, "id": one.id, "size": one.size} for one in shown
        ],
        "gaps": [
            {
                "from": precise(gap.after.taken_at),
                "to": precise(gap.before.taken_at),
                "source": gap.before.source,
                "reason": gap.reason,
            }
            for gap in found.gaps
        ],
        "lost": [
            {"source": state.name, "place": problem.place, "reason": problem.reason, "hint": problem.hint}
            for state in found.sources
            for problem in state.problems
        ],
        "sources": [catalog.source_json(state) for state in found.sources],
    }
